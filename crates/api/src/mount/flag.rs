//! `--mount KEY=VALUE,...` and `--tmpfs PATH[:OPTIONS]`.

use super::{MountError, clean, fail};
use crate::types::container::VolumeDriver;
use crate::types::{BindOptions, ImageOptions, Mount, TmpfsOptions, VolumeOptions};
use std::path::Path;

/// Reads `--mount`; a source that starts with a dot is taken from `directory`.
pub fn parse_mount(text: &str, directory: &Path) -> Result<Mount, MountError> {
    let mut mount = Mount { kind: "volume".into(), ..Mount::default() };
    for field in split_csv(text)? {
        match field.split_once('=') {
            None => set_bare(&mut mount, &field.to_lowercase(), &field)?,
            Some((key, value)) => set(&mut mount, &key.to_lowercase(), value, &field, directory)?,
        }
    }
    check(&mount)?;
    Ok(mount)
}

/// Whether `--mount` has a field that there is a newer one for.
pub fn is_outdated(text: &str) -> bool {
    let outdated = |field: &String| field.split_once('=').is_some_and(|(key, _)| key.eq_ignore_ascii_case("bind-nonrecursive"));
    split_csv(text).is_ok_and(|fields| fields.iter().any(outdated))
}

/// Reads `--tmpfs`: path and options.
pub fn parse_tmpfs(text: &str) -> (String, String) {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    (path.to_owned(), options.to_owned())
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    // The docker client names a driver, if only an empty one, with every option of a volume.
    mount.volume_options.get_or_insert_with(|| VolumeOptions { driver_config: Some(VolumeDriver::default()), ..VolumeOptions::default() })
}

fn driver(mount: &mut Mount) -> &mut VolumeDriver {
    volume(mount).driver_config.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn set_bare(mount: &mut Mount, key: &str, field: &str) -> Result<(), MountError> {
    match key {
        "readonly" | "ro" => mount.read_only = true,
        "volume-nocopy" => volume(mount).no_copy = true,
        "bind-nonrecursive" => bind(mount).non_recursive = true,
        _ => return fail(format!("invalid field '{field}' must be a key=value pair")),
    }
    Ok(())
}

fn set(mount: &mut Mount, key: &str, value: &str, field: &str, directory: &Path) -> Result<(), MountError> {
    let wrong = || MountError(format!("invalid value for {key}: {value}"));
    match key {
        "type" => mount.kind = value.to_lowercase(),
        "source" | "src" if value == "." || value.starts_with("./") => mount.source = clean(&directory.join(value).to_string_lossy()),
        "source" | "src" => mount.source = value.into(),
        "target" | "dst" | "destination" => mount.target = value.into(),
        "readonly" | "ro" => mount.read_only = boolean(value).ok_or_else(wrong)?,
        "consistency" => mount.consistency = value.to_lowercase(),
        "bind-propagation" => bind(mount).propagation = value.to_lowercase(),
        "bind-nonrecursive" => bind(mount).non_recursive = boolean(value).ok_or_else(wrong)?,
        "bind-recursive" => set_recursive(bind(mount), value)?,
        "volume-subpath" => volume(mount).subpath = value.into(),
        "volume-nocopy" => volume(mount).no_copy = boolean(value).ok_or_else(wrong)?,
        "volume-label" => insert(&mut volume(mount).labels, value),
        "volume-driver" => driver(mount).name = value.into(),
        "volume-opt" => insert(&mut driver(mount).options, value),
        "image-subpath" => mount.image_options.get_or_insert_with(ImageOptions::default).subpath = value.into(),
        "tmpfs-size" => tmpfs(mount).size_bytes = crate::size::parse_binary(value).map_err(|_| wrong())?,
        "tmpfs-mode" => tmpfs(mount).mode = u32::from_str_radix(value, 8).map_err(|_| wrong())?,
        _ => return fail(format!("unexpected key '{key}' in '{field}'")),
    }
    Ok(())
}

fn set_recursive(options: &mut BindOptions, value: &str) -> Result<(), MountError> {
    match value {
        "enabled" => {}
        "disabled" => options.non_recursive = true,
        "writable" => options.read_only_non_recursive = true,
        "readonly" => options.read_only_force_recursive = true,
        _ => {
            return fail(format!(
                "invalid value for bind-recursive: {value} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
            ));
        }
    }
    Ok(())
}

fn insert(map: &mut std::collections::BTreeMap<String, String>, pair: &str) {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    if !key.is_empty() {
        map.insert(key.into(), value.into());
    }
}

fn check(mount: &Mount) -> Result<(), MountError> {
    if mount.kind.is_empty() {
        return fail("type is required");
    }
    if mount.target.is_empty() {
        return fail("target is required");
    }
    for (given, kind) in [
        (mount.volume_options.is_some(), "volume"),
        (mount.image_options.is_some(), "image"),
        (mount.bind_options.is_some(), "bind"),
        (mount.tmpfs_options.is_some(), "tmpfs"),
    ] {
        if given && mount.kind != kind {
            return fail(format!("cannot mix '{kind}-*' options with mount type '{}'", mount.kind));
        }
    }
    if let Some(options) = &mount.bind_options {
        if options.read_only_non_recursive && !mount.read_only {
            return fail("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction");
        }
        if options.read_only_force_recursive && !mount.read_only {
            return fail("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction");
        }
        if options.read_only_force_recursive && options.propagation != "rprivate" {
            return fail("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction");
        }
    }
    Ok(())
}

/// Go's `strconv.ParseBool`.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// One line of comma separated values; a field in double quotes may hold commas, and `""` for a quote.
fn split_csv(line: &str) -> Result<Vec<String>, MountError> {
    if line.is_empty() {
        return fail("EOF");
    }
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let column = line.len() - rest.len() + 1;
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, after) = rest.split_once(',').map_or((rest, None), |(field, after)| (field, Some(after)));
            if let Some(at) = field.find('"') {
                return fail(format!("parse error on line 1, column {}: bare \" in non-quoted-field", column + at));
            }
            fields.push(field.to_owned());
            match after {
                Some(after) => rest = after,
                None => return Ok(fields),
            }
            continue;
        };
        let (field, after) = unquote(quoted, line)?;
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

