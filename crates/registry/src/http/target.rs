//! Addresses of requests. Pure.

use http::Uri;

/// How to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// How a server's certificate is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trust {
    /// It must be right.
    Checked,
    /// The person said that it need not be.
    Any,
}

/// Who is spoken to. Credentials are for one of these and never for another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    /// In small letters, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Who is asked, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) origin: Origin,
    /// As it was written: the Host header.
    pub(crate) authority: String,
    /// With the query.
    pub(crate) path: String,
}

impl Target {
    /// An absolute address; `None` where it is none that is spoken here. Names and passwords in it are left out.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.split('#').next()?.parse().ok()?;
        let scheme = match uri.scheme_str()? {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let authority = uri.authority()?.as_str();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_owned();
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let given = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        if host.is_empty() || (given.is_some() && uri.port_u16().is_none()) {
            return None;
        }
        let port = uri.port_u16().unwrap_or(if scheme == Scheme::Http { 80 } else { 443 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Self { origin: Origin { scheme, host, port }, authority, path })
    }

    /// What a `Location` means that came from here.
    pub(crate) fn join(&self, location: &str) -> Option<Self> {
        let location = location.trim();
        let scheme = self.scheme();
        if location.contains("://") {
            return Self::parse(location);
        }
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}"));
        }
        let path = if location.starts_with('/') {
            location.to_owned()
        } else if location.starts_with('?') {
            format!("{}{location}", self.path.split('?').next().unwrap_or_default())
        } else {
            let own = self.path.split('?').next().unwrap_or_default();
            format!("{}/{location}", own.rsplit_once('/').map_or("", |(parent, _)| parent))
        };
        Self::parse(&format!("{scheme}://{}{path}", self.authority))
    }

    /// The same server, asked for something else.
    pub(crate) fn with_path(&self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self.clone() }
    }

    /// With one more pair in its query.
    pub(crate) fn with_query(&self, name: &str, value: &str) -> Self {
        let mark = if self.path.contains('?') { '&' } else { '?' };
        let pair = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        self.with_path(format!("{}{mark}{pair}", self.path))
    }

    fn scheme(&self) -> &'static str {
        match self.origin.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// For people: a query may hold what gives access, so that it is shown only where it is the registry's own.
    pub(crate) fn shown(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{}://{}{path}", self.scheme(), self.authority)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expect) in [
            ("http://h", Some("http://h/")),
            ("https://u:p@H:5/x?y#z", Some("https://H:5/x?y")),
            ("http://[::1]:5000/v2/", Some("http://[::1]:5000/v2/")),
            ("ftp://h/", None),
            ("h/x", None),
            ("http://", None),
            ("http://h:99999/", None),
        ] {
            assert_eq!(Target::parse(text).map(|target| target.to_string()).as_deref(), expect, "{text}");
        }
        let origin = Target::parse("https://[::1]").unwrap().origin;
        assert_eq!((origin.host.as_str(), origin.port), ("::1", 443));
    }

    #[test]
    fn locations() {
        let from = Target::parse("http://h:1/v2/a/uploads/?x=1").unwrap();
        for (location, expect) in [
            ("https://cdn/x?sig=1", Some("https://cdn/x?sig=1")),
            ("//cdn/x", Some("http://cdn/x")),
            ("/y?z", Some("http://h:1/y?z")),
            ("y", Some("http://h:1/v2/a/uploads/y")),
            ("?y=2", Some("http://h:1/v2/a/uploads/?y=2")),
            ("file:///etc/passwd", None),
        ] {
            assert_eq!(from.join(location).map(|target| target.to_string()).as_deref(), expect, "{location}");
        }
        assert_eq!(from.with_query("digest", "a:b").path, "/v2/a/uploads/?x=1&digest=a%3Ab");
        assert_eq!(from.shown(), "http://h:1/v2/a/uploads/");
    }
}
