//! What the image says, put under what the request says.

use crate::error::{Error, Kind, Result};
use crate::ids;
use crate::model::{NamespaceMode, NetworkMode, Request};
use oci_spec::image::ImageConfiguration;

/// Fills in the image's defaults. Answers the first word and the rest of what will run.
pub(crate) fn image(request: &mut Request, image: &ImageConfiguration, id: &str) -> Result<(String, Vec<String>)> {
    if let Some(config) = image.config() {
        command(request, config.entrypoint().as_deref(), config.cmd().as_deref());
        merge_env(&mut request.env, config.env().as_deref().unwrap_or_default());
        for (key, value) in config.labels().iter().flatten().filter(|(key, _)| !is_reserved(key)) {
            request.labels.entry(key.clone()).or_insert_with(|| value.clone());
        }
        fill(&mut request.user, config.user().as_deref());
        fill(&mut request.working_dir, config.working_dir().as_deref());
        if request.stop_signal.as_deref().unwrap_or_default().is_empty() {
            request.stop_signal = config.stop_signal().clone().filter(|s| !s.is_empty());
        }
    }
    // `--entrypoint ""` arrives as one empty word: it takes the image's away and adds nothing.
    if request.entrypoint.as_deref() == Some(&[String::new()]) {
        request.entrypoint = None;
    }
    hostname(request, id);
    let mut words = request.entrypoint.iter().flatten().chain(request.command.iter().flatten()).cloned();
    let first = words.next().ok_or_else(|| Error::new(Kind::Invalid, "no command specified"))?;
    Ok((first, words.collect()))
}

/// Labels that engines and runtimes act on. A person may set them; an image may not (class 23: CVE-2026-53488, a label became a log's address).
fn is_reserved(label: &str) -> bool {
    let label = label.to_ascii_lowercase();
    ["io.dhow.", "dhow.", "containerd.io/", "io.containerd.", "io.cri-containerd.", "io.kubernetes.cri", "nerdctl/"]
        .iter()
        .any(|prefix| label.starts_with(prefix))
}

fn fill(field: &mut String, from: Option<&str>) {
    if field.is_empty() {
        field.push_str(from.unwrap_or_default());
    }
}

/// An entrypoint of the request keeps the image's command out; a command alone keeps the image's entrypoint.
fn command(request: &mut Request, entrypoint: Option<&[String]>, cmd: Option<&[String]>) {
    let given = |words: &Option<Vec<String>>| words.as_ref().is_some_and(|w| !w.is_empty());
    if !given(&request.entrypoint) {
        if !given(&request.command) {
            request.command = cmd.map(<[String]>::to_vec);
        }
        if request.entrypoint.is_none() {
            request.entrypoint = entrypoint.map(<[String]>::to_vec).filter(|e| !e.is_empty());
        }
    }
}

/// The image's variables that the request does not name come after the request's own. A bare name counts as named.
fn merge_env(own: &mut Vec<String>, image: &[String]) {
    let key = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let named: std::collections::HashSet<String> = own.iter().map(|e| key(e)).collect();
    own.extend(image.iter().filter(|e| !named.contains(&key(e))).cloned());
}

fn hostname(request: &mut Request, id: &str) {
    if !request.hostname.is_empty() || matches!(request.host.network, NetworkMode::Container(_)) {
        return;
    }
    let host = request.host.network == NetworkMode::Host || request.host.uts == NamespaceMode::Host;
    request.hostname = if host { crate::host::hostname() } else { ids::short(id).to_owned() };
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::image::{ConfigBuilder, ImageConfigurationBuilder};

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn class_23_cve_2026_53488_an_image_sets_no_reserved_label() {
        let labels =
            ["io.containerd.log", "containerd.io/restart.loguri", "IO.DHOW.x", "own"].map(|key| (key.to_owned(), "binary:///x".to_owned()));
        let config = ConfigBuilder::default().labels(std::collections::HashMap::from(labels)).cmd(words("sh")).build().unwrap();
        let image_config = ImageConfigurationBuilder::default().config(config).build().unwrap();
        let asked = ("io.dhow.mine".to_owned(), "1".to_owned());
        let mut request = Request { labels: [asked].into(), ..Request::default() };
        image(&mut request, &image_config, ID).unwrap();
        assert_eq!(request.labels.keys().map(String::as_str).collect::<Vec<_>>(), ["io.dhow.mine", "own"]);
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn test_image(entrypoint: &str, cmd: &str) -> ImageConfiguration {
        let config = ConfigBuilder::default()
            .entrypoint(words(entrypoint))
            .cmd(words(cmd))
            .env(words("PATH=/bin A=image B=image"))
            .user("nobody")
            .working_dir("/srv")
            .stop_signal("SIGINT")
            .labels(std::collections::HashMap::from([("a".to_owned(), "image".to_owned()), ("b".to_owned(), "image".to_owned())]))
            .build()
            .unwrap();
        ImageConfigurationBuilder::default().config(config).build().unwrap()
    }

    fn check(image_words: (&str, &str), entrypoint: Option<Vec<String>>, command: Option<&str>, expect: Option<&str>) {
        let mut request = Request { entrypoint, command: command.map(words), ..Request::default() };
        let got = image(&mut request, &test_image(image_words.0, image_words.1), ID);
        match (got, expect) {
            (Ok((path, args)), Some(text)) => {
                let mut all = vec![path];
                all.extend(args);
                assert_eq!(all, words(text));
            }
            (Err(e), None) => assert_eq!(e.message, "no command specified"),
            (got, expect) => panic!("{got:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn entrypoint_and_command() {
        check(("/e x", "c d"), None, None, Some("/e x c d"));
        check(("/e x", "c d"), None, Some("mine"), Some("/e x mine"));
        check(("/e x", "c d"), Some(words("/mine")), None, Some("/mine"));
        check(("/e x", "c d"), Some(words("/mine")), Some("z"), Some("/mine z"));
        check(("/e x", "c d"), Some(vec![String::new()]), Some("z"), Some("z"));
        check(("/e x", "c d"), Some(vec![String::new()]), None, None);
        check(("", ""), None, None, None);
        check(("", "sh"), None, None, Some("sh"));
    }

    #[test]
    fn the_rest_is_filled_in_where_the_request_is_silent() {
        let mut request = Request { env: words("A=mine C"), labels: [("a".to_owned(), "mine".to_owned())].into(), ..Request::default() };
        image(&mut request, &test_image("", "sh"), ID).unwrap();
        assert_eq!(request.env, words("A=mine C PATH=/bin B=image"));
        assert_eq!(request.labels["a"], "mine");
        assert_eq!(request.labels["b"], "image");
        assert_eq!((request.user.as_str(), request.working_dir.as_str()), ("nobody", "/srv"));
        assert_eq!(request.stop_signal.as_deref(), Some("SIGINT"));
        assert_eq!(request.hostname, "0123456789ab");
    }

    #[test]
    fn a_bare_name_keeps_the_images_variable_out() {
        let mut own = words("A");
        merge_env(&mut own, &words("A=1 B=2"));
        assert_eq!(own, words("A B=2"));
    }
}
