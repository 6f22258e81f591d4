//! Directories of CDI files, and what containers get of them.

use super::*;

const JSON: &str = r#"{"cdiVersion":"0.6.0","kind":"vendor.com/thing","annotations":{"a":"b"},
    "containerEdits":{"env":["ALL=1"]},
    "devices":[
        {"name":"zero","annotations":{},"containerEdits":{"env":["ZERO=1"],
            "deviceNodes":[{"path":"/dev/thing0","hostPath":"/dev/zero","permissions":"rw","fileMode":384,"uid":7,"gid":8}],
            "mounts":[{"hostPath":"/srv","containerPath":"/thing/../srv","options":["ro","nosuid"]}],
            "additionalGids":[0,42]}},
        {"name":"null","containerEdits":{"deviceNodes":[{"path":"/dev/null2","type":"c","major":1,"minor":3}]}}]}"#;

fn dir(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn one(text: &str) -> Result<Registry, String> {
    let dir = dir(&[("x.json", text)]);
    let registry = Registry::read(&[dir.path().to_owned()]);
    match registry.errors.first() {
        Some((_, why)) => Err(why.rsplit_once(".json\": ").map(|(_, why)| why.to_owned()).unwrap_or_default()),
        None => Ok(registry),
    }
}

#[test]
fn edits_of_devices() {
    let registry = one(JSON).unwrap();
    assert_eq!(registry.names().collect::<Vec<_>>(), ["vendor.com/thing=null", "vendor.com/thing=zero"]);
    assert!(registry.has_kind("vendor.com/thing") && !registry.has_kind("vendor.com/thin"));
    let edits = registry.edits(&names(&["vendor.com/thing=zero", "vendor.com/thing=null"])).unwrap();
    // The file's own wishes come first, and once.
    assert_eq!(edits.env, ["ALL=1", "ZERO=1"]);
    let node = &edits.nodes[0];
    assert_eq!((node.path().to_str(), node.major(), node.minor()), (Some("/dev/thing0"), 1, 5));
    assert_eq!((node.file_mode(), node.uid(), node.gid()), (Some(0o600), Some(7), Some(8)));
    let rules: Vec<String> = edits.rules.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["c 1:5 rw", "c 1:3 rwm"]);
    let mount = &edits.mounts[0];
    assert_eq!((mount.destination().to_str(), mount.typ().as_deref()), (Some("/srv"), Some("bind")));
    assert_eq!(mount.options().as_deref().unwrap(), ["rbind", "ro", "nosuid"]);
    assert_eq!(edits.groups, [42]);
}

#[test]
fn what_cannot_be_resolved() {
    let registry = one(JSON).unwrap();
    assert_eq!(
        registry.edits(&names(&["vendor.com/thing=zero", "a.b/c=d", "e.f/g=h"])).unwrap_err(),
        "CDI device injection failed: unresolvable CDI devices a.b/c=d, e.f/g=h"
    );
    let text = JSON.replace("/dev/zero", "/dev/nope");
    assert_eq!(
        one(&text).unwrap().edits(&names(&["vendor.com/thing=zero"])).unwrap_err(),
        "CDI device injection failed: failed to inject devices: failed to stat CDI host device \"/dev/nope\": no such file or directory"
    );
    let text = JSON.replace("\"permissions\"", "\"type\":\"b\",\"permissions\"");
    assert_eq!(
        one(&text).unwrap().edits(&names(&["vendor.com/thing=zero"])).unwrap_err(),
        "CDI device injection failed: failed to inject devices: CDI device (\"/dev/thing0\", \"/dev/zero\"), host type mismatch (b, c)"
    );
}

#[test]
fn files_that_are_wrong() {
    let check = |from: &str, to: &str, expect: &str| {
        let why = one(&JSON.replace(from, to)).unwrap_err();
        assert!(why.contains(expect), "{why}");
    };
    check("0.6.0", "9.9.9", "invalid version \"9.9.9\"");
    check("vendor.com/thing", "vendor.com", "invalid kind");
    check("\"name\":\"null\"", "\"name\":\"zero\"", "invalid spec, multiple device \"zero\"");
    check("\"name\":\"null\"", "\"name\":\"-\"", "failed add device \"-\": invalid device name");
    check("ZERO=1", "=1", "invalid environment variable \"=1\"");
    check("\"permissions\":\"rw\"", "\"permissions\":\"x\"", "device \"/dev/thing0\": invalid permissions \"x\"");
    check("\"hostPath\":\"/srv\"", "\"hostPath\":\"\"", "invalid mount, empty host path");
    check("\"env\":[\"ALL=1\"]", "\"hooks\":[{\"hookName\":\"x\",\"path\":\"/x\"}]", "invalid hook name \"x\"");
    check("\"env\":[\"ALL=1\"]", "\"nope\":1", "unknown field `nope`");
    check("\"env\":[\"ALL=1\"]", "\"env\":1", "failed to unmarshal CDI Spec");
}

#[test]
fn later_directories_win_and_equals_quarrel() {
    let small =
        |env: &str| format!("cdiVersion: \"0.3.0\"\nkind: v.com/c\ndevices:\n- name: d\n  containerEdits:\n    env:\n    - {env}\n");
    let (low, high) = (dir(&[("a.yaml", &small("FROM=low"))]), dir(&[("a.yaml", &small("FROM=high"))]));
    let both = Registry::read(&[low.path().to_owned(), high.path().to_owned()]);
    assert_eq!(both.edits(&names(&["v.com/c=d"])).unwrap().env, ["FROM=high"]);
    let quarrel = dir(&[("a.yaml", &small("FROM=a")), ("b.yaml", &small("FROM=b")), ("c.txt", "no"), ("d.yaml", "no: [")]);
    let registry = Registry::read(&[quarrel.path().to_owned(), PathBuf::from("/nowhere/at/all")]);
    assert!(registry.edits(&names(&["v.com/c=d"])).is_err());
    assert_eq!(registry.errors.len(), 2);
    // Who comes later ends it.
    let ended = Registry::read(&[quarrel.path().to_owned(), high.path().to_owned()]);
    assert_eq!(ended.edits(&names(&["v.com/c=d"])).unwrap().env, ["FROM=high"]);
}

#[test]
fn hooks_and_what_is_not_there_yet() {
    let hook = r#""hooks":[{"hookName":"createContainer","path":"/bin/x","args":["x","y"],"env":["A=1"],"timeout":3}]"#;
    let registry = one(&JSON.replace("\"env\":[\"ALL=1\"]", hook)).unwrap();
    let edits = registry.edits(&names(&["vendor.com/thing=null"])).unwrap();
    assert_eq!(edits.hooks[0].0, "createContainer");
    assert_eq!((edits.hooks[0].1.path().to_str(), edits.hooks[0].1.timeout()), (Some("/bin/x"), Some(3)));
    let rdt = one(&JSON.replace("\"env\":[\"ALL=1\"]", "\"intelRdt\":{\"closID\":\"x\"}")).unwrap();
    assert!(rdt.edits(&names(&["vendor.com/thing=null"])).unwrap_err().contains("intelRdt is not supported"));
}
