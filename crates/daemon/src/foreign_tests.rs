//! Every flag of dockerd 28 and every key is taken, and what is said of them.

use super::*;
use crate::args;
use serde_json::json;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// Every flag of dockerd 28: its name, its letter, a value, and its key in the file with a value of the right kind.
fn dockerd() -> Vec<(&'static str, &'static str, &'static str, &'static str, Value)> {
    let runtimes = json!({"x": {"path": "/x"}});
    let pools = json!([{"base": "10.0.0.0/8", "size": 24}]);
    vec![
        ("add-runtime", "", "x=/x", "runtimes", runtimes),
        ("allow-direct-routing", "", "", "allow-direct-routing", json!(true)),
        ("allow-nondistributable-artifacts", "", "x", "allow-nondistributable-artifacts", json!(["x"])),
        ("api-cors-header", "", "=", "api-cors-header", json!("")),
        ("authorization-plugin", "", "who", "authorization-plugins", json!([])),
        ("bip", "", "10.0.0.1/24", "bip", json!("10.0.0.1/24")),
        ("bip6", "", "fd00::1/64", "bip6", json!("fd00::1/64")),
        ("bridge", "b", "none", "bridge", json!("none")),
        ("cdi-spec-dir", "", "/a", "cdi-spec-dirs", json!(["/a"])),
        ("cgroup-parent", "", "/x", "cgroup-parent", json!("/x")),
        ("config-file", "", "/f", "", Value::Null),
        ("containerd", "", "/run/containerd/containerd.sock", "containerd", json!("/run/c.sock")),
        ("containerd-namespace", "", "x", "containerd-namespace", json!("x")),
        ("containerd-plugins-namespace", "", "x", "containerd-plugins-namespace", json!("x")),
        ("cpu-rt-period", "", "5", "cpu-rt-period", json!(5)),
        ("cpu-rt-runtime", "", "5", "cpu-rt-runtime", json!(5)),
        ("cri-containerd", "", "", "cri-containerd", json!(true)),
        ("data-root", "", "/d", "data-root", json!("/d")),
        ("debug", "D", "", "debug", json!(true)),
        ("default-address-pool", "", "base=10.0.0.0/8,size=24", "default-address-pools", pools),
        ("default-cgroupns-mode", "", "host", "default-cgroupns-mode", json!("host")),
        ("default-gateway", "", "10.0.0.1", "default-gateway", json!("10.0.0.1")),
        ("default-gateway-v6", "", "fd00::1", "default-gateway-v6", json!("fd00::1")),
        ("default-ipc-mode", "", "shareable", "default-ipc-mode", json!("shareable")),
        ("default-network-opt", "", "bridge=a=b", "default-network-opts", json!({"bridge": {"a": "b"}})),
        ("default-runtime", "", "runc", "default-runtime", json!("runc")),
        ("default-shm-size", "", "1m", "default-shm-size", json!("1m")),
        ("default-ulimit", "", "nofile=1:2", "default-ulimits", json!({"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}})),
        ("dns", "", "10.0.0.1", "dns", json!(["10.0.0.1"])),
        ("dns-opt", "", "x", "dns-opts", json!(["x"])),
        ("dns-search", "", "x", "dns-search", json!(["x"])),
        ("exec-opt", "", "native.cgroupdriver=systemd", "exec-opts", json!(["native.cgroupdriver=cgroupfs"])),
        ("exec-root", "", "/x", "exec-root", json!("/x")),
        ("experimental", "", "", "experimental", json!(true)),
        ("feature", "", "cdi", "features", json!({"cdi": true})),
        ("fixed-cidr", "", "10.0.0.0/24", "fixed-cidr", json!("10.0.0.0/24")),
        ("fixed-cidr-v6", "", "fd00::/64", "fixed-cidr-v6", json!("fd00::/64")),
        ("group", "G", "docker", "group", json!("docker")),
        ("host", "H", "unix:///s", "hosts", json!(["unix:///s"])),
        ("host-gateway-ip", "", "10.0.0.1", "host-gateway-ips", json!(["10.0.0.1"])),
        ("http-proxy", "", "http://p", "http-proxy", Value::Null),
        ("https-proxy", "", "http://p", "https-proxy", Value::Null),
        ("icc", "", "", "icc", json!(true)),
        ("init", "", "", "init", json!(true)),
        ("init-path", "", "/init", "init-path", json!("/init")),
        ("insecure-registry", "", "x", "insecure-registries", json!(["x"])),
        ("ip", "", "10.0.0.1", "ip", json!("10.0.0.1")),
        ("ip-forward", "", "", "ip-forward", json!(true)),
        ("ip-forward-no-drop", "", "", "ip-forward-no-drop", json!(true)),
        ("ip-masq", "", "", "ip-masq", json!(true)),
        ("ip6tables", "", "", "ip6tables", json!(false)),
        ("iptables", "", "", "iptables", json!(true)),
        ("ipv6", "", "", "ipv6", json!(true)),
        ("label", "", "a=b", "labels", json!(["a=b"])),
        ("live-restore", "", "", "live-restore", json!(true)),
        ("log-driver", "", "local", "log-driver", json!("local")),
        ("log-format", "", "json", "log-format", json!("json")),
        ("log-level", "l", "warn", "log-level", json!("warn")),
        ("log-opt", "", "max-size=1m", "log-opts", json!({"max-size": "1m"})),
        ("max-concurrent-downloads", "", "2", "max-concurrent-downloads", json!(2)),
        ("max-concurrent-uploads", "", "2", "max-concurrent-uploads", json!(2)),
        ("max-download-attempts", "", "2", "max-download-attempts", json!(2)),
        ("metrics-addr", "", "127.0.0.1:0", "metrics-addr", json!("127.0.0.1:0")),
        ("mtu", "", "1400", "mtu", json!(1400)),
        ("network-control-plane-mtu", "", "1400", "network-control-plane-mtu", json!(1400)),
        ("network-diagnostic-port", "", "9", "network-diagnostic-port", json!(9)),
        ("no-new-privileges", "", "", "no-new-privileges", json!(true)),
        ("no-proxy", "", "x", "no-proxy", Value::Null),
        ("node-generic-resource", "", "a=b", "node-generic-resources", json!(["a=b"])),
        ("pidfile", "p", "/p", "pidfile", json!("/p")),
        ("raw-logs", "", "", "raw-logs", json!(true)),
        ("registry-mirror", "", "https://m", "registry-mirrors", json!(["https://m"])),
        ("restart", "r", "", "restart", json!(true)),
        ("rootless", "", "", "rootless", json!(true)),
        ("seccomp-profile", "", "unconfined", "seccomp-profile", json!("unconfined")),
        ("selinux-enabled", "", "", "selinux-enabled", json!(true)),
        ("shutdown-timeout", "", "5", "shutdown-timeout", json!(5)),
        ("storage-driver", "s", "overlay2", "storage-driver", json!("zfs")),
        ("storage-opt", "", "overlay2.override_kernel_check=1", "storage-opts", json!(["overlay2.override_kernel_check=1"])),
        ("swarm-default-advertise-addr", "", "eth0", "swarm-default-advertise-addr", json!("eth0")),
        ("tls", "", "", "tls", json!(false)),
        ("tlscacert", "", "/c", "tlscacert", json!("/c")),
        ("tlscert", "", "/c", "tlscert", json!("/c")),
        ("tlskey", "", "/c", "tlskey", json!("/c")),
        ("tlsverify", "", "", "tlsverify", json!(false)),
        ("userland-proxy", "", "", "userland-proxy", json!(false)),
        ("userland-proxy-path", "", "/p", "userland-proxy-path", json!("/p")),
        ("userns-remap", "", "default", "userns-remap", json!("default")),
        ("validate", "", "", "", Value::Null),
    ]
}

fn parse(words: &[String]) -> Result<args::Args, String> {
    args::parse(words.iter().map(OsString::from)).map_err(|instead| instead.text.lines().next().unwrap_or_default().to_owned())
}

/// What the command line makes of them, and the file.
fn load(words: &[String], file: &Value) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("daemon.json");
    std::fs::write(&path, file.to_string()).unwrap();
    let words: Vec<String> = words.iter().cloned().chain(["--config-file".to_owned(), path.to_string_lossy().into_owned()]).collect();
    let settings = crate::config::Settings::load(parse(&words)?).map_err(|error| format!("{error:#}"))?;
    Ok(settings.warnings.into_iter().map(|text| text.replace(&*path.to_string_lossy(), "FILE")).collect())
}

#[test]
fn each_flag_of_dockerd_is_taken_and_each_key() {
    let help = args::parse([OsString::from("--help")]).unwrap_err().text;
    let hidden = ["allow-nondistributable-artifacts", "api-cors-header", "network-diagnostic-port", "restart"];
    for (flag, short, value, key, in_file) in dockerd() {
        let mut spelt = vec![if value.is_empty() { vec![format!("--{flag}")] } else { vec![format!("--{flag}={value}")] }];
        if value.is_empty() {
            spelt.push(vec![format!("--{flag}=F")]);
        } else {
            spelt.push(vec![format!("--{flag}"), value.to_owned()]);
        }
        if !short.is_empty() {
            spelt.push([vec![format!("-{short}")], Some(value.to_owned()).filter(|v| !v.is_empty()).into_iter().collect()].concat());
        }
        for words in &spelt {
            let args = parse(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
            assert!(args.given.contains_key(flag), "{words:?}");
        }
        let listed = help.lines().any(|line| line.split([' ', ',', '=', '[']).any(|word| word == format!("--{flag}")));
        assert_eq!(listed, !hidden.contains(&flag), "{flag} in the help");
        if key.is_empty() || in_file.is_null() {
            continue;
        }
        load(&[], &json!({key: in_file})).unwrap_or_else(|error| panic!("{key}: {error}"));
        if flag == "add-runtime" || flag == "authorization-plugin" {
            continue;
        }
        let both = load(&spelt[0], &json!({key: in_file})).expect_err(flag);
        let expect = format!("specified both as a flag and in the configuration file: {key}: (from flag: ");
        assert!(both.contains(&expect), "{flag}: {both}");
    }
}

#[test]
fn what_is_said_of_them() {
    let check = |words: &[&str], file: Value, expect: Result<&[&str], &str>| {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let got = load(&words, &file);
        match (&got, expect) {
            (Ok(got), Ok(expect)) => {
                assert!(got.len() == expect.len() && got.iter().zip(expect).all(|(got, head)| got.starts_with(head)), "{words:?}: {got:?}");
            }
            (Err(got), Err(expect)) => assert!(got.ends_with(expect), "{words:?} {file}: {got}"),
            _ => panic!("{words:?} {file}: {got:?}"),
        }
    };
    let none = || json!({});
    // A unit file of Docker's.
    check(
        &["-H", "fd://", "--containerd=/run/containerd/containerd.sock"],
        none(),
        Ok(&["the flag --containerd has no effect: no containerd"]),
    );
    // What is done here anyway.
    check(
        &["-s", "overlay2", "--exec-opt", "native.cgroupdriver=cgroupfs", "--userland-proxy", "--rootless=0", "--raw-logs", "--restart=f"],
        json!({"ip6tables": true, "ip-forward-no-drop": true, "containerd-namespace": "moby", "iptables": true}),
        Ok(&[]),
    );
    check(
        &["--storage-driver", "zfs", "--userland-proxy=false"],
        json!({"exec-opts": ["native.cgroupdriver=systemd"], "userland-proxy-path": "/x"}),
        Ok(&[
            "the flag --storage-driver has no effect: containers and images",
            "the flag --userland-proxy has no effect: what the packet",
            "FILE: the key \"exec-opts\" has no effect: the engine makes",
            "FILE: the key \"userland-proxy-path\" has no effect: what the",
        ]),
    );
    for (words, file, expect) in [
        (
            vec!["--authorization-plugin", "who"],
            none(),
            "authorization-plugins: there are no plugins in this release that could decide who may do what",
        ),
        (vec!["--exec-opt", "x"], none(), "invalid exec-opt (x): must be formatted 'opt=value'"),
        (vec!["--exec-opt", "x=y"], none(), "invalid exec-opt (x=y): unknown option: 'x'"),
        (vec!["--exec-opt", "isolation=y"], none(), "invalid exec-opt (isolation=y): option 'isolation' is only supported on windows"),
        (vec!["--exec-opt", "native.cgroupdriver=x"], none(), "native.cgroupdriver option x not supported"),
        (
            vec![],
            json!({"exec-opts": ["native.cgroupdriver=none"]}),
            "native.cgroupdriver option none is internally used and cannot be specified manually",
        ),
        (vec!["-s", "x"], none(), "error initializing graphdriver: driver not supported: x"),
        (vec!["--network-diagnostic-port", "70000"], none(), "invalid network-diagnostic-port (70000): value must be between 0 and 65535"),
        (vec!["--node-generic-resource", "x"], none(), "invalid node-generic-resource format `x` expected `name=value`"),
        (vec!["--api-cors-header", "*"], none(), "have been removed; use a reverse proxy if you need CORS headers"),
        (vec!["--containerd-namespace", "plugins.moby"], none(), "containers namespace and plugins namespace cannot be the same"),
        (vec!["--log-format", "x"], none(), "invalid log format: x"),
        (vec!["--mtu", "-1"], none(), "invalid default MTU: -1"),
        (vec!["--iptables=false", "--icc=false"], none(), "ICC=false uses iptables to function. Please set --icc or --iptables to true"),
        (
            vec!["--feature", "a=x"],
            none(),
            "invalid argument \"a=x\" for \"--feature\" flag: strconv.ParseBool: parsing \"x\": invalid syntax",
        ),
        (vec![], json!({"rootless": "x"}), "json: cannot unmarshal string into Go struct field Config.rootless of type bool"),
        (vec![], json!({"cpu-rt-period": true}), "json: cannot unmarshal bool into Go struct field Config.cpu-rt-period of type int"),
        (
            vec![],
            json!({"node-generic-resources": [1]}),
            "cannot unmarshal number into Go struct field Config.node-generic-resources of type string",
        ),
    ] {
        check(&words, file, Err(expect));
    }
}

#[test]
fn no_name_is_there_twice() {
    let mut names = BTreeMap::new();
    for foreign in &ALL {
        assert!(names.insert(foreign.key, foreign.flag).is_none(), "{}", foreign.key);
        assert!(foreign.same == ANY || !foreign.instead.is_empty(), "{}", foreign.key);
    }
}
