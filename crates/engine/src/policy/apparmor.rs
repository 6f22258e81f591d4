//! AppArmor: which profile a container's processes enter.

use crate::model::Host;

/// Docker's profile. We load none ourselves, but use this one where Docker or the distribution has.
const DEFAULT: &str = "docker-default";
const LOADED: &str = "/sys/kernel/security/apparmor/profiles";

/// The profile by name; `None` where AppArmor is off or nothing is to confine. `on`: AppArmor is on.
pub fn profile(host: &Host, on: bool) -> Option<String> {
    if !on {
        return None;
    }
    choose(host, || std::fs::read_to_string(LOADED).unwrap_or_default())
}

fn choose(host: &Host, loaded: impl FnOnce() -> String) -> Option<String> {
    if host.privileged {
        return None;
    }
    match host.apparmor.as_deref().filter(|name| !name.is_empty()) {
        Some("unconfined") => None,
        // One that is not loaded is an error when it is entered, not a container without the confinement that was asked for.
        Some(name) if name != DEFAULT => Some(name.to_owned()),
        _ => is_loaded(&loaded(), DEFAULT).then(|| DEFAULT.to_owned()),
    }
}

/// Lines are `name (mode)`.
fn is_loaded(profiles: &str, name: &str) -> bool {
    profiles.lines().any(|line| line.rsplit_once(" (").is_some_and(|(own, _)| own == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_what() {
        let check = |asked: Option<&str>, privileged: bool, expect: Option<&str>| {
            let host = Host { apparmor: asked.map(str::to_owned), privileged, ..Host::default() };
            let loaded = || "lsb_release (enforce)\ndocker-default (enforce)\n".to_owned();
            assert_eq!(choose(&host, loaded).as_deref(), expect, "{asked:?} {privileged}");
            assert_eq!(profile(&host, false), None);
        };
        check(None, false, Some("docker-default"));
        check(None, true, None);
        check(Some("docker-default"), true, None);
        check(Some("unconfined"), false, None);
        check(Some("mine"), true, None);
        check(Some("mine"), false, Some("mine"));
        check(Some(""), false, Some("docker-default"));
        assert_eq!(choose(&Host::default(), String::new), None);
        assert!(!is_loaded("docker-default-2 (enforce)\n", DEFAULT));
    }
}
