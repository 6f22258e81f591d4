//! Capability sets of the calling thread, as bit masks (bit n is capability number n).

use rustix::thread::{CapabilitySet, CapabilitySets};
use std::io;

/// The five sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// What it may do now.
    pub effective: u64,
    /// What it may take into the effective set.
    pub permitted: u64,
    /// What survives exec of a file that asks for it.
    pub inheritable: u64,
    /// What it can ever get by exec.
    pub bounding: u64,
    /// What survives exec of an ordinary file.
    pub ambient: u64,
}

/// Highest capability number that the kernel knows.
pub fn last() -> u32 {
    (0..64u32).rev().find(|&n| rustix::thread::capability_is_in_bounding_set(bit(n)).is_ok()).unwrap_or(0)
}

fn bit(n: u32) -> CapabilitySet {
    CapabilitySet::from_bits_retain(1 << n)
}

/// Reads all five.
pub fn get() -> io::Result<Caps> {
    let sets = rustix::thread::capabilities(None)?;
    let mut caps = Caps {
        effective: sets.effective.bits(),
        permitted: sets.permitted.bits(),
        inheritable: sets.inheritable.bits(),
        ..Caps::default()
    };
    for n in 0..=last() {
        if rustix::thread::capability_is_in_bounding_set(bit(n))? {
            caps.bounding |= 1 << n;
        }
        if rustix::thread::capability_is_in_ambient_set(bit(n))? {
            caps.ambient |= 1 << n;
        }
    }
    Ok(caps)
}

/// Sets effective, permitted and inheritable.
pub fn set(effective: u64, permitted: u64, inheritable: u64) -> io::Result<()> {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(effective),
        permitted: CapabilitySet::from_bits_retain(permitted),
        inheritable: CapabilitySet::from_bits_retain(inheritable),
    };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// Drops from the bounding set everything that is not in `keep`. Needs CAP_SETPCAP.
pub fn bound(keep: u64) -> io::Result<()> {
    for n in (0..64u32).filter(|n| keep & (1 << n) == 0) {
        match rustix::thread::remove_capability_from_bounding_set(bit(n)) {
            Ok(()) => {}
            // Past the last one.
            Err(rustix::io::Errno::INVAL) => break,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Makes the ambient set `wanted`, each of which must be permitted and inheritable.
pub fn set_ambient(wanted: u64) -> io::Result<()> {
    rustix::thread::clear_ambient_capability_set()?;
    for n in (0..64u32).filter(|n| wanted & (1 << n) != 0) {
        rustix::thread::configure_capability_in_ambient_set(bit(n), true)?;
    }
    Ok(())
}

/// Whether a change of user id to non-zero keeps the permitted set. Ends with exec.
pub fn keep_over_setuid(yes: bool) -> io::Result<()> {
    Ok(rustix::thread::set_keep_capabilities(yes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOWN: u64 = 1;
    const KILL: u64 = 1 << 5;
    const SETPCAP: u64 = 1 << 8;

    #[test]
    fn what_is_set_reads_back() {
        std::thread::spawn(|| {
            bound(CHOWN | KILL).unwrap();
            set(CHOWN | SETPCAP, CHOWN | KILL | SETPCAP, KILL).unwrap();
            set_ambient(KILL).unwrap();
            let caps = get().unwrap();
            assert_eq!(
                caps,
                Caps {
                    effective: CHOWN | SETPCAP,
                    permitted: CHOWN | KILL | SETPCAP,
                    inheritable: KILL,
                    bounding: CHOWN | KILL,
                    ambient: KILL,
                }
            );
            assert!(set_ambient(CHOWN).is_err(), "not inheritable");
            set(0, 0, 0).unwrap();
            assert!(set(CHOWN, CHOWN, 0).is_err(), "gone for good");
        })
        .join()
        .unwrap();
        assert!((36..64).contains(&last()));
    }
}
