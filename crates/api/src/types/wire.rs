//! How a struct of Docker's goes over the wire: a macro that names each key once, and the helpers behind it.

use super::gojson;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

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
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
        pub struct $name {
            $(
                #[doc = concat!("`", $json, "`.")]
                $(#[$fm])*
                #[serde(rename = $json)]
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
                    #[serde(rename = $json2)]
                    $( #[serde(skip_serializing_if = "crate::types::wire::Empty::is_empty")]
                       #[doc = concat!("Left out when empty (", stringify!($omit2), ").")] )?
                    pub $field2: $ty2,
                )*
            )?
        }

        impl crate::types::wire::Keys for $name {
            const NAME: &'static str = stringify!($name);

            fn take<'de, A: serde::de::MapAccess<'de>>(&mut self, of: &str, key: &str, map: &mut A) -> Result<bool, A::Error> {
                $(
                    if key.eq_ignore_ascii_case($json) {
                        self.$field = crate::types::wire::value(of, $json, map)?;
                        return Ok(true);
                    }
                )*
                $(
                    if self.$flat.take(of, key, map)? {
                        return Ok(true);
                    }
                    $(
                        if key.eq_ignore_ascii_case($json2) {
                            self.$field2 = crate::types::wire::value(of, $json2, map)?;
                            return Ok(true);
                        }
                    )*
                )?
                Ok(false)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_map(crate::types::wire::Object::default())
            }
        }
    )*};
}

/// An object's keys, in any case of their letters as for Go's decoder. Maps keep theirs: they are none of these.
pub(crate) trait Keys: Default {
    /// For error texts.
    const NAME: &'static str;
    /// Takes the value of a key, if that is one of its own. Of several the last one counts. `of` is whose keys they stand among.
    fn take<'de, A: MapAccess<'de>>(&mut self, of: &str, key: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Reads such an object; keys that it does not know are skipped.
pub(crate) struct Object<T>(PhantomData<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Keys> Visitor<'de> for Object<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "struct {}", T::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut object = T::default();
        while let Some(Key(key)) = map.next_key()? {
            if !object.take(T::NAME, &key, &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(object)
    }
}

/// A key, without a copy where the text has it in one piece.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Null is the default value, as for Go. What does not fit is refused in Go's words.
pub(crate) fn value<'de, A, T>(of: &str, key: &str, map: &mut A) -> Result<T, A::Error>
where
    A: MapAccess<'de>,
    T: Deserialize<'de> + Default,
{
    let explain = |error: A::Error| match gojson::explain(&error.to_string(), of, key, std::any::type_name::<T>()) {
        Some(words) => A::Error::custom(words),
        None => error,
    };
    Ok(map.next_value::<Option<T>>().map_err(explain)?.unwrap_or_default())
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Nothing {}

impl<'de> Deserialize<'de> for Nothing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Nothing;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("struct {}")
            }
            fn visit_unit<E>(self) -> Result<Nothing, E> {
                Ok(Nothing {})
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Nothing, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Nothing {})
            }
        }
        deserializer.deserialize_any(Object)
    }
}

/// A list of words that may come as one string (`Cmd`, `Entrypoint`, `CapAdd`, ...).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Words;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E>(self, word: &str) -> Result<Words, E> {
                Ok(Words(vec![word.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                // Go tries a list, then a word, and complains of the latter.
                let wrong = |_| A::Error::invalid_type(Unexpected::Seq, &"a string");
                while let Some(word) = seq.next_element::<Option<String>>().map_err(wrong)? {
                    words.push(word.unwrap_or_default());
                }
                Ok(Words(words))
            }
        }
        deserializer.deserialize_any(Either)
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
