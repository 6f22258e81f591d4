//! What an image is made for, and which image of an index to take.

use super::Descriptor;
use serde::{Deserialize, Serialize};

/// What an image is made for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// Go's name of the architecture: `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// `linux`.
    #[serde(default)]
    pub os: String,
    /// `v7`; empty where nothing is said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Of the operating system, for Windows.
    #[serde(rename = "os.version", default, skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Of the operating system, for Windows.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

impl Platform {
    /// `linux/arm/v7`; parts that are empty are taken from `host`.
    #[must_use]
    pub fn parse(text: &str, host: &Self) -> Self {
        let mut parts = text.split('/').map(|part| part.trim().to_ascii_lowercase());
        let os = parts.next().filter(|os| !os.is_empty()).unwrap_or_else(|| host.os.clone());
        let architecture = parts.next().filter(|arch| !arch.is_empty());
        let variant = match (&architecture, parts.next()) {
            (None, _) => host.variant.clone(),
            (Some(_), variant) => variant.unwrap_or_default(),
        };
        let architecture = architecture.unwrap_or_else(|| host.architecture.clone());
        Self { os, architecture, variant, ..Self::default() }.normal()
    }

    /// This machine.
    #[must_use]
    pub fn host() -> Self {
        Self { os: "linux".into(), architecture: std::env::consts::ARCH.into(), ..Self::default() }.normal()
    }

    /// With the usual names, and the variant that is meant where none is said.
    #[must_use]
    pub fn normal(mut self) -> Self {
        self.architecture = match self.architecture.as_str() {
            "x86_64" | "x86-64" => "amd64".into(),
            "aarch64" => "arm64".into(),
            "i386" | "i686" => "386".into(),
            "armhf" => "arm".into(),
            "armel" => {
                self.variant = "v6".into();
                "arm".into()
            }
            _ => self.architecture,
        };
        self.variant = match (self.architecture.as_str(), self.variant.trim_start_matches('v')) {
            ("arm64", "8" | "") => String::new(),
            ("arm", "" | "7") => "v7".into(),
            ("amd64", "1" | "") => String::new(),
            ("arm" | "arm64" | "amd64", digits) if digits.bytes().all(|b| b.is_ascii_digit()) => format!("v{digits}"),
            _ => self.variant,
        };
        self
    }

    /// How well an image for `other` serves: 0 is best, `None` not at all.
    fn distance(&self, other: &Self) -> Option<u32> {
        let other = other.clone().normal();
        if self.os != other.os || self.architecture != other.architecture {
            return None;
        }
        if self.variant == other.variant {
            return Some(0);
        }
        // A newer machine runs what was made for an older one.
        let number = |platform: &Self| {
            let least = if platform.architecture == "arm64" { 8 } else { 1 };
            match platform.variant.trim_start_matches('v') {
                "" => Some(least),
                digits => digits.parse::<u32>().ok(),
            }
        };
        number(self)?.checked_sub(number(&other)?)
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// The entry of an index that serves best; of equals the first. What BuildKit says of an image (a manifest for no platform) is none.
#[must_use]
pub fn select<'a>(entries: &'a [Descriptor], wanted: &Platform) -> Option<&'a Descriptor> {
    let images = entries.iter().filter(|entry| !entry.is_attestation());
    let rated = images.filter_map(|entry| match &entry.platform {
        Some(platform) => wanted.distance(platform).map(|distance| (distance, entry)),
        // For no particular platform: after every one that says it.
        None => Some((u32::MAX, entry)),
    });
    rated.min_by_key(|(distance, _)| *distance).map(|(_, entry)| entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Platform {
        Platform::parse(text, &Platform { os: "linux".into(), architecture: "amd64".into(), ..Platform::default() })
    }

    #[test]
    fn texts() {
        for (text, expect) in [
            ("linux/amd64", "linux/amd64"),
            ("linux", "linux/amd64"),
            ("", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("Linux/ARMEL", "linux/arm/v6"),
        ] {
            assert_eq!(parse(text).to_string(), expect, "{text}");
        }
    }

    #[test]
    fn the_best_of_an_index() {
        let entries: Vec<Descriptor> =
            ["linux/arm/v6", "linux/amd64", "linux/arm/v7", "linux/arm64/v8", "unknown/unknown", "linux/amd64/v3"]
                .iter()
                .enumerate()
                .map(|(number, text)| {
                    let mut parts = text.split('/').map(str::to_owned);
                    let (os, architecture) = (parts.next().unwrap(), parts.next().unwrap());
                    let platform = Platform { os, architecture, variant: parts.next().unwrap_or_default(), ..Platform::default() };
                    Descriptor { platform: Some(platform), size: number as u64, ..Descriptor::default() }
                })
                .collect();
        for (wanted, expect) in [
            ("linux/amd64", Some(1)),
            ("linux/amd64/v2", Some(1)),
            ("linux/amd64/v4", Some(5)),
            ("linux/arm/v7", Some(2)),
            ("linux/arm/v5", None),
            ("linux/arm/v6", Some(0)),
            ("linux/arm64", Some(3)),
            ("linux/s390x", None),
            ("unknown/unknown", None),
        ] {
            assert_eq!(select(&entries, &parse(wanted)).map(|entry| entry.size), expect, "{wanted}");
        }
    }
}
