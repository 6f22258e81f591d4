//! How the binary is linked: at a fixed address.
//!
//! A static program that may lie anywhere puts forty thousand addresses right each time it starts, and so touches, copies and keeps 170
//! pages: a millisecond for every command, and as much again for every fork. Go's programs, the engines we replace among them, lie at
//! fixed addresses too. Stack, heap and mappings are placed at random as ever.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|set| set.split(',').any(|one| one == value));
    // Only where the program is static: with shared libraries there is no gain, and other linkers have other words.
    if is("CARGO_CFG_TARGET_ENV", "gnu") && is("CARGO_CFG_TARGET_FEATURE", "crt-static") {
        for word in ["-no-pie", "-static"] {
            println!("cargo:rustc-link-arg-bins={word}");
        }
    }
}
