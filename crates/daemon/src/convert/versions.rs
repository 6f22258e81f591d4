//! What a version of the API makes of a create body: what is later than it is dropped or refused, what is older than the newest is moved to
//! where it belongs now, with a warning.

use super::network::is_user_defined;
use crate::error::{Failure, Result};
use dhow_api::ApiVersion;
use dhow_api::types::{CreateBody, EndpointSettings, HostConfig, NetworkingConfig};

/// The option of a place in a network that sets parameters of its link.
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";

/// Makes a body one that the newest version could have sent. Answers warnings.
///
/// # Errors
/// It asks for what its version does not have, and what would be dropped is not harmless.
pub(crate) fn adapt(body: &mut CreateBody, version: ApiVersion) -> Result<Vec<String>> {
    let before = |minor| version < ApiVersion::v1(minor);
    if before(44)
        && let Some(check) = body.config.healthcheck.as_mut()
    {
        check.start_interval = 0;
    }
    if body.host_config.is_none() {
        body.host_config = Some(HostConfig::default());
    }
    let Some(host) = body.host_config.as_mut() else { return Ok(Vec::new()) };
    let networking = body.networking_config.get_or_insert_default();
    fields(host, &before);
    mounts(host, &before)?;
    let several = networking.endpoints_config.as_ref().filter(|places| before(44) && places.len() > 1);
    if let Some(places) = several {
        let names: Vec<_> = places.keys().map(String::as_str).collect();
        return Err(Failure::invalid(format!("Container cannot be created with multiple network endpoints: {}", names.join(", "))));
    }
    if before(48) {
        for place in networking.endpoints_config.iter_mut().flat_map(|places| places.values_mut()).flatten() {
            place.gw_priority = 0;
        }
    }
    let mode = match host.network_mode.as_str() {
        "" | "default" => "bridge".to_owned(),
        mode => mode.to_owned(),
    };
    let mut warnings = Vec::new();
    warnings.extend(if before(48) { None } else { driver(host) });
    warnings.extend(hardware_address(&mut body.config.mac_address, networking, &mode, before(44))?);
    warnings.extend(parameters(host, networking, &mode, version)?);
    Ok(warnings)
}

/// What is no field of an older version, and what has gone since.
fn fields(host: &mut HostConfig, before: &impl Fn(u16) -> bool) {
    if before(25) {
        host.auto_remove = false;
    }
    if before(40) && host.ipc_mode.is_empty() {
        host.ipc_mode = "shareable".into();
    }
    if before(40) {
        host.resources.kernel_memory_tcp = 0;
    }
    if before(42) {
        host.console_size = [0, 0];
    } else {
        host.resources.kernel_memory = 0;
    }
    if before(43) {
        host.annotations.clear();
    }
}

fn mounts(host: &mut HostConfig, before: &impl Fn(u16) -> bool) -> Result<()> {
    let refuse = |why: String| Err(Failure::invalid(why));
    for mount in &mut host.mounts {
        let kind = mount.kind.as_str();
        for (given, name, own) in [
            (mount.volume_options.is_some(), "VolumeOptions", "volume"),
            (mount.bind_options.is_some(), "BindOptions", "bind"),
            (mount.tmpfs_options.is_some(), "TmpfsOptions", "tmpfs"),
        ] {
            if given && kind != own && !before(42) {
                return refuse(format!("{name} must not be specified on mount type \"{kind}\""));
            }
        }
        if before(42) {
            // Nobody looked at these.
            mount.volume_options = mount.volume_options.take().filter(|_| kind == "volume");
            mount.tmpfs_options = mount.tmpfs_options.take().filter(|_| kind == "tmpfs");
        }
        if let Some(options) = mount.bind_options.as_mut() {
            options.non_recursive &= !before(40);
            options.create_mountpoint &= !before(42);
            if before(44) && kind == "bind" && options.read_only_force_recursive {
                return refuse("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer".into());
            }
            // Until then all that was read-only left alone what is mounted below.
            options.read_only_non_recursive |= before(44) && kind == "bind" && mount.read_only;
        }
        if before(45) && mount.volume_options.as_ref().is_some_and(|options| !options.subpath.is_empty()) {
            return refuse("VolumeOptions.Subpath needs API v1.45 or newer".into());
        }
        if before(48) && kind == "image" {
            return refuse("Mount type \"Image\" needs API v1.48 or newer".into());
        }
    }
    Ok(())
}

