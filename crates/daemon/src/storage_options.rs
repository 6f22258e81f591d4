//! How layers are kept: `--storage-opt`, and `storage-opts` in the file.

use anyhow::{Result, bail};
use dhow_engine::layers::{Choice, Compressed, Form, Layers};

/// The options of ours. Docker's own are those of its drivers.
const LAYERS: &str = "dhow.layers";
const COMPRESSED: &str = "dhow.compressed";
/// Of Docker's, one that asks for what is done here anyway.
const HARMLESS: &str = "overlay2.override_kernel_check";

/// Flags over the file, as lists: with flags the file's do not count.
pub(crate) fn merge(flags: &[String], file: &[String]) -> Result<Layers> {
    let mut layers = Layers::default();
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
    fn options() {
        let list = |options: &[&str]| options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>();
        let check = |flags: &[&str], file: &[&str], expect: std::result::Result<(Choice, Compressed), &str>| {
            let got = merge(&list(flags), &list(file)).map(|layers| (layers.form, layers.compressed)).map_err(|error| error.to_string());
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
