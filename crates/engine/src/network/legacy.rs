//! Rules of iptables-legacy. They are no part of nf_tables, so none of ours can be put among them; but that they drop can be told.

use std::io;

/// Of IPv4 and IPv6: where the names of the tables are that were ever used, and the program.
const PROGRAMS: [(&str, &str); 2] =
    [("/proc/thread-self/net/ip_tables_names", "iptables-legacy"), ("/proc/thread-self/net/ip6_tables_names", "ip6tables-legacy")];

/// The programs whose forward chain drops what it does not know, in the calling thread's network namespace.
pub(super) fn obstacles() -> io::Result<Vec<&'static str>> {
    let mut found = Vec::new();
    for (ipv6, (names, program)) in [false, true].into_iter().zip(PROGRAMS) {
        let used = match std::fs::read_to_string(names) {
            Ok(text) => text.lines().any(|name| name == "filter"),
            // A kernel without them.
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if used && dhow_sys::xtables::drops_forwarded(ipv6)? {
            found.push(program);
        }
    }
    Ok(found)
}