fn unquote<'a>(mut rest: &'a str, line: &str) -> Result<(String, &'a str), MountError> {
    let mut field = String::new();
    loop {
        let Some((text, after)) = rest.split_once('"') else {
            return fail(format!("parse error on line 1, column {}: extraneous or missing \" in quoted-field", line.len() + 1));
        };
        field.push_str(text);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None if after.is_empty() || after.starts_with(',') => return Ok((field, after)),
            None => {
                let column = line.len() - after.len();
                return fail(format!("parse error on line 1, column {column}: extraneous or missing \" in quoted-field"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones() {
        let here = Path::new("/w");
        let mount = parse_mount("type=bind,src=./a,dst=/b,readonly", here).unwrap();
        assert_eq!((mount.source.as_str(), mount.target.as_str(), mount.read_only), ("/w/a", "/b", true));
        assert_eq!(parse_mount("TYPE=bind,Src=/a,dst=/b,READONLY", here).unwrap().source, "/a");
        assert!(is_outdated("type=bind,Bind-Nonrecursive=1") && !is_outdated("type=bind,src=bind-nonrecursive,bind-nonrecursive"));
        let mount = parse_mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770", here).unwrap();
        assert_eq!(mount.tmpfs_options, Some(TmpfsOptions { size_bytes: 1 << 20, mode: 0o1770, options: vec![] }));
        let mount = parse_mount("src=v,dst=/b,\"volume-opt=o=a,\"\"b\"\"\"", here).unwrap();
        assert_eq!(mount.volume_options.unwrap().driver_config.unwrap().options["o"], "a,\"b\"");
        assert_eq!(parse_tmpfs("/run:rw,size=1m"), ("/run".into(), "rw,size=1m".into()));
    }

    #[test]
    fn errors_in_docker_words() {
        let check = |text: &str, expect: &str| assert_eq!(parse_mount(text, Path::new("/")).unwrap_err().0, expect);
        check("target", "invalid field 'target' must be a key=value pair");
        check("type=bind,foo=bar", "unexpected key 'foo' in 'foo=bar'");
        check("type=bind,src=/tmp", "target is required");
        check("type=tmpfs,ro=x,target=/x", "invalid value for ro: x");
        check("type=tmpfs,tmpfs-size=x,target=/x", "invalid value for tmpfs-size: x");
        check("type=tmpfs,volume-nocopy,target=/x", "cannot mix 'volume-*' options with mount type 'tmpfs'");
        check(
            "type=bind,bind-recursive=x,target=/x",
            "invalid value for bind-recursive: x (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")",
        );
        check("a\"b", "parse error on line 1, column 2: bare \" in non-quoted-field");
        check("", "EOF");
    }
}
