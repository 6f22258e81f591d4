//! Devices of a HostConfig in the engine's form.

use dhow_api::types::{self, Resources};
use dhow_engine::model::{BlockValue, Device, DeviceRequest};

/// `Devices`.
pub(crate) fn mappings(r: &Resources) -> Vec<Device> {
    let one = |mapping: &types::DeviceMapping| Device {
        host: mapping.path_on_host.clone(),
        // An older client may leave the second path out.
        container: if mapping.path_in_container.is_empty() { &mapping.path_on_host } else { &mapping.path_in_container }.clone(),
        access: mapping.cgroup_permissions.clone(),
    };
    r.devices.iter().flatten().map(one).collect()
}

/// `DeviceRequests`.
pub(crate) fn requests(r: &Resources) -> Vec<DeviceRequest> {
    let one = |request: &types::DeviceRequest| DeviceRequest {
        driver: request.driver.clone(),
        count: request.count,
        ids: request.device_ids.clone().unwrap_or_default(),
        capabilities: request.capabilities.clone().unwrap_or_default(),
        options: request.options.clone().unwrap_or_default(),
    };
    r.device_requests.iter().flatten().map(one).collect()
}

/// `BlkioWeightDevice`.
pub(crate) fn weights(list: &Option<Vec<types::WeightDevice>>) -> Vec<BlockValue> {
    list.iter().flatten().map(|device| BlockValue { path: device.path.clone(), value: device.weight.into() }).collect()
}

/// `BlkioDeviceReadBps` and its kin.
pub(crate) fn rates(list: &Option<Vec<types::ThrottleDevice>>) -> Vec<BlockValue> {
    list.iter().flatten().map(|device| BlockValue { path: device.path.clone(), value: device.rate }).collect()
}
