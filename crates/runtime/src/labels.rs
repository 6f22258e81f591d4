//! SELinux labels: of the process, set at its exec, and of the mounts.

use crate::error::{Failure, Result};
use std::path::Path;

/// Where the kernel shows that it has SELinux.
const FILES: &str = "/sys/fs/selinux/enforce";

/// Filesystems that are labelled by the kernel's own rules.
const OWN_RULES: [&str; 3] = ["proc", "sysfs", "mqueue"];

/// A label is asked for: the host must have SELinux.
pub(crate) fn agree(field: &str, label: Option<&String>) -> Result<()> {
    if label.is_none() || Path::new(FILES).exists() {
        return Ok(());
    }
    Err(Failure::invalid(field, "selinux label is specified in config, but selinux is disabled or not supported"))
}

/// The option that gives a new filesystem of this kind its label.
pub(crate) fn of_filesystem<'l>(kind: &str, label: Option<&'l String>) -> Option<(&'static str, &'l str)> {
    label.filter(|_| !OWN_RULES.contains(&kind)).map(|label| ("context", label.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_labelled() {
        let label = "system_u:object_r:container_file_t:s0:c1,c2".to_owned();
        assert_eq!(of_filesystem("tmpfs", Some(&label)), Some(("context", label.as_str())));
        assert_eq!(of_filesystem("proc", Some(&label)), None);
        assert_eq!(of_filesystem("tmpfs", None), None);
    }

    #[test]
    fn without_selinux_a_label_is_refused() {
        assert!(agree("x", None).is_ok());
        let outcome = agree("linux.mountLabel", Some(&"l".to_owned()));
        assert_eq!(outcome.is_ok(), Path::new(FILES).exists());
        assert!(outcome.err().is_none_or(|failure| failure.object == "linux.mountLabel"));
    }
}
