//! `GET /version`.

use super::SERVER_VERSION;
use super::host::HostFacts;
use crate::error::Result;
use crate::http::{Cx, Reply, reply};
use dhow_api::ApiVersion;
use dhow_api::types::system::Platform;
use dhow_api::types::{Component, Version};
use std::collections::BTreeMap;

/// Who this is.
pub(crate) fn get(cx: &Cx) -> Result<Reply> {
    reply::json(&shape(&cx.app.facts.host, cx.app.settings.experimental))
}

fn shape(host: &HostFacts, experimental: bool) -> Version {
    let details = [
        ("ApiVersion", ApiVersion::MAX.to_string()),
        ("Arch", host.go_arch.clone()),
        ("BuildTime", String::new()),
        ("Experimental", experimental.to_string()),
        ("GitCommit", String::new()),
        ("GoVersion", String::new()),
        ("KernelVersion", host.kernel.clone()),
        ("MinAPIVersion", ApiVersion::MIN.to_string()),
        ("Os", "linux".into()),
    ];
    Version {
        platform: Platform { name: format!("dhow {}", env!("CARGO_PKG_VERSION")) },
        // The command line of Docker looks for a component of this name to print the server's part.
        components: vec![Component {
            name: "Engine".into(),
            version: SERVER_VERSION.into(),
            details: details.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>(),
        }],
        version: SERVER_VERSION.into(),
        api_version: ApiVersion::MAX.to_string(),
        min_api_version: ApiVersion::MIN.to_string(),
        git_commit: String::new(),
        go_version: String::new(),
        os: "linux".into(),
        arch: host.go_arch.clone(),
        kernel_version: host.kernel.clone(),
        experimental,
        build_time: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_docker_order() {
        let host = HostFacts { kernel: "6.1".into(), go_arch: "amd64".into(), ..HostFacts::default() };
        let text = serde_json::to_string(&shape(&host, false)).unwrap().replace(env!("CARGO_PKG_VERSION"), "X");
        insta::assert_snapshot!(text, @r#"{"Platform":{"Name":"dhow X"},"Components":[{"Name":"Engine","Version":"28.5.2+dhow.X","Details":{"ApiVersion":"1.51","Arch":"amd64","BuildTime":"","Experimental":"false","GitCommit":"","GoVersion":"","KernelVersion":"6.1","MinAPIVersion":"1.24","Os":"linux"}}],"Version":"28.5.2+dhow.X","ApiVersion":"1.51","MinAPIVersion":"1.24","GitCommit":"","GoVersion":"","Os":"linux","Arch":"amd64","KernelVersion":"6.1"}"#);
    }
}
