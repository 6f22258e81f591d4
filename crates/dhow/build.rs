//! How the binary is linked: at a fixed address, with the functions that a start uses beside each other.
//!
//! A static program that may lie anywhere puts forty thousand addresses right each time it starts, and so touches, copies and keeps 170
//! pages: a millisecond for every command, and as much again for every fork. Go's programs, the engines we replace among them, lie at
//! fixed addresses too. Stack, heap and mappings are placed at random as ever.
//!
//! A command uses some 800 of the 40,000 functions, which lie everywhere: the kernel maps 80 pieces of the file for it, 5 us each with taking
//! them off again, and fewer for each shim and container. Beside each other they are ten pieces. Which ones they are is in `start.order`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// Names of functions, in the order of their first use.
const ORDER: &str = "start.order";
/// Rust's functions to a line of the linker's script: the linker looks at every section of the program for every such line.
const GROUP: usize = 64;

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={ORDER}");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|set| set.split(',').any(|one| one == value));
    // Only where the program is static: with shared libraries there is no gain, and other linkers have other words.
    if !(is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_FEATURE", "crt-static")) {
        return Ok(());
    }
    let mut words = vec!["-no-pie".to_owned(), "-static".to_owned()];
    // A name has a part that depends on how its crate is compiled: those of the release, on x86-64, are known.
    if is("CARGO_CFG_TARGET_ARCH", "x86_64") && is("PROFILE", "release") {
        let order = fs::read_to_string(ORDER)?;
        let ordered = ordered(&order, &out_dir())?;
        match try_link(&ordered) {
            Ok(()) => words.extend(ordered),
            Err(error) => println!("cargo:warning=the functions of a start are not put beside each other: {error}"),
        }
    }
    for word in words {
        println!("cargo:rustc-link-arg-bins={word}");
    }
    Ok(())
}

fn out_dir() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default())
}

/// What LLD is told, in files of that directory. Rust's functions are taken by the names of their sections, since the optimizer appends
/// a number to some of them; C's by their own, since those of the C library share a section with others.
fn ordered(order: &str, dir: &Path) -> io::Result<Vec<String>> {
    let names = order.lines().filter(|line| !line.starts_with('#'));
    let (rust, others): (Vec<&str>, Vec<&str>) = names.partition(|name| name.starts_with("_ZN") || name.starts_with("_R"));
    let mut script = String::from("SECTIONS {\n  .text.start : {\n");
    for group in rust.chunks(GROUP) {
        script.push_str("    *(");
        for name in group {
            // One that is called rarely, as the optimizer thinks, is in a section of the second kind.
            for section in [".text", ".text.unlikely"] {
                let _infallible = write!(script, "{section}.{name} {section}.{name}.llvm.* ");
            }
        }
        script.push_str(")\n");
    }
    script.push_str("  }\n} INSERT BEFORE .text;\n");
    let (sections, symbols) = (dir.join("start.ld"), dir.join("start.symbols"));
    fs::write(&sections, script)?;
    fs::write(&symbols, others.join("\n") + "\n")?;
    Ok(vec![
        format!("-Wl,--script={}", sections.display()),
        format!("-Wl,--symbol-ordering-file={}", symbols.display()),
        "-Wl,--no-warn-symbol-ordering".to_owned(),
    ])
}

/// Whether the linker that rustc uses here knows these words: GNU's does not.
fn try_link(words: &[String]) -> io::Result<()> {
    let var = |name: &str| env::var(name).unwrap_or_default();
    let mut rustc = Command::new(var("RUSTC"));
    rustc.args(["-", "--crate-name", "probe", "--target", &var("TARGET"), "-o"]).arg(out_dir().join("probe"));
    rustc.args(var("CARGO_ENCODED_RUSTFLAGS").split('\x1f').filter(|flag| !flag.is_empty()));
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    rustc.args(words.iter().map(|word| format!("-Clink-arg={word}")));
    let mut child = rustc.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut source) = child.stdin.take() {
        source.write_all(b"fn main() {}")?;
    }
    let ended = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    let reason = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    if ended.status.success() { Ok(()) } else { Err(io::Error::other(format!("{}: {reason}", ended.status))) }
}
