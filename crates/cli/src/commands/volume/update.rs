//! `volume update`, for volumes of a cluster, which this engine has none of; another may.

use dhow_api::client::{Request, segment};
use http::Method;
use serde_json::{Value, json};

use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string};

/// The command.
pub(in super::super) static COMMAND: Command = Command {
    names: &["volume update"],
    usage: "[OPTIONS] [VOLUME]",
    short: "Change a volume of a cluster",
    flags: FLAGS,
    arity: Arity::Exactly(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[string("availability", "Whether it takes work: active, pause or drain").default("active")];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    app.block_on(async {
        let client = app.client().await?;
        let volume: Value = client.json(Request::get(format!("/volumes/{}", segment(&parsed.args[0])))).await?;
        let Some(cluster) = volume.get("ClusterVolume").filter(|cluster| cluster.is_object()) else {
            return Err(Error::new("can only update cluster volumes"));
        };
        let mut spec = cluster.get("Spec").cloned().unwrap_or_else(|| json!({}));
        if parsed.given("availability") {
            spec["Availability"] = parsed.text("availability").into();
        }
        let id = cluster.get("ID").and_then(Value::as_str).unwrap_or_default();
        let version = cluster.pointer("/Version/Index").and_then(Value::as_u64).unwrap_or(0);
        let request = Request::new(Method::PUT, format!("/volumes/{}", segment(id))).query("version", version.to_string());
        client.call(request.json(&json!({ "Spec": spec }))?).await?;
        Ok(())
    })
}
