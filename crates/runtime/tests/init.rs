//! Init as a program of its own, which has one thread: this runner starts itself as one. It speaks nextest's protocol.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test program without the usual harness")]

use dhow_sys::process::pidfd_signal;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// The first argument that makes this program init.
const PROGRAM: &str = "docker-init";

const TESTS: [(&str, fn()); 7] = [
    ("it_ends_as_the_command_ends", it_ends_as_the_command_ends),
    ("a_command_that_cannot_be_executed", a_command_that_cannot_be_executed),
    ("the_command_starts_with_a_clean_slate", the_command_starts_with_a_clean_slate),
    ("signals_are_handed_on", signals_are_handed_on),
    ("orphans_are_reaped", orphans_are_reaped),
    ("the_terminal_is_the_commands", the_terminal_is_the_commands),
    ("it_works_under_dockers_filter", it_works_under_dockers_filter),
];

fn main() {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|first| first == PROGRAM) {
        std::process::exit(dhow_runtime::init::main(&args[1..]));
    }
    if args.first().is_some_and(|first| first == FILTERED) {
        no_clone3();
        std::process::exit(dhow_runtime::init::main(&args[1..]));
    }
    let flag = |name: &str| args.iter().any(|arg| arg == name);
    if flag("--list") {
        if !flag("--ignored") {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return;
    }
    let wanted: Vec<String> = args.iter().filter_map(|arg| arg.to_str()).filter(|arg| !arg.starts_with('-')).map(str::to_owned).collect();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|one| if flag("--exact") { one == name } else { name.contains(one) });
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| chosen(name)) {
        let outcome = std::panic::catch_unwind(test);
        println!("{} {name}", if outcome.is_ok() { "ok    " } else { "FAILED" });
        failed += i32::from(outcome.is_err());
    }
    std::process::exit(failed.min(1));
}

/// The first argument that makes it init where clone3 does not exist.
const FILTERED: &str = "docker-init-filtered";

fn no_clone3() {
    let profile = serde_json::from_str(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#,
    );
    let program = dhow_runtime::seccomp::compile(&profile.unwrap()).unwrap();
    rustix::thread::set_no_new_privs(true).unwrap();
    dhow_sys::seccomp::load(&program.instructions, program.flags).unwrap();
}

fn it_works_under_dockers_filter() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([FILTERED, "--", "sh", "-c", "grep ^Seccomp: /proc/self/status; exit 7"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "Seccomp:\t2\n");
    assert_eq!(output.status.code(), Some(7));
}

fn start(arguments: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .arg(PROGRAM)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = start(arguments).wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

fn it_ends_as_the_command_ends() {
    assert_eq!(run(&["--", "sh", "-c", "exit 7"]).0, 7);
    assert_eq!(run(&["true"]).0, 0);
    assert_eq!(run(&["--", "sh", "-c", "kill -TERM $$"]).0, 143);
    assert_eq!(run(&["--", "sh", "-c", "kill -KILL $$"]).0, 137);
}

fn a_command_that_cannot_be_executed() {
    for (command, code, reason) in [
        ("/no/such", 127, "No such file or directory"),
        ("no-such-command", 127, "No such file or directory"),
        ("/etc/passwd", 126, "Permission denied"),
        ("/etc", 126, "Permission denied"),
    ] {
        let (found, _, stderr) = run(&["--", command]);
        assert_eq!(found, code, "{command}: {stderr}");
        assert!(stderr.contains(&format!("docker-init: {command}: exec failed: {reason}")), "{stderr}");
    }
    assert_eq!(run(&["--"]).0, 1);
    assert_eq!(run(&["-x", "true"]).0, 1);
}

fn the_command_starts_with_a_clean_slate() {
    let (code, said, _) = run(&["--", "sh", "-c", "cat /proc/self/status; cut -d' ' -f5 /proc/$$/stat; echo $$"]);
    assert_eq!(code, 0);
    for name in ["SigBlk", "SigIgn", "SigCgt"] {
        assert!(said.contains(&format!("{name}:\t0000000000000000")), "{said}");
    }
    let lines: Vec<_> = said.lines().rev().take(2).collect();
    assert_eq!(lines[0], lines[1], "a process group of its own: {said}");
}

fn wait_for(file: &std::path::Path) {
    for _ in 0..500 {
        if file.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} never came", file.display());
}

fn signals_are_handed_on() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    for (name, number) in [("TERM", 15), ("HUP", 1), ("USR1", 10), ("WINCH", 28), ("INT", 2), ("QUIT", 3), ("35", 35)] {
        let script = format!("trap 'exit 40' {name}; touch {}; while :; do sleep 0.01; done", ready.display());
        let mut child = start(&["--", "sh", "-c", &script]);
        wait_for(&ready);
        let init = dhow_sys::process::pidfd_open(child.id() as i32).unwrap();
        pidfd_signal(&init, number).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(40), "{name}: {:?}", status.signal());
        std::fs::remove_file(&ready).unwrap();
    }
}

fn orphans_are_reaped() {
    // The inner shell leaves an orphan behind; init takes it over and reaps it, while the command goes on. It lives until it was looked at.
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "cd {}; mkfifo gate; sh -c 'read x < gate & echo $!' > number; read orphan < number
        cut -d' ' -f4 /proc/$orphan/stat; echo $PPID; echo > gate; n=0
        while [ -e /proc/$orphan ] && [ $n -lt 3000 ]; do sleep 0.01; n=$((n+1)); done; [ ! -e /proc/$orphan ]",
        dir.path().display()
    );
    let (code, said, stderr) = run(&["--", "sh", "-c", &script]);
    assert_eq!(code, 0, "{said} {stderr}");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], lines[1], "the orphan's parent is init: {said}");
}

fn the_terminal_is_the_commands() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let slave = std::fs::OpenOptions::new().read(true).write(true).open(&name).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    // Fields 5 and 8: the process group, and the one in the terminal's foreground.
    let script = format!("cut -d' ' -f5,8 /proc/$$/stat > {0}.new; mv {0}.new {0}; read line; exit 9", ready.display());
    let exe = std::env::current_exe().unwrap();
    let mut child = Command::new("setsid")
        .arg("-c")
        .arg(exe)
        .args([PROGRAM, "--", "sh", "-c", &script])
        .stdin(slave)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&ready);
    let groups = std::fs::read_to_string(&ready).unwrap();
    let (own, foreground) = groups.trim().split_once(' ').unwrap();
    assert_eq!(own, foreground);
    // Ctrl-C goes to the command alone; init reports how it ended.
    rustix::io::write(&master, b"\x03").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
