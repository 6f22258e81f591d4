//! `SecurityOpt`.

use crate::container_defaults::Defaults;
use crate::error::{Failure, Result};
use dhow_engine::model::Seccomp;

/// What the options ask for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Security {
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: Seccomp,
    /// AppArmor profile, where one is named.
    pub(crate) apparmor: Option<String>,
    pub(crate) writable_cgroups: Option<bool>,
}

/// Parses the list over the daemon's defaults.
pub(crate) fn parse(options: &[String], defaults: &Defaults) -> Result<Security> {
    let mut security = Security { no_new_privileges: defaults.no_new_privileges, seccomp: defaults.seccomp.clone(), ..Security::default() };
    for option in options {
        if option == "no-new-privileges" {
            security.no_new_privileges = true;
            continue;
        }
        if option == "writable-cgroups" {
            security.writable_cgroups = Some(true);
            continue;
        }
        // `disable` and labels are SELinux's; without it they mean nothing, as on Docker.
        if option == "disable" {
            continue;
        }
        // Docker answers 500 to these.
        let bad = |step: u8| Failure::internal(format!("invalid --security-opt {step}: {option:?}"));
        let (key, value) = option.split_once('=').or_else(|| option.split_once(':')).ok_or_else(|| bad(1))?;
        match (key, value) {
            ("label", _) => {}
            // Without AppArmor it means nothing, as on Docker.
            ("apparmor", name) => security.apparmor = Some(name.to_owned()).filter(|name| !name.is_empty()),
            ("seccomp", "unconfined") => security.seccomp = Seccomp::Unconfined,
            ("seccomp", "builtin") => security.seccomp = Seccomp::Default,
            ("seccomp", profile) => security.seccomp = Seccomp::Profile(profile.into()),
            ("no-new-privileges", value) => security.no_new_privileges = boolean(value).ok_or_else(|| bad(2))?,
            ("writable-cgroups", value) => security.writable_cgroups = Some(boolean(value).ok_or_else(|| bad(2))?),
            _ => return Err(bad(2)),
        }
    }
    Ok(security)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let check = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(ToString::to_string).collect();
            parse(&options, &Defaults::default()).map_err(|failure| (failure.0.status, failure.0.message))
        };
        assert_eq!(
            check(&["no-new-privileges:true", "seccomp=unconfined"]).unwrap(),
            Security { no_new_privileges: true, seccomp: Seccomp::Unconfined, ..Security::default() }
        );
        assert_eq!(check(&["label=disable", "label:type:x", "disable", "apparmor="]).unwrap(), Security::default());
        let both = check(&["apparmor=mine", "writable-cgroups=false", "writable-cgroups"]).unwrap();
        assert_eq!((both.apparmor.as_deref(), both.writable_cgroups), (Some("mine"), Some(true)));
        assert_eq!(check(&["no-new-privileges", "no-new-privileges=false"]).unwrap(), Security::default());
        assert_eq!(check(&["seccomp=unconfined", "seccomp=builtin"]).unwrap().seccomp, Seccomp::Default);
        assert_eq!(check(&["seccomp={\"a\":1}"]).unwrap().seccomp, Seccomp::Profile("{\"a\":1}".into()));
        assert_eq!(check(&["foo"]), Err((500, "invalid --security-opt 1: \"foo\"".into())));
        assert_eq!(check(&["foo=1"]), Err((500, "invalid --security-opt 2: \"foo=1\"".into())));
        assert_eq!(check(&["systempaths=unconfined"]), Err((500, "invalid --security-opt 2: \"systempaths=unconfined\"".into())));
        assert_eq!(check(&["writable-cgroups=x"]), Err((500, "invalid --security-opt 2: \"writable-cgroups=x\"".into())));
        assert_eq!(check(&["no-new-privileges=x"]), Err((500, "invalid --security-opt 2: \"no-new-privileges=x\"".into())));
    }
}
