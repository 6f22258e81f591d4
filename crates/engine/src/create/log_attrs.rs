//! What each line of a log carries besides its text: labels and variables that options name, and a tag.

use super::log_error::driver_error;
use crate::error::Result;
use crate::model::Container;
use regex_lite::Regex;
use std::collections::BTreeMap;

type Options = BTreeMap<String, String>;

/// Checks patterns and tag.
pub(super) fn check(options: &Options) -> Result<()> {
    pattern(options, "labels-regex")?;
    pattern(options, "env-regex")?;
    if let Some(tag) = options.get("tag") {
        fill(tag, |_| String::new()).map_err(driver_error)?;
    }
    Ok(())
}

/// The attributes of a container's lines.
pub(super) fn collect(container: &Container) -> Result<BTreeMap<String, String>> {
    let mut attrs = extra(container)?;
    attrs.extend(tag(container)?.map(|tag| ("tag".to_owned(), tag)));
    Ok(attrs)
}

/// The tag, where one was given.
pub(super) fn tag(container: &Container) -> Result<Option<String>> {
    let tag = container.request.host.log.options.get("tag").filter(|tag| !tag.is_empty());
    tag.map(|tag| fill(tag, |field| value(container, field)).map_err(driver_error)).transpose()
}

/// Labels and variables.
pub(super) fn extra(container: &Container) -> Result<BTreeMap<String, String>> {
    let request = &container.request;
    let options = &request.host.log.options;
    let mut attrs = BTreeMap::new();
    let labels = request.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    choose(&mut attrs, options, ("labels", "labels-regex"), labels)?;
    choose(&mut attrs, options, ("env", "env-regex"), request.env.iter().filter_map(|entry| entry.split_once('=')))?;
    Ok(attrs)
}

/// Those that a list names, and those that match a pattern. Of two of one name the later counts.
fn choose<'a>(
    attrs: &mut BTreeMap<String, String>,
    options: &Options,
    (list, regex): (&str, &str),
    all: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<()> {
    let named: Vec<&str> = options.get(list).map(|names| names.split(',').collect()).unwrap_or_default();
    let pattern = pattern(options, regex)?;
    for (key, value) in all {
        if named.contains(&key) || pattern.as_ref().is_some_and(|pattern| pattern.is_match(key)) {
            attrs.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(())
}

/// The pattern of an option. Matching takes time linear in the text, as with Docker's.
fn pattern(options: &Options, key: &str) -> Result<Option<Regex>> {
    let Some(text) = options.get(key).filter(|text| !text.is_empty()) else { return Ok(None) };
    let compiled = Regex::new(text).map_err(|error| driver_error(format!("error parsing regexp: {error}: `{text}`")))?;
    Ok(Some(compiled))
}

/// Fields that a tag may name.
const FIELDS: [&str; 14] = [
    "ID",
    "FullID",
    "Name",
    "ImageID",
    "ImageFullID",
    "ImageName",
    "DaemonName",
    "Command",
    "ContainerID",
    "ContainerName",
    "ContainerEntrypoint",
    "ContainerImageID",
    "ContainerImageName",
    "LogPath",
];

fn value(container: &Container, field: &str) -> String {
    let short = |id: &str| id.chars().take(12).collect();
    match field {
        "ID" => short(&container.id),
        "FullID" | "ContainerID" => container.id.clone(),
        "Name" => container.name.clone(),
        "ContainerName" => format!("/{}", container.name),
        // Docker cuts the name of the algorithm with it.
        "ImageID" => short(&container.image_id),
        "ImageFullID" | "ContainerImageID" => container.image_id.clone(),
        "ImageName" | "ContainerImageName" => container.request.image.clone(),
        "DaemonName" => "docker".to_owned(),
        "ContainerEntrypoint" => container.path.clone(),
        "LogPath" => container.log_path.clone(),
        _ => std::iter::once(&container.path).chain(&container.args).map(String::as_str).collect::<Vec<_>>().join(" "),
    }
}

/// A tag with its fields, `{{.Name}}`, filled in. It is a template of Go in Docker; of that only fields are known here.
fn fill(tag: &str, value: impl Fn(&str) -> String) -> std::result::Result<String, String> {
    let mut out = String::with_capacity(tag.len());
    let mut rest = tag;
    while let Some((text, after)) = rest.split_once("{{") {
        let (action, behind) = after.split_once("}}").ok_or("template: log-tag:1: unclosed action")?;
        let column = tag.len() - after.len();
        let name = action.trim_matches([' ', '-', '\t', '\n']);
        let field = name.strip_prefix('.').filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()));
        let field = field.ok_or_else(|| format!("template: log-tag: only fields such as {{{{.Name}}}} are known, not {{{{{action}}}}}"))?;
        if !FIELDS.contains(&field) {
            return Err(format!(
                "template: log-tag:1:{column}: executing \"log-tag\" at <.{field}>: can't evaluate field {field} in type *logger.Info"
            ));
        }
        out.push_str(text);
        out.push_str(&value(field));
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(options: &[(&str, &str)]) -> Container {
        let mut container = crate::container::testing::container(&"0123456789abcdef".repeat(4), "web");
        container.path = "sh".into();
        container.args = vec!["-c".into(), "x".into()];
        container.image_id = "sha256:ec393c9b".into();
        container.request.image = "busybox".into();
        container.request.env = ["A=1", "PATH=/bin", "A=2", "lonely"].map(str::to_owned).into();
        container.request.labels.extend([("abc", "x"), ("b", "y")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        container.request.host.log.options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        container
    }

    #[test]
    fn attributes() {
        let check = |options: &[(&str, &str)], expect: &str| {
            let attrs = collect(&container(options)).unwrap();
            assert_eq!(attrs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","), expect, "{options:?}");
        };
        check(&[], "");
        check(&[("labels", "b,none"), ("env", "A,NONE")], "A=2,b=y");
        check(&[("labels-regex", "^a"), ("env-regex", "^P")], "PATH=/bin,abc=x");
        check(&[("labels", "b"), ("labels-regex", "c$"), ("env-regex", ".")], "A=2,PATH=/bin,abc=x,b=y");
        check(&[("tag", "")], "");
        check(&[("tag", "{{.Name}}/{{ .ImageName }}|{{.ID}}|{{.ImageID}}")], "tag=web/busybox|0123456789ab|sha256:ec393");
        check(&[("tag", "{{.Command}} {{.ContainerName}} {{.DaemonName}} }}")], "tag=sh -c x /web docker }}");
    }

    #[test]
    fn what_is_refused() {
        let refused = |key: &str, text: &str, expect: &str| {
            let message = super::check(&container(&[(key, text)]).request.host.log.options).unwrap_err().message;
            assert_eq!(message, format!("failed to initialize logging driver: {expect}"));
        };
        refused("tag", "{{", "template: log-tag:1: unclosed action");
        let unknown = "template: log-tag:1:3: executing \"log-tag\" at <.Foo>: can't evaluate field Foo in type *logger.Info";
        refused("tag", "x{{.Foo}}", unknown);
        refused("tag", "{{json .}}", "template: log-tag: only fields such as {{.Name}} are known, not {{json .}}");
        for key in ["labels-regex", "env-regex"] {
            let message = super::check(&container(&[(key, "(")]).request.host.log.options).unwrap_err().message;
            assert!(message.starts_with("failed to initialize logging driver: error parsing regexp: "), "{message}");
        }
    }
}
