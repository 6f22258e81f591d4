//! Network devices of the host's that are moved into the container (`linux.netDevices`). They keep their permanent addresses, may get a new
//! name, and come up. At the end of the network namespace the kernel gives physical ones back.

use crate::error::{At, Failure, Kind, Result, Step};
use dhow_sys::netlink::{Message, Reply, Socket, attributes, number};
use dhow_sys::process;
use oci_spec::runtime::Linux;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

const NEWLINK: u16 = 16;
const GETLINK: u16 = 18;
const SETLINK: u16 = 19;
const NEWADDR: u16 = 20;
const GETADDR: u16 = 22;
const REPLACE_CREATE: u16 = 0x100 | 0x400;
const IFNAME: u16 = 3;
const NET_NS_FD: u16 = 28;
const IFA_LABEL: u16 = 3;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const PERMANENT: u32 = 0x80;
const UP: u32 = 1;
/// Bytes of `ifinfomsg`, of `ifaddrmsg`, and of a name with its end.
const LINK_HEAD: usize = 16;
const ADDRESS_HEAD: usize = 8;
const NAME: usize = 16;

/// A device's name on the host, and in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetDevice {
    pub(crate) host: String,
    pub(crate) name: String,
}

/// What a specification asks for, in the order of the names. `own`: the container has a network namespace of its own.
pub(crate) fn plan(linux: &Linux, own: bool) -> Result<Vec<NetDevice>> {
    let mut all: Vec<NetDevice> = Vec::new();
    for (host, device) in linux.net_devices().iter().flatten() {
        let field = format!("linux.netDevices.{host}");
        let name = device.name().clone().filter(|name| !name.is_empty()).unwrap_or_else(|| host.clone());
        if !own {
            return Err(Failure::invalid(field, "needs a network namespace of the container's own"));
        }
        for name in [host, &name] {
            if !is_name(name) {
                return Err(Failure::invalid(field, format!("{name:?} is no name of a network device")));
            }
        }
        all.push(NetDevice { host: host.clone(), name });
    }
    all.sort_by(|one, other| one.host.cmp(&other.host));
    for (n, device) in all.iter().enumerate() {
        if all[..n].iter().any(|other| other.name == device.name && !is_pattern(&device.name)) {
            return Err(Failure::invalid(format!("linux.netDevices.{}", device.host), format!("the name {} is given twice", device.name)));
        }
    }
    Ok(all)
}

fn is_name(name: &str) -> bool {
    let good = |b: u8| !b.is_ascii_whitespace() && b != b'/' && b != b':' && b != 0;
    !name.is_empty() && name.len() < NAME && name != "." && name != ".." && name.bytes().all(good)
}

/// The kernel numbers such names.
fn is_pattern(name: &str) -> bool {
    name.contains("%d")
}

/// Moves them all into the network namespace of a process. The caller has one thread and stands in the host's namespace, where it stays.
pub(crate) fn give(devices: &[NetDevice], pid: i32) -> Result<()> {
    if devices.is_empty() {
        return Ok(());
    }
    let mut here = Socket::route().at(Step::Network, "netlink")?;
    let path = format!("/proc/{pid}/ns/net");
    let theirs = File::open(&path).at(Step::Network, &path)?;
    let mut there = socket_in(&theirs)?;
    // All are looked up first, so that what fails by a name fails before anything has moved.
    let found = devices.iter().map(|device| find(&mut here, device)).collect::<Result<Vec<_>>>()?;
    for (device, index) in devices.iter().zip(found) {
        if !is_pattern(&device.name) && index_of(&mut there, &device.name).at(Step::Network, &device.name)?.is_some() {
            let words = format!("the container has a device of the name {} already", device.name);
            return Err(Failure::new(Step::Network, field(device), Kind::Invalid, words));
        }
        give_one(&mut here, &mut there, device, index, &theirs).at(Step::Network, &field(device))?;
    }
    Ok(())
}

fn field(device: &NetDevice) -> String {
    format!("linux.netDevices.{}", device.host)
}

fn find(here: &mut Socket, device: &NetDevice) -> Result<u32> {
    let index = index_of(here, &device.host).at(Step::Network, &field(device))?;
    index.ok_or_else(|| Failure::new(Step::Network, field(device), Kind::Invalid, "there is no such network device"))
}

/// A socket belongs to the namespace in which it was opened.
fn socket_in(namespace: &File) -> Result<Socket> {
    const NEWNET: u64 = libc::CLONE_NEWNET as u64;
    let own = File::open("/proc/thread-self/ns/net").at(Step::Network, "the own network namespace")?;
    process::setns(namespace, NEWNET).at(Step::Network, "network namespace")?;
    let socket = Socket::route().at(Step::Network, "netlink");
    process::setns(&own, NEWNET).at(Step::Network, "return to the own network namespace")?;
    socket
}

fn link(index: u32, flags: u32, change: u32) -> [u8; LINK_HEAD] {
    let mut head = [0; LINK_HEAD];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head[8..12].copy_from_slice(&flags.to_ne_bytes());
    head[12..16].copy_from_slice(&change.to_ne_bytes());
    head
}

fn index_of(socket: &mut Socket, name: &str) -> io::Result<Option<u32>> {
    match socket.get(Message::new(GETLINK, 0).body(&link(0, 0, 0)).text(IFNAME, name)) {
        Ok(reply) => Ok(reply.body.get(4..8).map(number)),
        Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(e) => Err(e),
    }
}

