//! `system df`.

use dhow_api::client::Request;
use dhow_api::size::human;
use dhow_api::types::{ContainerSummary, ImageSummary};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{images, ps};
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string, switch};
use crate::output::list;
use crate::output::say;
use crate::template::{Missing, Template};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["system df"],
    usage: "[OPTIONS]",
    short: "Show what takes space on disk",
    flags: FLAGS,
    arity: Arity::None,
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[string("format", "table, json, or a Go template"), switch("verbose", "Show every object").short('v')];

const HEADINGS: &[(&str, &str)] =
    &[("Type", "TYPE"), ("TotalCount", "TOTAL"), ("Active", "ACTIVE"), ("Size", "SIZE"), ("Reclaimable", "RECLAIMABLE")];
const TABLE: &str = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
const IMAGES: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}";
const CONTAINERS: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}";
const VOLUMES: &str = "{{.Name}}\t{{.Links}}\t{{.Size}}";
const VOLUME_HEADINGS: &[(&str, &str)] = &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")];
const CACHE: &str = "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}";
const CACHE_HEADINGS: &[(&str, &str)] = &[
    ("ID", "CACHE ID"),
    ("CacheType", "CACHE TYPE"),
    ("Size", "SIZE"),
    ("CreatedSince", "CREATED"),
    ("LastUsedSince", "LAST USED"),
    ("UsageCount", "USAGE"),
    ("Shared", "SHARED"),
];

/// The engine's answer. Sizes of -1 were not measured.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Usage {
    layers_size: i64,
    images: Option<Vec<ImageSummary>>,
    containers: Option<Vec<ContainerSummary>>,
    volumes: Option<Vec<Volume>>,
    build_cache: Option<Vec<Cache>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Volume {
    name: String,
    usage_data: Option<VolumeUsage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct VolumeUsage {
    size: i64,
    ref_count: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Cache {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Type")]
    kind: String,
    size: i64,
    in_use: bool,
    shared: bool,
    usage_count: i64,
}

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let request = Request::get("/system/df");
    let usage: Usage = app.block_on(async { Ok::<_, Error>(app.client().await?.json(request).await?) })?;
    let format = parsed.text("format");
    if parsed.is("verbose") {
        return say(&verbose(&usage, format)?);
    }
    let rows = summary(&usage);
    say(&list::render(list::List { table: TABLE, headings: HEADINGS, kind: "*formatter.diskUsageImagesContext", rows }, format)?)
}

fn shown(bytes: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
    human(bytes as f64)
}

/// A row for each kind.
fn summary(usage: &Usage) -> Vec<Map<String, Value>> {
    let row = |kind: &str, count: usize, active: usize, size: i64, reclaimable: String| {
        let value = json!({
            "Active": active.to_string(),
            "Reclaimable": reclaimable,
            "Size": shown(size),
            "TotalCount": count.to_string(),
            "Type": kind,
        });
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    };
    let share = |part: i64, whole: i64| match whole {
        whole if whole > 0 => format!("{} ({}%)", shown(part), part.saturating_mul(100) / whole),
        _ => shown(part),
    };
    let images = usage.images.as_deref().unwrap_or_default();
    let used = images.iter().filter(|image| image.containers != 0 && image.size != -1 && image.shared_size != -1);
    let free = usage.layers_size - used.map(|image| image.size - image.shared_size).sum::<i64>();
    let containers = usage.containers.as_deref().unwrap_or_default();
    let runs = |container: &&ContainerSummary| matches!(container.state.as_str(), "running" | "paused" | "restarting");
    let own: i64 = containers.iter().map(|container| container.size_rw).sum();
    let stopped: i64 = containers.iter().filter(|container| !runs(container)).map(|container| container.size_rw).sum();
    let volumes: Vec<&VolumeUsage> = usage.volumes.iter().flatten().filter_map(|volume| volume.usage_data.as_ref()).collect();
    let measured = |volume: &&&VolumeUsage| volume.size != -1;
    let whole: i64 = volumes.iter().filter(measured).map(|volume| volume.size).sum();
    let unused: i64 = volumes.iter().filter(measured).filter(|volume| volume.ref_count == 0).map(|volume| volume.size).sum();
    let cache = usage.build_cache.as_deref().unwrap_or_default();
    let built: i64 = cache.iter().filter(|record| !record.shared).map(|record| record.size).sum();
    let idle: i64 = cache.iter().filter(|record| !record.shared && !record.in_use).map(|record| record.size).sum();
    vec![
        row(
            "Images",
            images.len(),
            images.iter().filter(|image| image.containers > 0).count(),
            usage.layers_size,
            share(free, usage.layers_size),
        ),
        row("Containers", containers.len(), containers.iter().filter(runs).count(), own, share(stopped, own)),
        row(
            "Local Volumes",
            usage.volumes.as_ref().map_or(0, Vec::len),
            volumes.iter().filter(|volume| volume.ref_count > 0).count(),
            whole,
            share(unused, whole),
        ),
        row("Build Cache", cache.len(), cache.iter().filter(|record| record.in_use).count(), built, shown(idle)),
    ]
}

/// Every object: tables, or a template over all of them.
fn verbose(usage: &Usage, format: &str) -> Result<String, Error> {
    let table = matches!(format, "" | "table");
    let images: Vec<_> = usage.images.iter().flatten().map(|image| images::first_row(image, !table)).collect();
    let containers: Vec<_> = usage.containers.iter().flatten().map(|container| container_row(container, !table)).collect();
    let volumes: Vec<_> = usage.volumes.iter().flatten().map(volume_row).collect();
    let cache: Vec<_> = usage.build_cache.iter().flatten().map(cache_row).collect();
    if !table {
        let all = json!({"BuildCache": cache, "Containers": containers, "Images": images, "Volumes": volumes});
        let text = if format == "json" { "{{json .}}" } else { format };
        let template = Template::parse("", &text.replace("\\t", "\t").replace("\\n", "\n"))
            .map_err(|error| Error::new(format!("failed to parse template: {error}")))?;
        let failed = |error: String| Error::new(format!("failed to execute template: {error}"));
        return template.render(&all, Missing::Type("*formatter.diskUsageContext")).map_err(failed);
    }
    let part = |table, headings, rows| list::render(list::List { table, headings, kind: "*formatter.diskUsageContext", rows }, "");
    let size: i64 = usage.build_cache.iter().flatten().filter(|record| !record.shared).map(|record| record.size).sum();
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\nBuild cache usage: {}\n\n{}",
        part(IMAGES, images::HEADINGS, images)?,
        part(CONTAINERS, ps::HEADINGS, containers)?,
        part(VOLUMES, VOLUME_HEADINGS, volumes)?,
        shown(size),
        part(CACHE, CACHE_HEADINGS, cache)?,
    ))
}

