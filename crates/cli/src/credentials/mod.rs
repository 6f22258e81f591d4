//! Names and passwords for registries: in the configuration, or kept by a helper program that the configuration names.

mod file;
mod helper;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::{Auth, Config};
use crate::error::Error;

/// What Docker Hub's credentials are kept under.
pub(crate) const HUB: &str = "https://index.docker.io/v1/";

/// Whom a helper names where what it keeps is a token.
const TOKEN_USER: &str = "<token>";

/// Who somebody is to a registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: String,
    /// Instead of a password.
    pub(crate) identity_token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Nothing is known.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn of(auth: &Auth) -> Self {
        let plain = STANDARD.decode(&auth.auth).unwrap_or_default();
        let plain = String::from_utf8_lossy(&plain);
        let (username, password) = plain.split_once(':').unwrap_or((&plain, ""));
        Self {
            username: username.to_owned(),
            password: password.trim_end_matches('\0').to_owned(),
            identity_token: auth.identitytoken.clone(),
        }
    }
}

/// The key of a registry that a person names.
pub(crate) fn key(server: &str) -> String {
    match server {
        "" | "docker.io" | "index.docker.io" | HUB => HUB.to_owned(),
        other => hostname(other).to_owned(),
    }
}

/// `https://host:5000/v1/` is kept for `host:5000` too.
pub(crate) fn hostname(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split('/').next().unwrap_or_default()
}

/// The program that keeps what belongs to a key, if one does.
fn keeper<'a>(config: &'a Config, key: &str) -> Option<&'a str> {
    let name = config.cred_helpers.get(key).unwrap_or(&config.creds_store);
    Some(name.as_str()).filter(|name| !name.is_empty())
}

/// What is kept under a key; empty where nothing is.
pub(crate) fn get(config: &Config, key: &str) -> Result<Credentials, Error> {
    let Some(program) = keeper(config, key) else {
        let same = |other: &String| hostname(other) == hostname(key);
        let found = config.auths.get(key).or_else(|| config.auths.iter().find(|(other, _)| same(other)).map(|(_, auth)| auth));
        return Ok(found.map(Credentials::of).unwrap_or_default());
    };
    let Some((username, secret)) = helper::get(program, key)? else { return Ok(Credentials::default()) };
    if username == TOKEN_USER {
        return Ok(Credentials { identity_token: secret, ..Credentials::default() });
    }
    Ok(Credentials { username, password: secret, ..Credentials::default() })
}

/// Keeps credentials; tells whether they lie in the configuration for everybody who can read it.
pub(crate) fn store(config: &Config, key: &str, credentials: &Credentials) -> Result<bool, Error> {
    let Some(program) = keeper(config, key) else {
        let plain = format!("{}:{}", credentials.username, credentials.password);
        let auth = if plain == ":" { String::new() } else { STANDARD.encode(plain) };
        file::put(&config.path(), key, &auth, &credentials.identity_token)?;
        return Ok(true);
    };
    match credentials.identity_token.as_str() {
        "" => helper::store(program, key, &credentials.username, &credentials.password)?,
        token => helper::store(program, key, TOKEN_USER, token)?,
    }
    // The configuration says that there is something, and not what.
    file::put(&config.path(), key, "", "")?;
    Ok(false)
}

/// Forgets what is kept under a key and its other spellings.
pub(crate) fn erase(config: &Config, key: &str) -> Result<(), Error> {
    let kept = match keeper(config, key) {
        Some(program) => helper::erase(program, key),
        None => Ok(()),
    };
    let spellings: Vec<&String> = config.auths.keys().filter(|other| *other == key || hostname(other) == hostname(key)).collect();
    if !spellings.is_empty() {
        file::remove(&config.path(), &spellings)?;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (server, expect) in [
            ("", HUB),
            ("docker.io", HUB),
            ("r.example:5000", "r.example:5000"),
            ("https://r.example/v2/", "r.example"),
            ("http://127.0.0.1:5000", "127.0.0.1:5000"),
        ] {
            assert_eq!(key(server), expect, "{server}");
        }
    }

    #[test]
    fn a_helper_of_a_host_goes_before_the_one_for_all() {
        let mut config = Config { creds_store: "all".into(), ..Config::default() };
        config.cred_helpers.insert("r.example".into(), "one".into());
        config.cred_helpers.insert("none.example".into(), String::new());
        assert_eq!(keeper(&config, "r.example"), Some("one"));
        assert_eq!(keeper(&config, HUB), Some("all"));
        assert_eq!(keeper(&config, "none.example"), None);
    }

    #[test]
    fn the_file_knows_other_spellings() {
        let mut config = Config::default();
        config.auths.insert("https://r.example/v1/".into(), Auth { auth: STANDARD.encode("u:p:q"), identitytoken: String::new() });
        let found = get(&config, "r.example").unwrap();
        assert_eq!((found.username.as_str(), found.password.as_str()), ("u", "p:q"));
        assert!(get(&config, "other.example").unwrap().is_empty());
    }
}
