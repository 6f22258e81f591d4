//! Names of images, normalised as Docker does (distribution/reference), and of platforms.

mod grammar;
pub mod platform;
#[cfg(test)]
mod tests;

/// The registry of names that do not say one.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// The tag of names that say neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";

const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL: &str = "library/";

/// A normalised reference: domain, path, and a tag or a digest or both.
///
/// The domain is empty only for the odd names whose first part looks like a host without being one (`a_b.c/d`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why a text is not a reference. The messages are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("invalid reference format")]
    Format,
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    HexName(String),
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    #[error("invalid tag format")]
    Tag,
    #[error("invalid checksum digest format")]
    Digest,
    #[error("unsupported digest algorithm")]
    DigestUnsupported,
    #[error("invalid checksum digest length")]
    DigestLength,
}

impl Reference {
    /// Parses what a person types: `busybox` becomes `docker.io/library/busybox`, without a tag.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if grammar::is_identifier(text) {
            return Err(Error::HexName(text.to_owned()));
        }
        let (domain, remote) = split_domain(text);
        let name = remote.split_once(':').map_or(remote.as_str(), |(name, _)| name);
        if name.chars().any(char::is_uppercase) {
            return Err(Error::Uppercase(name.to_owned()));
        }
        Self::assemble(domain, &remote)
    }

    fn assemble(domain: &str, remote: &str) -> Result<Self, Error> {
        let (named, digest) = match remote.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (remote, None),
        };
        let (path, tag) = match named.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (named, None),
        };
        if !grammar::is_path(path) || tag.is_some_and(|t| !grammar::is_tag(t)) {
            return Err(Error::Format);
        }
        let (domain, path) = if grammar::is_domain(domain) {
            (domain.to_owned(), path.to_owned())
        } else {
            let path = format!("{domain}/{path}");
            if !grammar::is_path(&path) {
                return Err(Error::Format);
            }
            (String::new(), path)
        };
        if let Some(digest) = digest {
            grammar::check_digest(digest)?;
        }
        grammar::check_length(&path)?;
        Ok(Self { domain, path, tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
    }

    /// With `latest` where there is neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.is_name_only() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same name with this tag, without a digest. Fails with [`Error::Tag`].
    pub fn with_tag(&self, tag: &str) -> Result<Self, Error> {
        if !grammar::is_tag(tag) {
            return Err(Error::Tag);
        }
        Ok(Self { tag: Some(tag.to_owned()), ..self.name_only() })
    }

    /// The same name with this digest (`sha256:…`), without a tag.
    pub fn with_digest(&self, digest: &str) -> Result<Self, Error> {
        grammar::check_digest(digest)?;
        Ok(Self { digest: Some(digest.to_owned()), ..self.name_only() })
    }

    /// The name without tag and digest.
    #[must_use]
    pub fn name_only(&self) -> Self {
        Self { domain: self.domain.clone(), path: self.path.clone(), tag: None, digest: None }
    }

    /// It has neither tag nor digest.
    #[must_use]
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// `docker.io`, `localhost:5000`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// `library/busybox`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if any.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if any (`sha256:…`).
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The full name alone: `docker.io/library/busybox`.
    #[must_use]
    pub fn name(&self) -> String {
        if self.domain.is_empty() { self.path.clone() } else { format!("{}/{}", self.domain, self.path) }
    }

    /// The name alone, as people write it: `busybox`, `localhost:5000/x`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        let short = match self.path.strip_prefix(OFFICIAL) {
            Some(rest) if !rest.contains('/') => rest,
            _ => &self.path,
        };
        // What would be read as a host's name, or as an id, is no name of ours any more.
        let (domain, path) = split_domain(short);
        let same = domain == DEFAULT_DOMAIN && path == self.path && !grammar::is_identifier(short);
        if same { short.to_owned() } else { self.name() }
    }

    /// As people write it, with tag and digest: `busybox:latest`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let mut text = self.familiar_name();
        self.push_suffix(&mut text);
        text
    }

    fn push_suffix(&self, text: &mut String) {
        for (mark, part) in [(':', &self.tag), ('@', &self.digest)] {
            if let Some(part) = part {
                text.push(mark);
                text.push_str(part);
            }
        }
    }
}

/// A valid tag: `[\w][\w.-]{0,127}`.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    grammar::is_tag(text)
}

/// Splits off the host. A first part is a host when it could not be a name on the default registry.
fn split_domain(text: &str) -> (&str, String) {
    let Some((first, rest)) = text.split_once('/') else {
        return (DEFAULT_DOMAIN, format!("{OFFICIAL}{text}"));
    };
    let domain = match first {
        LEGACY_DOMAIN => DEFAULT_DOMAIN,
        host if host == "localhost" || host.contains(['.', ':']) || host.chars().any(char::is_uppercase) => host,
        _ => return (DEFAULT_DOMAIN, text.to_owned()),
    };
    if domain == DEFAULT_DOMAIN && !rest.contains('/') {
        return (domain, format!("{OFFICIAL}{rest}"));
    }
    (domain, rest.to_owned())
}

impl std::fmt::Display for Reference {
    /// The full form: `docker.io/library/busybox:latest`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = self.name();
        self.push_suffix(&mut text);
        f.write_str(&text)
    }
}

impl std::str::FromStr for Reference {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Reference {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl From<Reference> for String {
    fn from(r: Reference) -> Self {
        r.to_string()
    }
}
