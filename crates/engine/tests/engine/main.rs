//! An engine with real containers, from an image with nothing but busybox. Needs root and `/bin/busybox`.
//!
//! The spawner executes a copy of this very binary, so it has its own `main` and understands what `cargo test` and nextest ask of one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "this main is its own test harness")]

mod adoption;
mod execs;
mod fixture;
mod health;
mod lives;
mod restarts;
mod streams;

use std::process::ExitCode;

type Test = (&'static str, fn());

const TESTS: &[&[Test]] = &[lives::TESTS, streams::TESTS, execs::TESTS, adoption::TESTS, restarts::TESTS, health::TESTS];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let program = args.first().map(|a| a.rsplit('/').next().unwrap_or_default().to_owned()).unwrap_or_default();
    if program == dhow_shim::spawner::NAME {
        std::process::exit(dhow_shim::spawner::main());
    }
    if program == "docker-init" {
        let words: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
        std::process::exit(dhow_runtime::init::main(&words));
    }
    if let [_, flag, root] = &args[..]
        && flag == adoption::DAEMON
    {
        adoption::daemon(root.as_ref());
        return ExitCode::SUCCESS;
    }
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let tests = TESTS.iter().copied().flatten();
    if has("--list") {
        if !has("--ignored") {
            tests.for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    if !rustix::process::geteuid().is_root() || !std::path::Path::new("/bin/busybox").exists() {
        println!("skipped: these tests need root and /bin/busybox");
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = args.iter().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|f| if has("--exact") { name == *f } else { name.contains(*f) });
    let mut failed = 0;
    for (name, test) in tests.filter(|(name, _)| wanted(name)) {
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += u8::from(!passed);
    }
    ExitCode::from(failed)
}
