//! Credentials for a registry, as the engine takes them in a header.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};

use crate::config::Config;
use crate::credentials::{Credentials, HUB, get, hostname};
use crate::output::warn;

/// The value of `X-Registry-Auth` for an image's registry: what is kept for it, else an empty object.
pub(crate) fn header(config: &Config, domain: &str) -> String {
    let key = if domain == "docker.io" { HUB } else { domain };
    let found = match get(config, key) {
        Ok(found) => found,
        Err(error) => {
            // What anybody may have is to be had without.
            warn(&error.to_string());
            Credentials::default()
        }
    };
    let mut value = if found.is_empty() { json!({}) } else { json!({ "serveraddress": key }) };
    let mut put = |name: &str, text: &str| {
        if !text.is_empty() {
            value[name] = Value::from(text);
        }
    };
    put("username", &found.username);
    put("password", &found.password);
    put("identitytoken", &found.identity_token);
    URL_SAFE.encode(value.to_string())
}

/// The same for the index that a search asks: the first part of its words, if that is a host.
pub(crate) fn search_header(config: &Config, term: &str) -> String {
    let domain = match term.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => hostname(first),
        _ => "docker.io",
    };
    header(config, domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Auth;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn bound_to_the_host() {
        let mut config = Config::default();
        config.auths.insert("r.example".into(), Auth { auth: STANDARD.encode("u:p"), identitytoken: String::new() });
        assert_eq!(header(&config, "docker.io"), "e30=");
        assert_eq!(search_header(&config, "r/x"), "e30=");
        for text in [header(&config, "r.example"), search_header(&config, "r.example/x")] {
            let text = URL_SAFE.decode(text).unwrap();
            let value: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(value, json!({"serveraddress": "r.example", "username": "u", "password": "p"}));
        }
    }
}
