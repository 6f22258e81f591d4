//! The project's chores: `cargo xtask setup|images|test|vm|bench|order|clients|runtime-tools|contest|tidy`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for a person at a terminal")]

mod apt;
mod archive;
mod bench;
mod build;
mod contest;
mod cpio;
mod findings;
mod groups;
mod images;
mod kernel;
#[cfg(target_arch = "x86_64")]
mod order;
mod paths;
mod runtime_tools;
mod setup;
mod shell;
mod suites;
mod test;
mod tools;
mod vm;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <name>

  setup [--peers]            install from Debian what the tests use (with --peers: docker, podman, runc, crun)
  images                     make the test images (busybox, debian) in the cache
  test [FILTER...]           setup, images, then every test; FILTER goes to the test runner
  vm [--systemd | --runtimes | --kernel 6.1|6.12] [-- FILTER...]
                             the end-to-end tests in a virtual machine with pure cgroup v2, our units under
                             systemd, or `dhow runtime` beside crun and runc; writes bench/RUNTIMES.md
  bench [--samples N] [--containers N] [--watched N] [--only PART,...]
                             side by side with docker, podman and the bare kernel; writes bench/RESULTS.md
  order [--check]            watch which functions a start uses and write crates/dhow/start.order, by which the linker puts them
                             beside each other; with --check: how many of them are still functions of the program
  clients [--only dhow] [SUITE[=DIR]...] [-- FILTER]
                             the tests of docker-py, bollard and dockerode and first steps with testcontainers, on docker
                             and on dhow, compared; a suite is the checkout DIR, else git fetches it
  runtime-tools [--suite DIR] [FILTER]
                             the validation programs of runtime-tools on runc and on dhow runtime, as a table; the suite is
                             a checkout (--suite, DHOW_RUNTIME_TOOLS), else git fetches it; needs Go
  contest [--suite DIR] [--vm] [GROUP...]
                             youki's contest on runc and on dhow runtime, as a table, here or in a virtual machine with
                             cgroup v2; the suite is a checkout (--suite, DHOW_CONTEST), else git fetches it
  tidy                       the tests that hold the house in order
";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_default();
    let rest: Vec<String> = words.collect();
    let done = match name.as_str() {
        "setup" => setup::run(rest.iter().any(|word| word == "--peers")),
        "images" => images::run().map(drop),
        "test" => test::run(&rest),
        "vm" => vm::run(&rest),
        "bench" => bench::run(&rest),
        #[cfg(target_arch = "x86_64")]
        "order" => order::run(&rest),
        "clients" => suites::run(&rest),
        "contest" => contest::run(&rest),
        "runtime-tools" => runtime_tools::run(&rest),
        "tidy" => test::tidy(),
        _ => {
            print!("{HELP}");
            return if name.is_empty() || name == "help" || name == "--help" { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
