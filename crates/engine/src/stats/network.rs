//! Traffic of a container's interfaces, from `/proc/PID/net/dev`.

/// Counters of one interface, received and sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "Docker's names")]
pub struct Interface {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

/// All interfaces but the loopback.
pub(super) fn parse(text: &str) -> Vec<(String, Interface)> {
    let entry = |line: &str| {
        let (name, counters) = line.split_once(':')?;
        let name = name.trim();
        let n: Vec<u64> = counters.split_ascii_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
        let [rx_bytes, rx_packets, rx_errors, rx_dropped, _, _, _, _, tx_bytes, tx_packets, tx_errors, tx_dropped, ..] = n[..] else {
            return None;
        };
        let interface = Interface { rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped };
        (name != "lo").then(|| (name.to_owned(), interface))
    };
    text.lines().skip(2).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns() {
        let text = "Inter-|   Receive                                                |  Transmit\n face |bytes\n    lo:       9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n";
        let found = parse(text);
        assert_eq!(found.len(), 1);
        let eth0 =
            Interface { rx_bytes: 1, rx_packets: 2, rx_errors: 3, rx_dropped: 4, tx_bytes: 5, tx_packets: 6, tx_errors: 7, tx_dropped: 8 };
        assert_eq!(found[0], ("eth0".to_owned(), eth0));
        assert!(parse("").is_empty());
    }
}
