//! A terminal, typed at through tmux.

use dhow_tests::tmux::Terminal;
use dhow_tests::wait::until;
use dhow_tests::{Cmd, Engine, http};

fn shell_session(engine: &Engine, command: Cmd) {
    let Some(terminal) = Terminal::open(engine, &command) else { return };
    terminal.until_shown("/ #");
    terminal.line("echo a$((40+2))b; tty");
    terminal.until_line("a42b");
    terminal.until_line("/dev/pts/0");
    terminal.line("stty size");
    terminal.until_line("30 100");
    terminal.resize(90, 20);
    terminal.line("sleep 0.2; stty size");
    terminal.until_line("20 90");
    // Ctrl-C interrupts what runs, not the shell.
    terminal.line("sh -c 'echo re''ady; exec sleep 1000'");
    terminal.until_line("ready");
    terminal.keys(&["C-c"]);
    terminal.line("echo interrupted $?");
    terminal.until_line("interrupted 130");
    terminal.line("exit 3");
    assert_eq!(terminal.ended(), 3);
}

#[test]
fn dhow_run_it() {
    let engine = Engine::new();
    shell_session(&engine, engine.dhow(["run", "--rm", "-it", "busybox", "sh"]));
    assert_eq!(engine.ok("ps -aq"), "");
    engine.finish();
}

#[test]
fn docker_client_run_it() {
    let engine = Engine::new();
    if let Some(command) = engine.docker(["run", "--rm", "-it", "busybox", "sh"]) {
        shell_session(&engine, command);
    }
    engine.finish();
}

fn exec_session(engine: &Engine, command: Option<Cmd>) {
    engine.ok("run -d --name box busybox sleep 1000");
    let Some(terminal) = command.and_then(|command| Terminal::open(engine, &command)) else { return };
    terminal.until_shown("/ #");
    terminal.line("echo in $(hostname); stty size");
    let host = engine.inspect("box")["Config"]["Hostname"].as_str().expect("a name").to_string();
    terminal.until_line(&format!("in {host}"));
    terminal.until_line("30 100");
    terminal.line("exit 4");
    assert_eq!(terminal.ended(), 4);
    assert_eq!(engine.inspect("box")["State"]["Running"], true);
}

#[test]
fn dhow_exec_it() {
    let engine = Engine::new();
    exec_session(&engine, Some(engine.dhow(["exec", "-it", "box", "sh"])));
    engine.finish();
}

#[test]
fn docker_client_exec_it() {
    let engine = Engine::new();
    exec_session(&engine, engine.docker(["exec", "-it", "box", "sh"]));
    engine.finish();
}

fn detach_and_attach(engine: &Engine, run: Cmd, attach: Cmd) {
    if let Some(terminal) = Terminal::open(engine, &run) {
        terminal.until_shown("/ #");
        terminal.keys(&["C-p", "C-q"]);
        assert_eq!(terminal.ended(), 0);
        assert_eq!(engine.inspect("box")["State"]["Running"], true);
    } else {
        return;
    }
    let terminal = Terminal::open(engine, &attach).expect("tmux was there before");
    terminal.line("");
    terminal.until_shown("/ #");
    // A lone ctrl-p goes through: the shell shows the line before.
    terminal.line("echo again");
    terminal.until_line("again");
    terminal.line("exit 5");
    assert_eq!(terminal.ended(), 5);
}

#[test]
fn dhow_detaches_by_ctrl_p_ctrl_q() {
    let engine = Engine::new();
    detach_and_attach(&engine, engine.dhow(["run", "-it", "--name", "box", "busybox", "sh"]), engine.dhow(["attach", "box"]));
    engine.finish();
}

#[test]
fn docker_client_detaches_by_ctrl_p_ctrl_q() {
    let engine = Engine::new();
    let run = engine.docker(["run", "-it", "--name", "box", "busybox", "sh"]);
    if let (Some(run), Some(attach)) = (run, engine.docker(["attach", "box"])) {
        detach_and_attach(&engine, run, attach);
    }
    engine.finish();
}

#[test]
fn a_terminal_needs_a_terminal() {
    let engine = Engine::new();
    assert!(engine.run("run --rm -it busybox true").fails(1).contains("the input device is not a TTY"));
    // Without -i a terminal may be had: output then has carriage returns.
    let out = engine.dhow(["run", "--rm", "-t", "busybox", "sh", "-c", "test -t 1 && echo terminal"]).run();
    assert_eq!(out.stdout(), "terminal\r\n", "{out}");
    engine.ok("run -dt --name box busybox echo detached");
    until("the log has it", || engine.dhow(["logs", "box"]).run().stdout() == "detached\r\n");
    engine.finish();
}

#[test]
fn what_has_no_terminal_has_no_size_to_change() {
    let engine = Engine::new();
    engine.ok("run -d --name web busybox sleep 1000");
    let resize = || http::request(&engine.socket(), "POST", "/containers/web/resize?h=50&w=50", "").expect("an answer").status;
    assert_eq!(resize(), 200);
    engine.ok("kill web");
    engine.until_state("web", "exited");
    assert_eq!(resize(), 409);
    engine.finish();
}
