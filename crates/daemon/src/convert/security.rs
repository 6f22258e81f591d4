//! `SecurityOpt`.

use crate::error::{Failure, Result};
use dhow_engine::model::Seccomp;

/// What the options ask for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Security {
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: Seccomp,
}

/// Parses the list.
pub(crate) fn parse(options: &[String]) -> Result<Security> {
    let mut security = Security::default();
    for option in options {
        if option == "no-new-privileges" {
            security.no_new_privileges = true;
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
            ("label", _) | ("apparmor", "unconfined" | "docker-default" | "") => {}
            ("apparmor", _) => return Err(Failure::unsupported("an AppArmor profile")),
            ("seccomp", "unconfined") => security.seccomp = Seccomp::Unconfined,
            ("seccomp", "builtin") => security.seccomp = Seccomp::Default,
            ("seccomp", profile) => security.seccomp = Seccomp::Profile(profile.into()),
            ("no-new-privileges", value) => security.no_new_privileges = boolean(value).ok_or_else(|| bad(2))?,
            ("writable-cgroups", value) => {
                if boolean(value).ok_or_else(|| bad(2))? {
                    return Err(Failure::unsupported("writable-cgroups"));
                }
            }
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
            parse(&options).map_err(|failure| (failure.0.status, failure.0.message))
        };
        assert_eq!(
            check(&["no-new-privileges:true", "seccomp=unconfined"]).unwrap(),
            Security { no_new_privileges: true, seccomp: Seccomp::Unconfined }
        );
        assert_eq!(check(&["seccomp={\"a\":1}"]).unwrap().seccomp, Seccomp::Profile("{\"a\":1}".into()));
        assert_eq!(check(&["foo"]), Err((500, "invalid --security-opt 1: \"foo\"".into())));
        assert_eq!(check(&["foo=1"]), Err((500, "invalid --security-opt 2: \"foo=1\"".into())));
        assert_eq!(check(&["no-new-privileges=x"]), Err((500, "invalid --security-opt 2: \"no-new-privileges=x\"".into())));
    }
}
