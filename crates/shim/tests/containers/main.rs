//! Real containers, from a root filesystem with nothing but busybox. Needs root and `/bin/busybox`.
//!
//! The spawner executes a copy of this very binary, so it has its own `main` and understands what `cargo test` and nextest ask of one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this main is its own test harness")]

mod ahead;
mod fixture;
mod health;
mod lives;
mod streams;
mod survival;

use std::process::ExitCode;

type Test = (&'static str, fn());

const TESTS: &[&[Test]] = &[ahead::TESTS, lives::TESTS, streams::TESTS, survival::TESTS, health::TESTS];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if args.first().is_some_and(|name| name == dhow_shim::spawner::NAME) {
        std::process::exit(dhow_shim::spawner::main());
    }
    if let Some(dir) = args.get(2).filter(|_| args.get(1).is_some_and(|arg| arg == survival::DAEMON)) {
        survival::daemon(dir.as_ref());
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