fn container_row(container: &ContainerSummary, no_trunc: bool) -> Map<String, Value> {
    // Only its own content is shown.
    ps::row(&ContainerSummary { size_root_fs: 0, ..container.clone() }, no_trunc)
}

fn volume_row(volume: &Volume) -> Map<String, Value> {
    let number = |pick: fn(&VolumeUsage) -> String| volume.usage_data.as_ref().map_or_else(|| "N/A".to_owned(), pick);
    let mut map = Map::new();
    map.insert("Links".into(), number(|usage| usage.ref_count.to_string()).into());
    map.insert("Name".into(), volume.name.clone().into());
    map.insert("Size".into(), number(|usage| shown(usage.size)).into());
    map
}

fn cache_row(record: &Cache) -> Map<String, Value> {
    let texts = [
        ("CacheType", record.kind.clone()),
        ("CreatedSince", String::new()),
        ("ID", record.id.clone()),
        ("LastUsedSince", String::new()),
        ("Shared", record.shared.to_string()),
        ("Size", shown(record.size)),
        ("UsageCount", record.usage_count.to_string()),
    ];
    texts.into_iter().map(|(key, text)| (key.to_owned(), text.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> Usage {
        let image = |containers, size, shared_size| ImageSummary { containers, size, shared_size, ..ImageSummary::default() };
        let container = |state: &str, size_rw| ContainerSummary { state: state.into(), size_rw, ..ContainerSummary::default() };
        Usage {
            layers_size: 1500,
            images: Some(vec![image(1, 1000, 500), image(0, 1000, 500)]),
            containers: Some(vec![container("running", 10), container("exited", 30)]),
            ..Usage::default()
        }
    }

    #[test]
    fn a_row_for_each_kind() {
        let list = list::List { table: TABLE, headings: HEADINGS, kind: "x", rows: summary(&usage()) };
        insta::assert_snapshot!(list::render(list, "").unwrap(), @r"
        TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
        Images          2         1         1.5kB     1kB (66%)
        Containers      2         1         40B       30B (75%)
        Local Volumes   0         0         0B        0B
        Build Cache     0         0         0B        0B
        ");
    }

    #[test]
    fn every_object() {
        let text = verbose(&Usage::default(), "").unwrap();
        insta::assert_snapshot!(text, @r"
        Images space usage:

        REPOSITORY   TAG       IMAGE ID   CREATED   SIZE      SHARED SIZE   UNIQUE SIZE   CONTAINERS

        Containers space usage:

        CONTAINER ID   IMAGE     COMMAND   LOCAL VOLUMES   SIZE      CREATED   STATUS    NAMES

        Local Volumes space usage:

        VOLUME NAME   LINKS     SIZE

        Build cache usage: 0B

        CACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED
        ");
        assert_eq!(verbose(&usage(), "{{range .Images}}{{.UniqueSize}} {{end}}").unwrap(), "500B 500B ");
    }
}
