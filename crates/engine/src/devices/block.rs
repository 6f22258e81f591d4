//! Weights and rates of block devices, by the numbers that their paths have now.

use super::{BlockValue, failed};
use crate::error::Result;
use crate::error::plain;
use crate::model::Resources;
use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice, LinuxThrottleDeviceBuilder, LinuxWeightDevice, LinuxWeightDeviceBuilder};
use rustix::fs::{major, minor};
use std::os::unix::fs::MetadataExt;

/// All of a container's.
pub(super) fn look_up(r: &Resources) -> Result<LinuxBlockIo> {
    let mut block = LinuxBlockIo::default();
    if r.blkio_weight != 0 {
        block.set_weight(Some(r.blkio_weight));
    }
    let some = |list: Vec<LinuxThrottleDevice>| Some(list).filter(|list| !list.is_empty());
    let weights = r.weight_devices.iter().map(weight).collect::<Result<Vec<_>>>()?;
    block
        .set_weight_device(Some(weights).filter(|list| !list.is_empty()))
        .set_throttle_read_bps_device(some(rates(&r.read_bps)?))
        .set_throttle_write_bps_device(some(rates(&r.write_bps)?))
        .set_throttle_read_iops_device(some(rates(&r.read_iops)?))
        .set_throttle_write_iops_device(some(rates(&r.write_iops)?));
    Ok(block)
}

fn number(path: &str) -> Result<(i64, i64)> {
    let metadata = std::fs::metadata(path).map_err(|error| failed(format!("stat {path}: {}", plain(&error))))?;
    Ok((major(metadata.rdev()).into(), minor(metadata.rdev()).into()))
}

fn weight(asked: &BlockValue) -> Result<LinuxWeightDevice> {
    let (major, minor) = number(&asked.path)?;
    let weight = u16::try_from(asked.value).unwrap_or(u16::MAX);
    let built = LinuxWeightDeviceBuilder::default().major(major).minor(minor).weight(weight).build();
    built.map_err(|error| failed(format!("weight of {}: {error}", asked.path)))
}

fn rates(asked: &[BlockValue]) -> Result<Vec<LinuxThrottleDevice>> {
    let one = |asked: &BlockValue| {
        let (major, minor) = number(&asked.path)?;
        let built = LinuxThrottleDeviceBuilder::default().major(major).minor(minor).rate(asked.value).build();
        built.map_err(|error| failed(format!("rate of {}: {error}", asked.path)))
    };
    asked.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_numbers() {
        let value = |value| vec![BlockValue { path: "/dev/null".into(), value }];
        let asked = Resources { blkio_weight: 20, weight_devices: value(300), write_iops: value(7), ..Resources::default() };
        let block = look_up(&asked).unwrap();
        let weight = &block.weight_device().as_ref().unwrap()[0];
        assert_eq!((weight.major(), weight.minor(), weight.weight()), (1, 3, Some(300)));
        let rate = &block.throttle_write_iops_device().as_ref().unwrap()[0];
        assert_eq!((rate.major(), rate.minor(), rate.rate()), (1, 3, 7));
        assert!(block.throttle_read_bps_device().is_none());
        assert_eq!(block.weight(), Some(20));
        assert_eq!(look_up(&Resources::default()).unwrap(), LinuxBlockIo::default());
    }
}
