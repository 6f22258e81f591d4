//! How much may go through a port of a bridge: a token bucket for what the container gets, at the host's end of its pair; for what it sends a rule
//! of the packet filter where that arrives at the host. Both are out of the container's reach.

use crate::error::{Error, Result};
use crate::link;
use crate::netlink::{Message, Socket, attributes, number};
use crate::nft::{self, Family};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

const NEWQDISC: u16 = 36;
const GETQDISC: u16 = 38;
const REPLACE: u16 = 0x400 | 0x100;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TBF_PARMS: u16 = 1;
const TBF_RATE64: u16 = 4;
const TBF_BURST: u16 = 6;
const ROOT: u32 = u32::MAX;
/// The bucket, at least: a packet before it is cut to the wire's size.
const BURST_MIN: u64 = 64 << 10;

/// Bandwidth of a place, in bytes a second; 0 is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Into the container.
    pub into: u64,
    /// Out of it.
    pub out: u64,
    /// Name of the packet filter's table that limits what goes out.
    pub table: String,
}

/// Makes the limits of a port true. Where there are none nothing is done.
pub(crate) fn apply(host: &mut Socket, port: &str, limits: &Limits) -> Result<()> {
    if limits.into > 0 {
        let found = link::find(host, port)?.ok_or_else(|| Error::of("find the link", port)(Errno::NODEV.into()))?;
        host.one(bucket(found.index, limits.into)).map_err(Error::of("limit what goes to", port))?;
    }
    if limits.out > 0 {
        let mut filter = Socket::netfilter().map_err(Error::of("open", "a netlink socket of the packet filter"))?;
        let burst = u32::try_from(limits.out / 8).unwrap_or(u32::MAX).max(256 << 10);
        nft::commit(&mut filter, nft::limit(&limits.table, port, limits.out, burst), "limit what comes from", port)?;
    }
    Ok(())
}

/// Takes the rule for what comes from a port away; the bucket goes with the port.
pub fn remove(table: &str) -> Result<()> {
    let mut filter = Socket::netfilter().map_err(Error::of("open", "a netlink socket of the packet filter"))?;
    nft::commit(&mut filter, nft::remove(table, Family::Netdev), "remove the table", table)
}

/// Takes away the tables of ports that are no more: those whose name begins so and that nobody knows.
pub fn sweep(prefix: &str, known: &dyn Fn(&str) -> bool) -> Result<()> {
    let mut filter = Socket::netfilter().map_err(Error::of("open", "a netlink socket of the packet filter"))?;
    for table in nft::tables(&mut filter, Family::Netdev)? {
        if table.strip_prefix(prefix).is_some_and(|port| !known(port)) {
            nft::commit(&mut filter, nft::remove(&table, Family::Netdev), "remove the table", &table)?;
        }
    }
    Ok(())
}

fn head(index: u32, handle: u32, parent: u32) -> [u8; 20] {
    let mut body = [0; 20];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[8..12].copy_from_slice(&handle.to_ne_bytes());
    body[12..16].copy_from_slice(&parent.to_ne_bytes());
    body
}

/// A token bucket as the root of a link.
fn bucket(index: u32, rate: u64) -> Message {
    let burst = (rate / 50).clamp(BURST_MIN, u64::from(u32::MAX) / 4);
    // A tenth of a second may wait.
    let queue = burst + (rate / 10).clamp(BURST_MIN, u64::from(u32::MAX) / 4);
    // tc_tbf_qopt: rate and peak rate (each with 8 bytes before its number), limit, buffer, mtu.
    let mut parms = [0u8; 36];
    parms[1] = 1;
    parms[8..12].copy_from_slice(&u32::try_from(rate).unwrap_or(u32::MAX).to_ne_bytes());
    parms[24..28].copy_from_slice(&u32::try_from(queue).unwrap_or(u32::MAX).to_ne_bytes());
    let message = Message::new(NEWQDISC, REPLACE).body(&head(index, 0x8000 << 16, ROOT)).text(TCA_KIND, "tbf");
    message.nest(TCA_OPTIONS, |m| {
        let m = m.attr(TBF_PARMS, &parms).u32(TBF_BURST, u32::try_from(burst).unwrap_or(u32::MAX));
        if u32::try_from(rate).is_err() { m.attr(TBF_RATE64, &rate.to_ne_bytes()) } else { m }
    })
}

/// Bytes a second that a token bucket lets to a link; `None` where it has none.
pub fn of_link(socket: &mut Socket, index: u32) -> Result<Option<u64>> {
    let replies = socket.dump(GETQDISC, &head(index, 0, 0)).map_err(Error::of("list", "queues"))?;
    let one = |body: &[u8]| {
        let all: Vec<(u16, &[u8])> = attributes(body.get(20..)?).collect();
        let of = |kind: u16| all.iter().find(|(found, _)| *found == kind).map(|(_, value)| *value);
        if number(body.get(4..8)?) != index || of(TCA_KIND)? != b"tbf\0" {
            return None;
        }
        let options = of(TCA_OPTIONS)?;
        let parms = attributes(options).find(|(kind, _)| *kind == TBF_PARMS)?.1;
        let large = attributes(options).find(|(kind, _)| *kind == TBF_RATE64).and_then(|(_, value)| value.try_into().ok());
        Some(large.map_or_else(|| u64::from(number(parms.get(8..12).unwrap_or_default())), u64::from_ne_bytes))
    };
    Ok(replies.iter().find_map(|reply| one(&reply.body)))
}