/// A driver for all volumes does not hold for those of `Mounts`.
fn driver(host: &HostConfig) -> Option<String> {
    let named = |mount: &dhow_api::types::Mount| {
        let driver = mount.volume_options.as_ref().and_then(|options| options.driver_config.as_ref());
        driver.is_some_and(|driver| !driver.name.is_empty())
    };
    let ignored = !host.volume_driver.is_empty() && host.mounts.iter().any(|mount| mount.kind == "volume" && !named(mount));
    ignored.then(|| {
        "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. Use '--mount \
         type=volume,volume-driver=...' instead"
            .to_owned()
    })
}

/// The place that settings for the whole container mean.
fn place<'a>(networking: &'a mut NetworkingConfig, mode: &str, only: bool) -> Result<&'a mut EndpointSettings> {
    let places = networking.endpoints_config.get_or_insert_default();
    let key = match places.keys().next() {
        None => mode.to_owned(),
        Some(first) if only => first.clone(),
        Some(_) if places.contains_key(mode) => mode.to_owned(),
        Some(first) if first == "default" && mode == "bridge" => first.clone(),
        Some(_) => {
            return Err(Failure::invalid("HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks"));
        }
    };
    Ok(places.entry(key).or_default().get_or_insert_default())
}

/// Since 1.44 a hardware address belongs to a place, before it belonged to the container.
fn hardware_address(own: &mut String, networking: &mut NetworkingConfig, mode: &str, old: bool) -> Result<Option<String>> {
    let bridged = mode == "bridge" || is_user_defined(mode);
    if own.is_empty() {
        if old {
            networking.endpoints_config.iter_mut().flat_map(|places| places.values_mut()).flatten().for_each(|p| p.mac_address.clear());
        }
        return Ok(None);
    }
    if !bridged {
        let why = "conflicting options: mac-address and the network mode";
        return if old { Err(Failure::invalid(why)) } else { Ok(Some(MOVED.to_owned())) };
    }
    let place = place(networking, mode, old)?;
    if !old && !place.mac_address.is_empty() && place.mac_address != *own {
        let why = "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty";
        return Err(Failure::invalid(why));
    }
    place.mac_address.clone_from(own);
    Ok((!old).then(|| {
        own.clear();
        MOVED.to_owned()
    }))
}

const MOVED: &str = "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.";

