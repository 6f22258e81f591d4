//! Containers and execs with a terminal.

use crate::support::{Place, finish};
use dhow_runtime::Stdio;
use serde_json::json;
use std::fs::File;

pub(crate) const TESTS: &[(&str, fn())] = &[("terminal::of_a_container", of_a_container), ("terminal::of_an_exec", of_an_exec)];

fn of_a_container() {
    let mut place = Place::new();
    place.set("/process/terminal", json!(true));
    place.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    place.set("/process/args", json!(["sh", "-c", "tty; stty size; stat -c '%u %t' /dev/console /dev/pts/0; echo t > /dev/tty; echo c > /dev/console; cut -d' ' -f7 /proc/self/stat"]));
    let mut created = place.create(Stdio::Terminal { size: Some((33, 77)) }).unwrap();
    let master = created.console.take().unwrap();
    created.start().unwrap();
    let (text, _) = finish(&created.pidfd, File::from(master));
    assert!(text.starts_with("/dev/pts/0\r\n33 77\r\n1000 88\r\n1000 88\r\nt\r\nc\r\n"), "{text:?}");
}

fn of_an_exec() {
    let mut place = Place::new();
    let (created, _output) = place.start("sleep 100");
    let mut started = place.exec(&created, &["sh", "-c", "tty; stty size"], Stdio::Terminal { size: Some((5, 6)) }).unwrap();
    let master = started.console.take().unwrap();
    assert_eq!(finish(&started.pidfd, File::from(master)), ("/dev/pts/0\r\n5 6\r\n".to_owned(), 0));
}
