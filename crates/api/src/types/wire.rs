//! How a struct of Docker's goes over the wire: a macro that names each key once, and the helpers behind it.

use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// Declares structs by their JSON keys: `field: Type = "Key"`, with `@omit` where Go says `omitempty`. `flatten` puts the keys of another
/// struct in the middle.
macro_rules! wire {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$fm:meta])* $field:ident : $ty:ty = $json:literal $(@ $omit:ident)? ),* $(,)?
            $( ; flatten $flat:ident : $flat_ty:ty ;
               $( $(#[$fm2:meta])* $field2:ident : $ty2:ty = $json2:literal $(@ $omit2:ident)? ),* $(,)? )?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $(
                #[doc = concat!("`", $json, "`.")]
                $(#[$fm])*
                #[serde(rename = $json, deserialize_with = "crate::types::wire::nullable")]
                $( #[serde(skip_serializing_if = "crate::types::wire::Empty::is_empty")]
                   #[doc = concat!("Left out when empty (", stringify!($omit), ").")] )?
                pub $field: $ty,
            )*
            $(
                #[doc = "Its keys stand here, among the others."]
                #[serde(flatten)]
                pub $flat: $flat_ty,
                $(
                    #[doc = concat!("`", $json2, "`.")]
                    $(#[$fm2])*
                    #[serde(rename = $json2, deserialize_with = "crate::types::wire::nullable")]
                    $( #[serde(skip_serializing_if = "crate::types::wire::Empty::is_empty")]
                       #[doc = concat!("Left out when empty (", stringify!($omit2), ").")] )?
                    pub $field2: $ty2,
                )*
            )?
        }
    )*};
}

/// Null is the default value, as for Go.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// What `omitempty` leaves out.
pub(crate) trait Empty {
    fn is_empty(&self) -> bool;
}

impl Empty for String {
    fn is_empty(&self) -> bool {
        String::is_empty(self)
    }
}
impl Empty for bool {
    fn is_empty(&self) -> bool {
        !self
    }
}
impl Empty for i64 {
    fn is_empty(&self) -> bool {
        *self == 0
    }
}
impl Empty for u64 {
    fn is_empty(&self) -> bool {
        *self == 0
    }
}
impl Empty for u16 {
    fn is_empty(&self) -> bool {
        *self == 0
    }
}
impl Empty for u32 {
    fn is_empty(&self) -> bool {
        *self == 0
    }
}
impl<T> Empty for Vec<T> {
    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }
}
impl<K, V> Empty for BTreeMap<K, V> {
    fn is_empty(&self) -> bool {
        BTreeMap::is_empty(self)
    }
}
impl<T> Empty for Option<T> {
    fn is_empty(&self) -> bool {
        self.is_none()
    }
}

/// `{}`: the value of Go's sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// A list of words that may come as one string (`Cmd`, `Entrypoint`, `CapAdd`, ...).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Many(Vec<String>),
            One(String),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Many(words) => Self(words),
            Either::One(word) => Self(vec![word]),
        })
    }
}

impl From<Vec<String>> for Words {
    fn from(words: Vec<String>) -> Self {
        Self(words)
    }
}

impl std::ops::Deref for Words {
    type Target = [String];
    fn deref(&self) -> &[String] {
        &self.0
    }
}
