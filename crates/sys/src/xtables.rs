//! The packet filter of before nf_tables (iptables-legacy), as far as it must be known: what its forward chain does with packets that no
//! rule of it decided.

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// IPT_SO_GET_INFO, and IP6T_SO_GET_INFO.
const GET_INFO: libc::c_int = 64;
/// IPT_SO_GET_ENTRIES, and IP6T_SO_GET_ENTRIES.
const GET_ENTRIES: libc::c_int = 65;
/// Of a table's name.
const NAME: usize = 32;
/// `ipt_getinfo`: the name, the hooks, five offsets of chains and five of policies, the number of entries and their size.
const INFO: usize = NAME + 4 + 5 * 4 + 5 * 4 + 4 + 4;
/// Where the policy of the forward hook stands in it.
const FORWARD_POLICY: usize = NAME + 4 + 5 * 4 + 2 * 4;
/// `ipt_get_entries` before its entries: the name, the size, and what aligns the rest.
const ENTRIES: usize = NAME + 8;
/// No table is larger than this; one that is is not looked at.
const SIZE_MAX: usize = 64 << 20;
/// The verdict DROP of a standard target.
const DROP: i32 = -1;

/// Whether the table `filter` of iptables-legacy (`ipv6`: of ip6tables-legacy) drops by its forward chain's policy, in the network namespace
/// of the calling thread. The kernel loads the table for the question, so ask only where it is there.
pub fn drops_forwarded(ipv6: bool) -> io::Result<bool> {
    let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let raw = Some(rustix::net::ipproto::RAW);
    let socket = rustix::net::socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, raw)?;
    let mut info = named(INFO);
    ask(&socket, ipv6, GET_INFO, &mut info)?;
    let size = number(&info, INFO - 4).unwrap_or(0) as usize;
    let policy = number(&info, FORWARD_POLICY).unwrap_or(0) as usize;
    if size > SIZE_MAX {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    let mut entries = named(ENTRIES + size);
    entries[NAME..NAME + 4].copy_from_slice(&(size as u32).to_ne_bytes());
    ask(&socket, ipv6, GET_ENTRIES, &mut entries)?;
    verdict(&entries[ENTRIES..], policy, ipv6).map(|verdict| verdict == DROP).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// So many bytes that begin with the table's name.
fn named(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes[..6].copy_from_slice(b"filter");
    bytes
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The verdict of the entry at `at`, which has a standard target, as policies have.
fn verdict(entries: &[u8], at: usize, ipv6: bool) -> Option<i32> {
    // After `ipt_ip` (84 bytes) or `ip6t_ip6` (136) and `nfcache`: where the target stands.
    let entry = entries.get(at..)?;
    let offset = if ipv6 { 140 } else { 88 };
    let target = usize::from(u16::from_ne_bytes(entry.get(offset..offset + 2)?.try_into().ok()?));
    // `xt_entry_target`: its size, its name (empty: a standard one) and revision, together 32 bytes; then the verdict.
    let standard = *entry.get(target + 2)? == 0;
    number(entry, target + 32).filter(|_| standard).map(|verdict| verdict as i32)
}

fn ask(socket: &OwnedFd, ipv6: bool, option: libc::c_int, buffer: &mut [u8]) -> io::Result<()> {
    let level = if ipv6 { libc::IPPROTO_IPV6 } else { libc::IPPROTO_IP };
    let mut length = buffer.len() as libc::socklen_t;
    // SAFETY: the kernel reads and writes at most `length` bytes at the pointer, which is as much as `buffer` has, and it writes `length`.
    let ret = unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, buffer.as_mut_ptr().cast(), &raw mut length) };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_table_lets_pass() {
        std::thread::spawn(|| {
            crate::process::unshare(libc::CLONE_NEWNET as u64).unwrap();
            for ipv6 in [false, true] {
                match drops_forwarded(ipv6) {
                    Ok(drops) => assert!(!drops),
                    // A kernel without it.
                    Err(error) => assert!(matches!(error.raw_os_error(), Some(libc::ENOPROTOOPT | libc::ENOENT)), "{error}"),
                }
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn verdicts() {
        let mut entry = vec![0u8; 112 + 40];
        entry[88] = 112;
        entry[144..148].copy_from_slice(&(-1i32).to_ne_bytes());
        assert_eq!(verdict(&entry, 0, false), Some(-1));
        assert_eq!(verdict(&entry, 140, false), None);
        entry[114] = b'X';
        assert_eq!(verdict(&entry, 0, false), None);
    }
}
