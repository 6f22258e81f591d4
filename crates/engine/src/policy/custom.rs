//! A seccomp profile as people write it for Docker: JSON with rules that depend on capabilities, machine and kernel.

use crate::failure;
use oci_spec::runtime::{Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSyscall};
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;

/// The largest profile that is read; Docker's own has 17 KiB.
const MOST_BYTES: usize = 1 << 20;

/// What a rule's conditions are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The container's bounding set.
    pub capabilities: &'a [Capability],
    /// Major and minor number of the running kernel.
    pub kernel: (u32, u32),
}

/// Reads a profile for one container. `None`: it has neither default nor rules, which means no seccomp. The error is Docker's text.
pub fn parse(text: &str, facts: Facts<'_>) -> Result<Option<LinuxSeccomp>, String> {
    if text.len() > MOST_BYTES {
        return Err(format!("Decoding seccomp profile failed: it is longer than {MOST_BYTES} bytes"));
    }
    let file: File = serde_json::from_str(text).map_err(|error| format!("Decoding seccomp profile failed: {error}"))?;
    let rules = file.syscalls.unwrap_or_default();
    let default = match file.default_action {
        Some(action) => action.known()?,
        None if rules.is_empty() => return Ok(None),
        None => return Err("Decoding seccomp profile failed: the default action is missing".to_owned()),
    };
    let mut architectures = file.architectures.unwrap_or_default();
    let map = file.arch_map.unwrap_or_default();
    if !architectures.is_empty() && !map.is_empty() {
        return Err(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'".to_owned()
        );
    }
    if let Some(own) = map.into_iter().find(|entry| entry.architecture.0 == Some(NATIVE)) {
        architectures.push(Known(Some(NATIVE)));
        architectures.extend(own.sub_architectures.unwrap_or_default());
    }
    let architectures: Vec<Arch> = architectures.into_iter().filter_map(|arch| arch.0).collect();
    let mut calls = Vec::new();
    for rule in rules {
        calls.extend(rule.resolve(&facts)?);
    }
    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(default)
        .set_default_errno_ret(file.default_errno_ret)
        .set_architectures(Some(architectures).filter(|list| !list.is_empty()))
        .set_flags(file.flags)
        .set_listener_path(file.listener_path.filter(|path| !path.as_os_str().is_empty()))
        .set_listener_metadata(file.listener_metadata.filter(|text| !text.is_empty()))
        .set_syscalls(Some(calls));
    Ok(Some(profile))
}

const NATIVE: Arch = if cfg!(target_arch = "aarch64") { Arch::ScmpArchAarch64 } else { Arch::ScmpArchX86_64 };

/// This machine in the words of `includes.arches`.
const MACHINE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default, deserialize_with = "action")]
    default_action: Option<Action>,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<Known>>,
    arch_map: Option<Vec<ArchEntry>>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    listener_path: Option<PathBuf>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchEntry {
    architecture: Known,
    sub_architectures: Option<Vec<Known>>,
}

/// An architecture, or a name from a future in which there are more of them; neither runs here.
struct Known(Option<Arch>);

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(Known(serde_json::from_value(name.into()).ok()))
    }
}

/// Go writes a missing action as an empty word.
fn action<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Action>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|name| !name.is_empty()).map(Action))
}

/// An action by name. Docker passes it on; its runtime is who refuses one that does not exist.
#[derive(Deserialize)]
struct Action(String);

impl Action {
    fn known(&self) -> Result<LinuxSeccompAction, String> {
        let unknown = |_| failure::of_specification(&format!("string {} is not a valid action for seccomp", self.0)).message;
        serde_json::from_value(self.0.clone().into()).map_err(unknown)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: Option<String>,
    names: Option<Vec<String>>,
    action: Action,
    errno_ret: Option<u32>,
    args: Option<Vec<LinuxSeccompArg>>,
    includes: Option<Filter>,
    excludes: Option<Filter>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

impl Rule {
    /// The rule without its conditions, if they hold.
    fn resolve(self, facts: &Facts<'_>) -> Result<Option<LinuxSyscall>, String> {
        let name = self.name.filter(|name| !name.is_empty());
        let mut names = self.names.unwrap_or_default();
        if name.is_some() && !names.is_empty() {
            return Err("both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'".to_owned());
        }
        names.extend(name);
        let includes = self.includes.unwrap_or_default();
        let excludes = self.excludes.unwrap_or_default();
        // Each kind of condition stands for itself: all capabilities, one of the machines, the kernel.
        let excluded = excludes.arches().contains(&MACHINE)
            || excludes.caps().any(|name| holds(name, facts))
            || excludes.kernel()?.is_some_and(|least| facts.kernel >= least);
        let included = (includes.arches().is_empty() || includes.arches().contains(&MACHINE))
            && includes.caps().all(|name| holds(name, facts))
            && includes.kernel()?.is_none_or(|least| facts.kernel >= least);
        if excluded || !included {
            return Ok(None);
        }
        let mut call = LinuxSyscall::default();
        call.set_names(names)
            .set_action(self.action.known()?)
            .set_errno_ret(self.errno_ret)
            .set_args(self.args.filter(|args| !args.is_empty()));
        Ok(Some(call))
    }
}

/// Names of profiles are exact: `CAP_SYS_ADMIN`.
fn holds(name: &str, facts: &Facts<'_>) -> bool {
    name.strip_prefix("CAP_").is_some_and(|name| facts.capabilities.iter().any(|one| one.to_string() == name))
}

impl Filter {
    fn arches(&self) -> Vec<&str> {
        self.arches.iter().flatten().map(String::as_str).collect()
    }

    fn caps(&self) -> impl Iterator<Item = &str> {
        self.caps.iter().flatten().map(String::as_str)
    }

    fn kernel(&self) -> Result<Option<(u32, u32)>, String> {
        let Some(text) = self.min_kernel.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        let wrong =
            |why: &str| format!("Decoding seccomp profile failed: invalid kernel version: {text:?}, expected \"<kernel>.<major>\"{why}");
        // Docker reads each number into 8 bits.
        let number = |part: &str| part.parse::<u8>().map(u32::from).map_err(|_| wrong(""));
        let (kernel, major) = text.split_once('.').ok_or_else(|| wrong(""))?;
        match (number(kernel)?, number(major)?) {
            (0, 0) => Err(wrong(": version cannot be 0.0")),
            version => Ok(Some(version)),
        }
    }
}

#[cfg(test)]
#[path = "custom_tests.rs"]
mod tests;
