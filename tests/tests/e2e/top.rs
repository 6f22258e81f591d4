//! `top`: the processes of a container, in the words of the host's `ps`.

use dhow_tests::{Cmd, Engine, http, paths, skip, until};

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn the_usual_columns() {
    let engine = Engine::new();
    engine.dhow(["run", "-d", "--name", "web", "busybox", "sh", "-c", "sleep 1000 & wait"]).ok();
    let pid = engine.container_pid("web").to_string();
    let shim = engine.shim_pid("web").to_string();
    dhow_tests::until("both processes run", || engine.ok("top web").lines().count() == 3);
    let text = engine.ok("top web");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(words(lines[0]), ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    // By pid, which begins anew at a small number now and then: the first process may be the second row.
    let row = lines[1..].iter().map(|line| words(line)).find(|row| row[1] == pid).expect("the first process");
    assert_eq!((row[0], row[1], row[2], &row[7..]), ("root", pid.as_str(), shim.as_str(), &["sh", "-c", "sleep", "1000", "&", "wait"][..]));
    assert_eq!(words(engine.ok("top web aux").lines().next().expect("titles"))[..4], ["USER", "PID", "%CPU", "%MEM"]);
    let text = engine.ok("top web -o pid,comm");
    assert!(text.lines().any(|line| words(line) == [pid.as_str(), "sh"]), "{text}");
    // Processes of an exec are the container's.
    engine.ok("exec -d web sleep 2000");
    dhow_tests::until("the exec is listed", || engine.ok("top web -eo pid,args").contains("sleep 2000"));
    engine.finish();
}

#[test]
fn what_is_refused() {
    let engine = Engine::new();
    engine.ok("run -d --name web busybox sleep 1000");
    let id = engine.ok("create --name cold busybox true");
    let check =
        |words: &str, expect: &str| assert_eq!(engine.run(words).fails(1), format!("Error response from daemon: {expect}\n"), "{words}");
    check("top web -o comm", "Couldn't find PID field in ps output");
    check("top web -eo foo", "ps: error: unknown user-defined format specifier \"foo\"");
    check("top web -o pid= -o x=PID", "specifying \"x=PID\" is not allowed");
    check("top cold", &format!("container {id} is not running"));
    check("top nosuch", "No such container: nosuch");
    let answer = http::get(&engine.socket(), "/containers/cold/top").expect("an answer");
    assert_eq!(answer.status, 409, "{}", answer.text());
    engine.finish();
}

#[test]
fn the_hosts_ps_says_the_same() {
    let engine = Engine::new();
    if paths::program("ps").is_none() {
        skip("ps is not installed");
        return engine.finish();
    }
    engine.ok("run -d --name web -u 33 busybox sleep 1000");
    let pid = engine.container_pid("web").to_string();
    // A program that has only just begun may still be on its way to sleep.
    until("it sleeps", || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains("(sleep) S ")));
    // Without times of day: between the two looks a second passes.
    let list = "pid,ppid,pgid,sid,tpgid,tty,stat,s,f,ni,pri,opri,priority,cls,rtprio,nlwp,uid,ruid,gid,egid,user,ruser,group,comm,ucmd,vsz,sz,time,bsdtime,netns,pidns,args";
    for format in [vec!["-l"], vec!["-j"], vec!["-o", list]] {
        let ours = engine.dhow(["top", "web"]).args(&format).ok();
        let theirs = Cmd::new("ps").args(&format).args(["-ww", "-q", &pid]).ok();
        let rows = |text: &str| text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>();
        assert_eq!(rows(&ours), rows(&theirs), "{format:?}");
    }
    engine.finish();
}
