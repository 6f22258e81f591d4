//! Why a program does not run, in the words that callers of runtimes know and look for.

use crate::error::{Failure, Kind, Step};

/// `exec: "x": why` for the program itself, the step and the object for all else.
pub fn of(failure: &Failure) -> String {
    let object = &failure.object;
    if failure.step == Step::Runtime {
        return format!("{object}: {}", failure.message);
    }
    let why = match failure.kind {
        Kind::NotFound if object.contains('/') => format!("stat {object}: no such file or directory"),
        Kind::NotFound => "executable file not found in $PATH".to_owned(),
        Kind::NotExecutable if failure.message.is_empty() => "permission denied".to_owned(),
        Kind::NotExecutable => failure.message.clone(),
        Kind::IsDirectory => "is a directory".to_owned(),
        _ if failure.step == Step::Cwd => {
            return format!("chdir to cwd (\"{object}\") set in config.json failed: {}", failure.message);
        }
        _ if failure.step == Step::Hook => return format!("error running {object}: {}", failure.message),
        _ if failure.step == Step::Sysctl => return format!("open /proc/{object}: {}", failure.message),
        _ if failure.step == Step::Mount => return format!("error mounting \"{object}\": {}", failure.message),
        _ if failure.step == Step::Exec => failure.message.clone(),
        _ => return format!("{}: {object}: {}", step(failure.step), failure.message),
    };
    format!("exec: \"{object}\": {why}")
}

fn step(step: Step) -> &'static str {
    match step {
        Step::Spec => "specification",
        Step::Cgroup => "cgroup",
        Step::Namespaces => "namespaces",
        Step::Root => "root filesystem",
        Step::Mount => "mount",
        Step::Source => "source",
        Step::Volume => "volume",
        Step::Part => "part of a volume",
        Step::Device => "device",
        Step::Mask => "mask",
        Step::Console => "console",
        Step::Hostname => "hostname",
        Step::Sysctl => "sysctl",
        Step::Network => "network",
        Step::User => "user",
        Step::Rlimit => "rlimit",
        Step::Capabilities => "capabilities",
        Step::Seccomp => "seccomp",
        Step::Cwd => "working directory",
        Step::Exec => "exec",
        Step::Hook => "hook",
        Step::Runtime => "runtime",
        Step::Io => "io",
        Step::Other => "start",
    }
}
