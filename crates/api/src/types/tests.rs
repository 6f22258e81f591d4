//! Shapes on the wire.

use super::*;

#[test]
fn null_and_missing_are_defaults() {
    let body: CreateBody = serde_json::from_str(
        r#"{"Hostname":null,"Cmd":"ls","Env":null,"Unknown":[1],"HostConfig":{"Binds":null,"Memory":5,"Mounts":null,"ConsoleSize":null}}"#,
    )
    .unwrap();
    assert_eq!(body.config.cmd, Some(Words(vec!["ls".into()])));
    assert_eq!(body.config.hostname, "");
    assert_eq!(body.host_config.unwrap().resources.memory, 5);
}

#[test]
fn keys_in_any_case_of_their_letters() {
    let body: CreateBody = serde_json::from_str(
        r#"{"image":"a","IMAGE":"b","labels":{"Key":"1","key":"2"},"hostConfig":{"memory":5,"LOGCONFIG":{"config":{"Max-Size":"1"}},
            "portBindings":{"80/TCP":[{"hostport":"1"}]},"nosuch":{"image":"c"}},"c\u006dd":["x"]}"#,
    )
    .unwrap();
    let host = body.host_config.unwrap();
    assert_eq!((body.config.image.as_str(), body.config.cmd), ("b", Some(Words(vec!["x".into()]))));
    assert_eq!(body.config.labels.unwrap().into_iter().collect::<Vec<_>>(), [("Key".into(), "1".into()), ("key".into(), "2".into())]);
    assert_eq!((host.resources.memory, host.log_config.config.unwrap()["Max-Size"].as_str()), (5, "1"));
    assert_eq!(host.port_bindings.unwrap()["80/TCP"].as_ref().unwrap()[0].host_port, "1");
    let refused = serde_json::from_str::<CreateBody>(r#"{"HostConfig":[]}"#).unwrap_err().to_string();
    assert_eq!(
        refused,
        "json: cannot unmarshal array into Go struct field ContainerConfigWrapper.HostConfig of type container.HostConfig at line 1 column 14"
    );
}

#[test]
fn empty_config_in_docker_order() {
    insta::assert_snapshot!(serde_json::to_string(&Config::default()).unwrap(), @r#"{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null}"#);
}

#[test]
fn empty_host_config_in_docker_order() {
    insta::assert_snapshot!(serde_json::to_string(&HostConfig::default()).unwrap(), @r#"{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"","Config":null},"NetworkMode":"","PortBindings":null,"RestartPolicy":{"Name":"","MaximumRetryCount":0},"AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,"ConsoleSize":[0,0],"CapAdd":null,"CapDrop":null,"CgroupnsMode":"","Dns":null,"DnsOptions":null,"DnsSearch":null,"ExtraHosts":null,"GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,"OomScoreAdj":0,"PidMode":"","Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,"SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":0,"Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":null,"BlkioDeviceReadBps":null,"BlkioDeviceWriteBps":null,"BlkioDeviceReadIOps":null,"BlkioDeviceWriteIOps":null,"CpuPeriod":0,"CpuQuota":0,"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","Devices":null,"DeviceCgroupRules":null,"DeviceRequests":null,"MemoryReservation":0,"MemorySwap":0,"MemorySwappiness":null,"OomKillDisable":null,"PidsLimit":null,"Ulimits":null,"CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,"IOMaximumBandwidth":0,"MaskedPaths":null,"ReadonlyPaths":null}"#);
}
