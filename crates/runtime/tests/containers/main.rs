//! Real containers on this machine's kernel (root is needed). The process must have one thread, so this is a runner of its own,
//! which speaks nextest's protocol: `--list`, then one test by name in each process.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test, though not of the usual harness")]

mod attacks;
mod basics;
mod execs;
mod failures;
mod limits;
mod spec12;
mod support;
mod terminal;
mod userns;

type Test = (&'static str, fn());

fn main() {
    let tests: Vec<Test> =
        [basics::TESTS, attacks::TESTS, execs::TESTS, failures::TESTS, limits::TESTS, spec12::TESTS, terminal::TESTS, userns::TESTS]
            .concat();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| args.iter().any(|arg| arg == name);
    if flag("--list") {
        if !flag("--ignored") {
            tests.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return;
    }
    world_of_our_own();
    let wanted: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|w| if flag("--exact") { *w == name } else { name.contains(*w) });
    let mut failed = 0;
    for (name, test) in tests.iter().filter(|(name, _)| chosen(name)) {
        let outcome = std::panic::catch_unwind(test);
        println!("{} {name}", if outcome.is_ok() { "ok    " } else { "FAILED" });
        failed += i32::from(outcome.is_err());
    }
    std::process::exit(failed.min(1));
}

/// Other tests mount things meanwhile, so the host is played by a mount namespace of this process. All its mounts are shared, as
/// they are under systemd: whatever a container lets out would show.
fn world_of_our_own() {
    dhow_sys::process::unshare(libc::CLONE_NEWNS as u64).unwrap();
    for propagation in [dhow_sys::mount::Propagation::Private, dhow_sys::mount::Propagation::Shared] {
        dhow_sys::mount::propagate_root(true, propagation).unwrap();
    }
}
