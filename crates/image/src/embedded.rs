//! The image that the program carries: `hello`.

use crate::error::{Error, Result, io};
use crate::{hello, model};
use dhow_reference::Reference;

/// Content of an image that is about to be taken in.
#[derive(Debug)]
pub(crate) struct Embedded {
    /// The configuration's bytes: the same in every build, so that the id is.
    pub(crate) config: Vec<u8>,
    /// The tar of its one layer.
    pub(crate) layer: Vec<u8>,
}

/// The embedded image of this name, if there is one for this machine.
pub(crate) fn find(name: &Reference) -> Result<Option<Embedded>> {
    if name.domain() != "docker.io" || name.path() != "library/hello" || name.tag() != Some("latest") || name.digest().is_some() {
        return Ok(None);
    }
    let architecture = model::host_architecture();
    let Some(program) = hello::program(architecture) else { return Ok(None) };
    let layer = layer(&program).map_err(io("write", "the embedded layer"))?;
    let config = config(architecture, &layer)?;
    Ok(Some(Embedded { config, layer }))
}

fn layer(program: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, "hello", program)?;
    tar.into_inner()
}

fn config(architecture: &str, layer: &[u8]) -> Result<Vec<u8>> {
    use sha2::{Digest, Sha256};
    let diff = format!("sha256:{}", hex::encode(Sha256::digest(layer)));
    let value = serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Cmd": ["/hello"],
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "WorkingDir": "/"
        },
        "rootfs": {"type": "layers", "diff_ids": [diff]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "dhow", "comment": "embedded in the program"}]
    });
    serde_json::to_vec(&value).map_err(|e| Error::Invalid(e.to_string()))
}
