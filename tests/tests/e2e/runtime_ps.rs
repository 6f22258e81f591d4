//! `dhow runtime ps`: the lines of the host's `ps`, of the container's processes alone.

use dhow_tests::{Bundle, Cmd, paths, skip, until};

#[test]
fn its_lines_are_those_of_the_hosts_ps() {
    if paths::program("ps").is_none() {
        return skip("ps is not installed");
    }
    let bundle = Bundle::new();
    let mut config = bundle.config.clone();
    config["process"]["args"] = serde_json::json!(["sleep", "1000"]);
    config["process"]["user"] = serde_json::json!({"uid": 1_234_567_890, "gid": 33});
    bundle.write(&config);
    bundle.leave(&["run", "-d", "box"]);
    let pid = bundle.state("box")["pid"].to_string();
    // A program that has only just begun may still be on its way to sleep.
    until("it sleeps", || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains("(sleep) S ")));
    // Nothing that changes from one look to the next: no times of day, no processors.
    let wide = "pid,user,comm:3,ruser:20,uid=A-LONG-HEADING,vsz:1,tty,stat,s,f,ni,pri,cls,nlwp,gid,group,ucmd,time,bsdtime,sig,netns,args";
    for options in [
        vec!["-l"],
        vec!["-ly"],
        vec!["-j"],
        vec!["-cl"],
        vec!["-T"],
        vec!["-o", wide],
        vec!["-o", "ppid user,pid", "-o", "args=WHAT"],
        vec!["-O", "ppid,ni"],
        vec!["--format", "args,pid,pgid,user"],
    ] {
        let theirs = Cmd::new("ps").args(&options).args(["-q", &pid]).ok();
        let ours = bundle.runtime(&["ps", "box"]).args(&options).ok();
        assert_eq!(ours, theirs, "{options:?}");
    }
    let lines = bundle.ok("ps box");
    assert!(
        lines.starts_with("UID  ") && lines.lines().count() == 2 && lines.contains("1234567+ ") && lines.ends_with("sleep 1000"),
        "{lines}"
    );
    assert_eq!(bundle.ok("ps --format json box"), format!("[{pid}]"));
    bundle.ok("delete -f box");
    assert_eq!(bundle.left(), [""; 0]);
}

#[test]
fn what_is_refused_and_what_is_chosen() {
    let bundle = Bundle::new();
    bundle.program(&["sh", "-c", "sleep 1000 & sleep 1001 & wait"]);
    bundle.leave(&["run", "-d", "box"]);
    until("all of them run", || bundle.ok("ps box").lines().count() == 4);
    for (options, expect) in [
        ("-eo nosuch", "exit status 1: error: unknown user-defined format specifier"),
        ("--bogus", "exit status 1: error: unknown gnu long option"),
        ("-o comm", "couldn't find PID field in ps output"),
        ("-ef --no-headers", "couldn't find PID field in ps output"),
    ] {
        let said = bundle.call(&format!("ps box {options}")).fails(1);
        assert!(said.contains(expect), "{options}: {said}");
    }
    assert!(bundle.call("ps --format yaml box").fails(1).contains("invalid format option"));
    let init = bundle.state("box")["pid"].to_string();
    let rows = |options: &str| bundle.ok(&format!("ps box {options}")).lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&format!("-o pid -p {init}")).len(), 1);
    assert_eq!(rows(&format!("-o pid --ppid {init}")).len(), 2);
    assert_eq!(rows("-o pid -C sleep").len(), 2);
    let names: Vec<String> = rows("-ef --sort args --forest").iter().map(|row| row.split_whitespace().last().unwrap().to_owned()).collect();
    assert_eq!(names, ["wait", "1000", "1001"]);
    bundle.ok("delete -f box");
    assert_eq!(bundle.left(), [""; 0]);
}
