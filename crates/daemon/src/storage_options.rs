//! How layers are kept and what containers get of them: `--storage-opt`, and `storage-opts` in the file.

use anyhow::{Result, bail};
use dhow_engine::layers::{Choice, Compressed, Form, Layers, Root, Roots};

/// The options of ours. Docker's own are those of its drivers.
const LAYERS: &str = "dhow.layers";
const COMPRESSED: &str = "dhow.compressed";
const ROOTS: &str = "dhow.roots";
/// Of Docker's, one that asks for what is done here anyway.
const HARMLESS: &str = "overlay2.override_kernel_check";

/// Flags over the file, as lists: with flags the file's do not count. Of Docker's drivers only `vfs` asks for something that is not done anyway.
pub(crate) fn merge(flags: &[String], file: &[String], driver: Option<&str>) -> Result<Layers> {
    let mut layers = Layers::default();
    if driver == Some("vfs") {
        layers.roots = Roots::Only(Root::Copy);
    }
    for option in if flags.is_empty() { file } else { flags } {
        let Some((key, value)) = option.split_once('=') else {
            bail!("unable to parse key/value option: {option}");
        };
        match (key.trim().to_ascii_lowercase().as_str(), value.trim()) {
            (LAYERS, "auto") => layers.form = Choice::Probe,
            (LAYERS, form) => match form.parse::<Form>() {
                Ok(form) => layers.form = Choice::Only(form),
                Err(_) => bail!("invalid value {form:?} for the storage option {LAYERS}: auto, tar+erofs or dir"),
            },
            (COMPRESSED, "keep") => layers.compressed = Compressed::Keep,
            (COMPRESSED, "drop") => layers.compressed = Compressed::Drop,
            (COMPRESSED, other) => bail!("invalid value {other:?} for the storage option {COMPRESSED}: keep or drop"),
            (ROOTS, "auto") => layers.roots = Roots::Probe,
            (ROOTS, "overlay") => layers.roots = Roots::Only(Root::Overlay),
            (ROOTS, "copy") => layers.roots = Roots::Only(Root::Copy),
            (ROOTS, other) => bail!("invalid value {other:?} for the storage option {ROOTS}: auto, overlay or copy"),
            (HARMLESS, _) => {}
            (key, _) => bail!("overlay2: unknown option {key}"),
        }
    }
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots() {
        let check = |driver: Option<&str>, options: &[&str], expect: std::result::Result<Roots, &str>| {
            let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
            let got = merge(&options, &[], driver).map(|layers| layers.roots).map_err(|error| error.to_string());
            assert_eq!(got.as_ref().map_err(String::as_str), expect.as_ref().map_err(|text| *text), "{driver:?} {options:?}");
        };
        check(None, &[], Ok(Roots::Probe));
        check(Some("overlay2"), &[], Ok(Roots::Probe));
        check(Some("vfs"), &[], Ok(Roots::Only(Root::Copy)));
        check(Some("vfs"), &["dhow.roots=auto"], Ok(Roots::Probe));
        check(None, &["dhow.roots=copy", "dhow.layers=dir"], Ok(Roots::Only(Root::Copy)));
        check(None, &["dhow.roots=copy", "dhow.roots=auto"], Ok(Roots::Probe));
        check(None, &["dhow.roots=overlay"], Ok(Roots::Only(Root::Overlay)));
        check(None, &["dhow.roots=vfs"], Err("invalid value \"vfs\" for the storage option dhow.roots: auto, overlay or copy"));
    }

    #[test]
    fn options() {
        let list = |options: &[&str]| options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>();
        let check = |flags: &[&str], file: &[&str], expect: std::result::Result<(Choice, Compressed), &str>| {
            let got =
                merge(&list(flags), &list(file), None).map(|layers| (layers.form, layers.compressed)).map_err(|error| error.to_string());
            assert_eq!(got.as_ref().map_err(String::as_str), expect.as_ref().map_err(|text| *text), "{flags:?} {file:?}");
        };
        let default = (Choice::Probe, Compressed::Keep);
        check(&[], &[], Ok(default));
        check(&[], &["dhow.layers=dir"], Ok((Choice::Only(Form::Directory), Compressed::Keep)));
        check(&["dhow.layers=tar+erofs"], &["dhow.layers=dir"], Ok((Choice::Only(Form::Index), Compressed::Keep)));
        check(&["dhow.layers=auto"], &["dhow.layers=dir"], Ok(default));
        check(&["overlay2.override_kernel_check=true"], &[], Ok(default));
        check(&[], &["dhow.compressed=drop"], Ok((Choice::Probe, Compressed::Drop)));
        check(&["dhow.compressed=keep"], &["dhow.compressed=drop"], Ok(default));
        check(&["dhow.compressed=no"], &[], Err("invalid value \"no\" for the storage option dhow.compressed: keep or drop"));
        check(&["dhow.layers"], &[], Err("unable to parse key/value option: dhow.layers"));
        check(&[], &["dhow.layers=zip"], Err("invalid value \"zip\" for the storage option dhow.layers: auto, tar+erofs or dir"));
        check(&["overlay2.nothing=1"], &[], Err("overlay2: unknown option overlay2.nothing"));
    }
}
