//! Rules of the device cgroup: of a node, or as text (`c 1:3 rwm`).

use super::failed;
use crate::error::Result;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

/// Lets a container use a node. A FIFO needs no leave.
pub(super) fn of_node(node: &LinuxDevice, access: &str) -> Option<LinuxDeviceCgroup> {
    let access = if access.is_empty() { "rwm" } else { access };
    (node.typ() != LinuxDeviceType::P).then(|| allow(node.typ(), Some(node.major()), Some(node.minor()), access))
}

fn allow(kind: LinuxDeviceType, major: Option<i64>, minor: Option<i64>, access: &str) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true).set_typ(Some(kind)).set_major(major).set_minor(minor).set_access(Some(access.to_owned()));
    rule
}

/// Reads `a|b|c MAJOR:MINOR ACCESS`, with `*` for any number.
pub(super) fn parse(text: &str) -> Result<LinuxDeviceCgroup> {
    let wrong = || failed(format!("invalid device cgroup rule format: '{text}'"));
    let words: Vec<&str> = text.split(' ').collect();
    let [kind, numbers, access] = words.as_slice() else { return Err(wrong()) };
    let kind = match *kind {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return Err(wrong()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(wrong)?;
    let number = |name: &str, part: &str| match part {
        "*" => Ok(None),
        digits if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => digits
            .parse::<u32>()
            .map(|n| Some(i64::from(n)))
            .map_err(|_| failed(format!("invalid {name} value in device cgroup rule format: '{text}'"))),
        _ => Err(wrong()),
    };
    let (major, minor) = (number("major", major)?, number("minor", minor)?);
    if access.is_empty() || access.len() > 3 || !access.bytes().all(|b| matches!(b, b'r' | b'w' | b'm')) {
        return Err(wrong());
    }
    Ok(allow(kind, major, minor, access))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let check = |text: &str, expect: Result<&str, &str>| {
            let got = parse(text).map(|rule| rule.to_string()).map_err(|error| error.message);
            assert_eq!(got, expect.map(str::to_owned).map_err(str::to_owned), "{text}");
        };
        check("c 1:3 rwm", Ok("c 1:3 rwm"));
        check("b *:* m", Ok("b *:* m"));
        check("a *:* rwm", Ok("a *:* rwm"));
        check("c 42:* rmw", Ok("c 42:* rmw"));
        for bad in ["", "x", "c 1:3", "d 1:3 r", "c 1 r", "c 1:3 x", "c 1:3 rwmr", "c -1:3 r", "c  1:3 r", "c 1:3 r "] {
            let expect = format!("invalid device cgroup rule format: '{bad}'");
            check(bad, Err(&expect));
        }
        check("c 99999999999:1 r", Err("invalid major value in device cgroup rule format: 'c 99999999999:1 r'"));
    }
}
