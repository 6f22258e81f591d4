//! Credentials for a registry, as the engine takes them in a header.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::json;

use crate::config::Config;

/// The value of `X-Registry-Auth` for an image's registry: what the configuration has for it, else an empty object.
pub(crate) fn header(config: &Config, domain: &str) -> String {
    let key = if domain == "docker.io" { "https://index.docker.io/v1/" } else { domain };
    let auth = config.auths.get(key).or_else(|| config.auths.get(&format!("https://{key}")));
    let value = auth.map_or_else(
        || json!({}),
        |auth| {
            let plain = STANDARD.decode(&auth.auth).unwrap_or_default();
            let plain = String::from_utf8_lossy(&plain);
            let (user, password) = plain.split_once(':').unwrap_or((&plain, ""));
            let mut value = json!({ "serveraddress": key });
            if !user.is_empty() {
                value["username"] = user.into();
                value["password"] = password.trim_end_matches('\0').into();
            }
            if !auth.identitytoken.is_empty() {
                value["identitytoken"] = auth.identitytoken.as_str().into();
            }
            value
        },
    );
    URL_SAFE.encode(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Auth;

    #[test]
    fn bound_to_the_host() {
        let mut config = Config::default();
        config.auths.insert("r.example".into(), Auth { auth: STANDARD.encode("u:p"), identitytoken: String::new() });
        assert_eq!(header(&config, "docker.io"), "e30=");
        let text = URL_SAFE.decode(header(&config, "r.example")).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value, json!({"serveraddress": "r.example", "username": "u", "password": "p"}));
    }
}
