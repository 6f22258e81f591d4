//! Tables of what Docker accepts, and properties.

use super::*;
use proptest::prelude::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn check(input: &str, full: &str, familiar: &str) {
    let r = Reference::parse(input).unwrap_or_else(|e| panic!("{input}: {e}"));
    assert_eq!((r.to_string().as_str(), r.familiar().as_str()), (full, familiar), "{input}");
}

#[track_caller]
fn refuse(input: &str, expect: Error) {
    assert_eq!(Reference::parse(input), Err(expect), "{input}");
}

#[test]
fn normalises() {
    check("busybox", "docker.io/library/busybox", "busybox");
    check("busybox:1", "docker.io/library/busybox:1", "busybox:1");
    check("docker.io/busybox", "docker.io/library/busybox", "busybox");
    check("index.docker.io/busybox", "docker.io/library/busybox", "busybox");
    check("index.docker.io/library/busybox:1", "docker.io/library/busybox:1", "busybox:1");
    check("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b");
    check("me/app", "docker.io/me/app", "me/app");
    check("localhost", "docker.io/library/localhost", "localhost");
    check("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000");
    check("localhost/app", "localhost/app", "localhost/app");
    check("localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1");
    check("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b");
    check("[2001:db8::1]:5000/x:y", "[2001:db8::1]:5000/x:y", "[2001:db8::1]:5000/x:y");
    check("[::1]/x", "[::1]/x", "[::1]/x");
    check("Host/x", "Host/x", "Host/x");
    check("r.example/x:Tag_1.2-3", "r.example/x:Tag_1.2-3", "r.example/x:Tag_1.2-3");
    check("a__b/c-----d.e_f", "docker.io/a__b/c-----d.e_f", "a__b/c-----d.e_f");
    check("a_b.c/d", "a_b.c/d", "a_b.c/d");
    let digest = format!("x:1@{DIGEST}");
    check(&digest, &format!("docker.io/library/x:1@{DIGEST}"), &digest);
}

#[test]
fn refuses() {
    for bad in [
        "",
        ":tag",
        "a//b",
        "/a",
        "a/",
        "a:",
        "a:b:c",
        "a@b",
        "a@sha256:1",
        "-a",
        "a-",
        "a._b",
        "a___b",
        "a..b",
        "x y",
        "a:-t",
        ".x/y",
        "[fe80::1%eth0]/x",
        "[::1/x",
        "[]/x",
        "h:p/x",
        "r.example:/x",
        "-h.example/x",
        "a@",
        "a\0b",
        "ä",
        "a\n",
    ] {
        refuse(bad, Error::Format);
    }
    refuse("UPPER", Error::Uppercase("library/UPPER".into()));
    refuse("r.example/aB:t", Error::Uppercase("aB".into()));
    refuse(&"a".repeat(64), Error::HexName("a".repeat(64)));
    assert!(Reference::parse(&format!("{}:1", "a".repeat(64))).is_ok());
    assert!(Reference::parse(&format!("r.example/{}", "a".repeat(255))).is_ok());
    refuse(&format!("r.example/{}", "a".repeat(256)), Error::TooLong);
    refuse(&format!("x:{}", "a".repeat(129)), Error::Format);
    refuse(&format!("x@md5:{}", "a".repeat(32)), Error::DigestUnsupported);
    refuse(&format!("x@sha256:{}", "a".repeat(63)), Error::DigestLength);
    refuse(&format!("x@sha256:{}", "A".repeat(64)), Error::Digest);
}

#[test]
fn what_is_shown_means_the_same_when_it_is_read() {
    check("docker.io/a.b/c", "docker.io/a.b/c", "docker.io/a.b/c");
    check("docker.io/localhost/c:1", "docker.io/localhost/c:1", "docker.io/localhost/c:1");
    let digits = "a".repeat(64);
    let name = format!("docker.io/library/{digits}");
    check(&name, &name, &name);
}

#[test]
fn messages() {
    assert_eq!(Error::Uppercase("library/X".into()).to_string(), "invalid reference format: repository name (library/X) must be lowercase");
}

#[test]
fn changes_of_tag_and_digest() {
    let name = Reference::parse("x").unwrap();
    assert_eq!(name.clone().or_latest().familiar(), "x:latest");
    assert_eq!(name.with_tag("1").unwrap().familiar(), "x:1");
    assert_eq!(name.with_tag("-"), Err(Error::Tag));
    let by_digest = name.with_digest(DIGEST).unwrap();
    assert_eq!(by_digest.clone().or_latest(), by_digest);
    assert_eq!(by_digest.name(), "docker.io/library/x");
}

proptest! {
    #[test]
    fn never_panics_and_display_is_stable(text in "\\PC{0,40}") {
        if let Ok(r) = Reference::parse(&text) {
            prop_assert_eq!(Reference::parse(&r.to_string()), Ok(r.clone()));
            prop_assert_eq!(Reference::parse(&r.familiar()), Ok(r));
        }
    }

    #[test]
    fn names_round_trip(host in "([a-z]{1,5}\\.[a-z]{1,3}(:[0-9]{1,5})?/)?", path in "[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}", tag in "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,20})?") {
        let text = format!("{host}{path}{tag}");
        let r = Reference::parse(&text).unwrap();
        prop_assert_eq!(Reference::parse(&r.to_string()).unwrap(), r.clone());
        prop_assert_eq!(r.tag(), tag.strip_prefix(':'));
    }
}