/// Parameters of the first link are moved to the place that has it: when those of the container are set there is no link yet.
fn parameters(host: &mut HostConfig, networking: &mut NetworkingConfig, mode: &str, version: ApiVersion) -> Result<Option<String>> {
    if mode == "host" || mode.starts_with("container:") {
        return Ok(None);
    }
    let mut moved = Vec::new();
    for (key, value) in &host.sysctls {
        let parts: Vec<&str> = key.splitn(5, '.').collect();
        let ["net", family, sort, link, name] = parts.as_slice() else { continue };
        if !link.starts_with("eth") {
            continue;
        }
        if version >= ApiVersion::v1(48) {
            let why = format!("interface specific sysctl setting \"{key}\" must be supplied using driver option '{SYSCTLS}'");
            return Err(Failure::internal(why));
        }
        if *link != "eth0" {
            let why = format!(
                "unable to determine network endpoint for sysctl {key}, use driver option '{SYSCTLS}' to set per-interface sysctls"
            );
            return Err(Failure::internal(why));
        }
        moved.push((key.clone(), format!("net.{family}.{sort}.IFNAME.{name}={value}")));
    }
    if moved.is_empty() {
        return Ok(None);
    }
    let (keys, settings): (Vec<_>, Vec<_>) = moved.into_iter().unzip();
    let settings = settings.join(",");
    let options = place(networking, mode, version < ApiVersion::v1(44))?.driver_opts.get_or_insert_default();
    let all = match options.get(SYSCTLS) {
        Some(own) => format!("{settings},{own}"),
        None => settings.clone(),
    };
    options.insert(SYSCTLS.to_owned(), all);
    host.sysctls.retain(|key, _| !keys.contains(key));
    Ok(Some(format!("Migrated sysctl \"{}\" to DriverOpts{{\"{SYSCTLS}\":\"{settings}\"}}.", keys.join(","))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body after it was adapted, and warnings; or the refusal.
    fn check(minor: u16, text: &str) -> std::result::Result<(CreateBody, Vec<String>), String> {
        let mut body: CreateBody = serde_json::from_str(text).unwrap();
        match adapt(&mut body, ApiVersion::v1(minor)) {
            Ok(warnings) => Ok((body, warnings)),
            Err(failure) => Err(failure.0.message),
        }
    }

    fn host(minor: u16, text: &str) -> HostConfig {
        check(minor, &format!("{{\"HostConfig\":{text}}}")).unwrap().0.host_config.unwrap()
    }

    #[test]
    fn fields_that_come_and_go() {
        assert!(!host(24, r#"{"AutoRemove":true}"#).auto_remove && host(25, r#"{"AutoRemove":true}"#).auto_remove);
        assert_eq!((host(39, "{}").ipc_mode, host(40, "{}").ipc_mode), ("shareable".to_owned(), String::new()));
        assert_eq!(
            (host(41, r#"{"KernelMemory":9}"#).resources.kernel_memory, host(42, r#"{"KernelMemory":9}"#).resources.kernel_memory),
            (9, 0)
        );
        assert!(host(42, r#"{"Annotations":{"a":"b"}}"#).annotations.is_empty());
        let checked = |minor| check(minor, r#"{"Healthcheck":{"StartInterval":5}}"#).unwrap().0.config.healthcheck.unwrap().start_interval;
        assert_eq!((checked(43), checked(44)), (0, 5));
    }

    #[test]
    fn mounts_of_every_age() {
        let one = |minor, mount: &str| check(minor, &format!("{{\"HostConfig\":{{\"Mounts\":[{mount}]}}}}"));
        let refused = |minor, mount: &str, expect: &str| assert_eq!(one(minor, mount).unwrap_err(), expect);
        let mixed = r#"{"Type":"bind","TmpfsOptions":{},"VolumeOptions":{}}"#;
        refused(42, mixed, "VolumeOptions must not be specified on mount type \"bind\"");
        refused(42, r#"{"Type":"volume","BindOptions":{}}"#, "BindOptions must not be specified on mount type \"volume\"");
        refused(51, r#"{"Type":"volume","TmpfsOptions":{}}"#, "TmpfsOptions must not be specified on mount type \"volume\"");
        let kept = one(41, mixed).unwrap().0.host_config.unwrap().mounts.remove(0);
        assert!(kept.volume_options.is_none() && kept.tmpfs_options.is_none());
        let all = r#"{"Type":"bind","ReadOnly":true,"BindOptions":{"NonRecursive":true,"CreateMountpoint":true}}"#;
        let options = |minor| {
            let options = one(minor, all).unwrap().0.host_config.unwrap().mounts.remove(0).bind_options.unwrap();
            (options.non_recursive, options.create_mountpoint, options.read_only_non_recursive)
        };
        assert_eq!([39, 41, 43, 44].map(options), [(false, false, true), (true, false, true), (true, true, true), (true, true, false)]);
        let force = r#"{"Type":"bind","BindOptions":{"ReadOnlyForceRecursive":true}}"#;
        refused(43, force, "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
        let part = r#"{"Type":"volume","VolumeOptions":{"Subpath":"a"}}"#;
        refused(44, part, "VolumeOptions.Subpath needs API v1.45 or newer");
        refused(47, r#"{"Type":"image"}"#, "Mount type \"Image\" needs API v1.48 or newer");
        assert!(one(44, force).is_ok() && one(45, part).is_ok() && one(48, r#"{"Type":"image"}"#).is_ok());
    }

    #[test]
    fn places_in_networks() {
        let two = r#"{"NetworkingConfig":{"EndpointsConfig":{"a":{"GwPriority":3},"b":null}}}"#;
        assert_eq!(check(43, two).unwrap_err(), "Container cannot be created with multiple network endpoints: a, b");
        let priority =
            |minor| check(minor, two).unwrap().0.networking_config.unwrap().endpoints_config.unwrap()["a"].clone().unwrap().gw_priority;
        assert_eq!((priority(47), priority(48)), (0, 3));
    }

    #[test]
    fn hardware_addresses() {
        let mac = |minor, text: &str| {
            let (body, warnings) = check(minor, text)?;
            let places = body.networking_config.unwrap().endpoints_config.unwrap_or_default();
            let found =
                places.into_iter().map(|(name, place)| format!("{name}={}", place.unwrap_or_default().mac_address)).collect::<Vec<_>>();
            Ok::<_, String>((found.join(" "), warnings.len()))
        };
        let own = r#"{"MacAddress":"02:00:00:00:00:01"}"#;
        let is =
            |place: &str, warnings| Ok(((if place.is_empty() { String::new() } else { format!("{place}=02:00:00:00:00:01") }), warnings));
        assert_eq!((mac(43, own), mac(44, own)), (is("bridge", 0), is("bridge", 1)));
        let host = r#"{"MacAddress":"02:00:00:00:00:01","HostConfig":{"NetworkMode":"host"}}"#;
        assert_eq!(mac(43, host), Err("conflicting options: mac-address and the network mode".into()));
        assert_eq!(mac(44, host), is("", 1));
        let of_place =
            r#"{"HostConfig":{"NetworkMode":"n"},"NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02:00:00:00:00:01"}}}}"#;
        assert_eq!((mac(43, of_place), mac(44, of_place)), (Ok(("n=".into(), 0)), is("n", 0)));
        let other = of_place.replacen('{', r#"{"MacAddress":"02:00:00:00:00:02","#, 1);
        assert!(mac(44, &other).unwrap_err().starts_with("the container-wide MAC address must match"));
        let elsewhere = own.replace('}', r#","HostConfig":{"NetworkMode":"m"},"NetworkingConfig":{"EndpointsConfig":{"n":{}}}}"#);
        assert_eq!(
            mac(44, &elsewhere).unwrap_err(),
            "HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks"
        );
        assert_eq!(mac(43, &elsewhere), is("n", 0));
    }

    #[test]
    fn parameters_of_links_and_drivers_of_volumes() {
        let text = r#"{"HostConfig":{"Sysctls":{"net.ipv4.conf.eth0.log_martians":"1","net.ipv4.ip_forward":"1"}}}"#;
        let (body, warnings) = check(47, text).unwrap();
        let setting = "net.ipv4.conf.IFNAME.log_martians=1";
        assert_eq!(
            warnings,
            [format!("Migrated sysctl \"net.ipv4.conf.eth0.log_martians\" to DriverOpts{{\"{SYSCTLS}\":\"{setting}\"}}.")]
        );
        let place = body.networking_config.unwrap().endpoints_config.unwrap()["bridge"].clone().unwrap();
        assert_eq!(place.driver_opts.unwrap()[SYSCTLS], setting);
        assert_eq!(body.host_config.unwrap().sysctls.len(), 1);
        let expect = format!(
            "interface specific sysctl setting \"net.ipv4.conf.eth0.log_martians\" must be supplied using driver option '{SYSCTLS}'"
        );
        assert_eq!(check(48, text).unwrap_err(), expect);
        assert!(check(47, &text.replace("eth0", "eth1")).unwrap_err().starts_with("unable to determine network endpoint"));
        assert!(check(48, r#"{"HostConfig":{"NetworkMode":"host","Sysctls":{"net.ipv4.conf.eth0.x":"1"}}}"#).is_ok());
        let driven = r#"{"HostConfig":{"VolumeDriver":"d","Mounts":[{"Type":"volume"}]}}"#;
        let warned = |minor, text| check(minor, text).unwrap().1.len();
        assert_eq!((warned(47, driven), warned(48, driven), warned(48, r#"{"HostConfig":{"VolumeDriver":"d"}}"#)), (0, 1, 0));
    }
}
