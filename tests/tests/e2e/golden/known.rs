//! What is compared how, and which differences there are on purpose.

/// Requests that change something, whose answers are looked at: name, path, body. Each can be made again and again.
pub(super) const CHANGES: &[(&str, &str, &str)] = &[
    ("create-volume", "/volumes/create", r#"{"Name":"gold"}"#),
    ("create-container", "/containers/create", r#"{"Image":"busybox","HostConfig":{"NetworkMode":"none","AutoRemove":false}}"#),
    ("update-container", "/containers/box/update", r#"{"CpuShares":512}"#),
    ("create-exec", "/containers/box/exec", r#"{"Cmd":["true"]}"#),
    ("wait", "/containers/ended/wait", ""),
    ("tag-again", "/images/busybox/tag?repo=busybox", ""),
    // What a prune removes, and when there is nothing.
    ("create-container", "/containers/create", r#"{"Image":"busybox","Labels":{"old":"1"},"HostConfig":{"NetworkMode":"none"}}"#),
    ("prune-containers", PRUNE_CONTAINERS, ""),
    ("prune-containers", PRUNE_CONTAINERS, ""),
    ("create-old-volume", "/volumes/create", r#"{"Labels":{"old":"1","com.docker.volume.anonymous":""}}"#),
    ("prune-volumes", PRUNE_VOLUMES, ""),
    ("prune-volumes", PRUNE_VOLUMES, ""),
    ("prune-images", "/images/prune?filters=%7B%22label%22%3A%5B%22old%22%5D%7D", ""),
    ("prune-networks", "/networks/prune?filters=%7B%22label%22%3A%5B%22old%22%5D%7D", ""),
    ("prune-builds", "/build/prune", ""),
];

/// Of what is labelled so.
const PRUNE_CONTAINERS: &str = "/containers/prune?filters=%7B%22label%22%3A%5B%22old%22%5D%7D";
const PRUNE_VOLUMES: &str = "/volumes/prune?filters=%7B%22label%22%3A%5B%22old%22%5D%7D";

/// Values that the request or Docker's defaults settle.
pub(super) fn is_settled(path: &str) -> bool {
    const CHANGING: [&str; 5] =
        ["Config.Image", "HostConfig.CgroupParent", "HostConfig.CgroupnsMode", "HostConfig.Runtime", "HostConfig.CpuShares"];
    let settled = ["Config.", "HostConfig.", "Mounts[].Mode", "Mounts[].RW", "Mounts[].Type", "Mounts[].Destination"];
    settled.iter().any(|begin| path.starts_with(begin)) && !CHANGING.contains(&path)
}

/// What an answer says of the machine: only on some of them, or only now and then.
pub(super) fn is_of_the_host(name: &str, path: &str) -> bool {
    let parts: &[&str] = match name {
        "info" => &["Warnings", "HttpProxy", "HttpsProxy", "NoProxy"],
        "stats" => &["memory_stats.stats.", "blkio_stats."],
        _ => &[],
    };
    parts.iter().any(|begin| path.starts_with(begin))
}

/// Differences from the recorded answers, and why. A star fits anything.
pub(super) const KNOWN: &[(&str, &str)] = &[
    ("container* + GraphDriver.Data.ID string *", "newer releases say it"),
    ("container* + HostConfig.MaskedPaths[] *", "newer releases mask more"),
    ("container* - HostConfig.KernelMemory*", "newer releases have dropped it"),
    ("container* HostConfig.RestartPolicy.Name string=*", "newer releases fill the default in"),
    ("* NetworkSettings.Networks.none.DNSNames null *", "newer releases say it"),
    ("* NetworkSettings.Networks.none.GwPriority number *", "newer releases say it"),
    ("*[].NetworkSettings.Networks.none.DNSNames null *", "newer releases say it"),
    ("*[].NetworkSettings.Networks.none.GwPriority number *", "newer releases say it"),
    ("df * BuildCache *", "newer releases say an empty list"),
    ("events + container.die.Actor.Attributes.execDuration *", "newer releases say it"),
    ("*[].RepoDigests*", "newer releases say an empty list; an image that was loaded has its digest"),
    ("image * GraphDriver.Data*", "layers are kept in another form"),
    ("info + CDISpecDirs*", "newer releases say it"),
    ("info * RegistryConfig.Mirrors *", "newer releases have none instead of an empty list"),
    ("info - Runtimes.io.containerd.*", "this engine has no shims of containerd"),
    ("network* + *EnableIPv4 bool *", "newer releases say it"),
    ("network* IPAM.Config *", "newer releases have none instead of an empty list"),
    ("network* [].IPAM.Config *", "newer releases have none instead of an empty list"),
    ("version - BuildTime string *", "the same source gives the same binary"),
    ("wait - Error null *", "newer releases leave it out"),
];

/// Whether a line is what a pattern says.
pub(super) fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let mut open = false;
    for part in parts {
        open = true;
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || (open && pattern.ends_with('*'))
}