fn give_one(here: &mut Socket, there: &mut Socket, device: &NetDevice, index: u32, namespace: &File) -> io::Result<()> {
    let all = here.dump(GETADDR, &[0; ADDRESS_HEAD])?;
    let kept = all.iter().filter(|reply| lasts(reply, index));
    // A device that is up cannot be renamed on older kernels; moving takes it down anyhow.
    here.one(Message::new(SETLINK, 0).body(&link(index, 0, UP)))?;
    let fd = namespace.as_fd().as_raw_fd() as u32;
    here.one(Message::new(SETLINK, 0).body(&link(index, 0, 0)).u32(NET_NS_FD, fd).text(IFNAME, &device.name))?;
    // Its number may be another one there.
    let arrived = match is_pattern(&device.name) {
        true => numbered(there, &device.name)?,
        false => index_of(there, &device.name)?,
    };
    let arrived = arrived.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
    for address in kept {
        there.one(again(address, arrived))?;
    }
    there.one(Message::new(SETLINK, 0).body(&link(arrived, UP, UP)))
}

/// The device that the kernel gave the highest number in a pattern.
fn numbered(there: &mut Socket, pattern: &str) -> io::Result<Option<u32>> {
    let (before, after) = pattern.split_once("%d").unwrap_or((pattern, ""));
    let links = there.dump(GETLINK, &link(0, 0, 0))?;
    let of = |reply: &Reply| {
        let name = attributes(reply.body.get(LINK_HEAD..)?).find(|(kind, _)| *kind == IFNAME)?.1;
        let name = std::str::from_utf8(name).ok()?.trim_end_matches('\0');
        let number: u32 = name.strip_prefix(before)?.strip_suffix(after)?.parse().ok()?;
        Some((number, reply.body.get(4..8).map(self::number)?))
    };
    Ok(links.iter().filter(|reply| reply.kind == NEWLINK).filter_map(of).max().map(|(_, index)| index))
}

/// A permanent address of global scope on that device.
fn lasts(reply: &Reply, index: u32) -> bool {
    let (Some(head), Some(rest)) = (reply.body.get(..ADDRESS_HEAD), reply.body.get(ADDRESS_HEAD..)) else { return false };
    let flags = attributes(rest).find(|(kind, _)| *kind == IFA_FLAGS).map_or(u32::from(head[2]), |(_, value)| number(value));
    reply.kind == NEWADDR && number(&head[4..8]) == index && head[3] == 0 && flags & PERMANENT != 0
}

/// The request that makes such an address again on a device of another number and name.
fn again(reply: &Reply, index: u32) -> Message {
    let mut head = [0; ADDRESS_HEAD];
    head.copy_from_slice(&reply.body[..ADDRESS_HEAD]);
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    let rest = attributes(&reply.body[ADDRESS_HEAD..]).filter(|(kind, _)| *kind != IFA_CACHEINFO && *kind != IFA_LABEL);
    rest.fold(Message::new(NEWADDR, REPLACE_CREATE).body(&head), |message, (kind, value)| message.attr(kind, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(devices: Value, own: bool) -> Result<Vec<NetDevice>> {
        plan(&serde_json::from_value(json!({"netDevices": devices})).unwrap(), own)
    }

    #[test]
    fn what_is_asked_for() {
        let device = |host: &str, name: &str| NetDevice { host: host.into(), name: name.into() };
        let found = of(json!({"eth1": {"name": "in"}, "eth0": {}}), true).unwrap();
        assert_eq!(found, [device("eth0", "eth0"), device("eth1", "in")]);
        assert!(of(json!({"a": {"name": "eth%d"}, "b": {"name": "eth%d"}}), true).is_ok());
        assert!(of(json!({}), false).unwrap().is_empty());
        for (devices, own, expect) in [
            (json!({"a": {}}), false, "linux.netDevices.a"),
            (json!({"a": {"name": "x/y"}}), true, "linux.netDevices.a"),
            (json!({"a": {"name": "sixteen-letters-"}}), true, "linux.netDevices.a"),
            (json!({"a": {"name": "x"}, "b": {"name": "x"}}), true, "linux.netDevices.b"),
            (json!({"": {}}), true, "linux.netDevices."),
        ] {
            assert_eq!(of(devices, own).unwrap_err().object, expect);
        }
    }

    #[test]
    fn only_lasting_addresses_go_along() {
        const LOCAL: u16 = 2;
        let reply = |scope: u8, flags: u8, index: u32| {
            let head = [&[2, 24, flags, scope][..], &index.to_ne_bytes()].concat();
            let message = Message::new(NEWADDR, 0).body(&head).attr(LOCAL, &[10, 0, 0, 1]).attr(IFA_CACHEINFO, &[0; 16]);
            Reply { kind: NEWADDR, sequence: 0, port: 0, body: message.bytes()[16..].to_vec() }
        };
        assert!(lasts(&reply(0, 0x80, 4), 4));
        for (scope, flags, index) in [(253, 0x80, 4), (0, 0, 4), (0, 0x80, 5)] {
            assert!(!lasts(&reply(scope, flags, index), 4));
        }
        assert!(!lasts(&Reply { kind: NEWADDR, sequence: 0, port: 0, body: vec![0; 3] }, 4));
        let moved = again(&reply(0, 0x80, 4), 9);
        assert_eq!(number(&moved.bytes()[20..24]), 9);
        let kept: Vec<_> = attributes(&moved.bytes()[24..]).map(|(kind, value)| (kind, value.to_vec())).collect();
        assert_eq!(kept, [(LOCAL, vec![10, 0, 0, 1])]);
    }
}
