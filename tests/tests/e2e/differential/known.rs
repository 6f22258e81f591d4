//! Where Debian's dockerd, a 20.10, answers otherwise than 28 does: 28's answer is ours.

/// A known difference.
struct Known {
    /// What the original says; `*` stands for any text within a line.
    theirs: &'static str,
    /// What 28 says, and so do we; `{name}` stands for the last word of the command.
    ours: &'static str,
}

const fn says(theirs: &'static str, ours: &'static str) -> Known {
    Known { theirs, ours }
}

/// All of them. Reworded messages have no other reason than that somebody reworded them between 20.10 and 28; where there
/// is another reason, it stands above.
const KNOWN: &[Known] = &[
    // 28 unpacks in its own process, and looks at paths from inside the container.
    says("Error processing tar file(exit status 1): ", ""),
    says("lstat ENGINE/dd/overlay2/ID/merged/a/", "lstat /a/"),
    says(
        "You cannot remove a running container ID. Stop the container before attempting removal or force remove",
        "cannot remove container \"{name}\": container is running: stop the container before removing or force remove",
    ),
    says(
        "You cannot remove a paused container ID. Unpause and then stop the container before attempting removal or force remove",
        "cannot remove container \"{name}\": container is paused and must be unpaused first",
    ),
    // The words of newer containerd and runc.
    says(
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec:",
        "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: \
         unable to start container process: error during container init: exec:",
    ),
    says("Cannot kill container: *: Container ID is not running", "cannot kill container: *: container ID is not running"),
    says("Cannot kill container: ", "cannot kill container: "),
    says("daemon: Container ID is not running", "daemon: container ID is not running"),
    says("Invalid signal: ", "invalid signal: "),
    says(
        "Invalid filter 'status=bogus'",
        "invalid filter 'status=bogus': invalid value for state (bogus): must be one of created, running, paused, restarting, removing, exited, dead",
    ),
    says("Invalid filter ", "invalid filter "),
    says(
        "Unrecognised filter value for health: bogus",
        "invalid filter 'health=bogus': invalid value for health (bogus): must be one of starting, healthy, unhealthy, none",
    ),
    says(
        "daemon: strconv.Atoi: parsing \"x\": invalid syntax",
        "daemon: invalid filter 'exited=x': strconv.Atoi: parsing \"x\": invalid syntax",
    ),
    says("daemon: no such container nosuch", "daemon: No such container: nosuch"),
    says(
        "invalid restart policy 'bogus'",
        "invalid restart policy: unknown policy 'bogus'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
    ),
    says(
        "maximum retry count cannot be used with restart policy 'always'",
        "invalid restart policy: maximum retry count can only be used with 'on-failure'",
    ),
    says("Range of CPUs is from", "range of CPUs is from"),
    says("Unknown runtime specified nosuch", "unknown or invalid runtime name: nosuch"),
    says("Invalid isolation: \"*\" - linux only supports 'default'", "invalid isolation '*' on linux"),
    says("Unable to find group", "unable to find group"),
    says("can't join IPC of container *: non-shareable", "failed to join IPC namespace: container *: non-shareable"),
    says("can't join IPC of container *: container ID is not running", "failed to join IPC namespace: container ID is not running"),
    says(
        "docker: Error response from daemon: container ID is not running",
        "docker: Error response from daemon: failed to join PID namespace: container ID is not running",
    ),
    says(
        "cannot join network of a non running container: ID",
        "cannot join network namespace of a non running container: container two is created",
    ),
    says(
        "daemon: failed to create shim task: OCI runtime",
        "daemon: failed to create task for container: failed to create shim task: OCI runtime",
    ),
    says("no such image: *: No such image", "No such image"),
    says(
        "invalid reference format: repository name must be lowercase",
        "invalid reference format: repository name (library/BAD) must be lowercase",
    ),
    // The two ends of an address that has no longer a number than it needs.
    says("fe00::0\tip6", "fe00::\tip6"),
    says("ff00::0\tip6", "ff00::\tip6"),
];

/// What 28 would have said to a command.
pub(super) fn translate(script: &str, text: &str) -> String {
    let name = script.split_whitespace().last().unwrap_or_default();
    let line = |line: &str| KNOWN.iter().fold(line.to_owned(), |line, known| replace(&line, known).replace("{name}", name));
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn replace(line: &str, known: &Known) -> String {
    let Some((head, tail)) = known.theirs.split_once('*') else { return line.replace(known.theirs, known.ours) };
    let Some(start) = line.find(head) else { return line.to_owned() };
    let middle = start + head.len();
    let Some(length) = (if tail.is_empty() { Some(line.len() - middle) } else { line[middle..].find(tail) }) else {
        return line.to_owned();
    };
    let (any, behind) = (&line[middle..middle + length], &line[middle + length + tail.len()..]);
    format!("{}{}{behind}", &line[..start], known.ours.replace('*', any))
}

#[test]
fn translations() {
    let check = |theirs, ours, line: &str, expect: &str| assert_eq!(replace(line, &says(theirs, ours)), expect);
    check("a", "b", "xax", "xbx");
    check("no *: x", "* is not x", ">no thing: x<", ">thing is not x<");
    check("no *", "*!", ">no thing", ">thing!");
    check("no *: x", "*", "yes", "yes");
}
