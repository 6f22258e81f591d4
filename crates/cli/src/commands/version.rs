//! `version`.

use dhow_api::ApiVersion;
use dhow_api::client::Request;
use serde_json::{Value, json};

use crate::app::App;
use crate::command::{Arity, Command};
use crate::connect;
use crate::error::Error;
use crate::flags::{Flag, Parsed, string};
use crate::globals::{VERSION, build};
use crate::output::say;
use crate::template::{Missing, Template, show};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["version"],
    usage: "[OPTIONS]",
    short: "Show the versions of client and engine",
    flags: FLAGS,
    arity: Arity::None,
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[string("format", "json, or a Go template").short('f')];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let template = match parsed.text("format") {
        "" | "json" => None,
        text => Some(Template::parse("version", text).map_err(|error| Error::with_status(format!("template parsing error: {error}"), 64))?),
    };
    let context = connect::context_name(&app.globals)?;
    let (server, problem, api) = app.block_on(async {
        let client = match app.client().await {
            Ok(client) => client,
            Err(error) => return (Value::Null, Some(error), ApiVersion::MAX),
        };
        match client.json::<Value>(Request::get("/version")).await {
            Ok(server) => (server, None, client.version()),
            Err(error) => (Value::Null, Some(error.into()), client.version()),
        }
    });
    let client = client_side(&context, &api.to_string());
    let server = with_dates(with_named(server, parsed.text("format")));
    let text = match &template {
        Some(template) => {
            let both = json!({ "Client": client, "Server": server });
            match template.render(&both, Missing::Type("system.versionInfo")) {
                Ok(text) => text + "\n",
                Err(error) => {
                    say("\n")?;
                    return Err(Error::new(error));
                }
            }
        }
        None if parsed.text("format") == "json" => json!({ "Client": client, "Server": server }).to_string() + "\n",
        None => table(&client, &server),
    };
    say(&text)?;
    match problem {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn client_side(context: &str, api: &str) -> Value {
    json!({
        "Version": VERSION,
        "ApiVersion": api,
        "DefaultAPIVersion": ApiVersion::MAX.to_string(),
        "GitCommit": build(),
        "GoVersion": "",
        "Os": std::env::consts::OS,
        "Arch": dhow_reference::platform::host_architecture(),
        "BuildTime": option_env!("DHOW_BUILD_TIME").unwrap_or(""),
        "Context": context,
    })
}

/// What an engine leaves out of its answer where it is empty, for a template that names it.
fn with_named(mut server: Value, template: &str) -> Value {
    let Some(fields) = server.as_object_mut() else { return server };
    let empty = || Value::from("");
    for (key, value) in [("Experimental", false.into()), ("BuildTime", empty()), ("KernelVersion", empty()), ("MinAPIVersion", empty())] {
        if template.contains(&format!(".{key}")) && !fields.contains_key(key) {
            fields.insert(key.to_owned(), value);
        }
    }
    server
}

/// An engine's components with their build times as people read them.
fn with_dates(mut server: Value) -> Value {
    let Some(components) = server.get_mut("Components").and_then(Value::as_array_mut) else { return server };
    for component in components {
        let Some(time) = component.pointer_mut("/Details/BuildTime") else { continue };
        if let Some(text) = time.as_str().map(readable) {
            *time = text.into();
        }
    }
    server
}

fn readable(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(instant) => instant.strftime("%a %b %e %H:%M:%S %Y").to_string(),
        Err(_) => time.to_owned(),
    }
}

fn table(client: &Value, server: &Value) -> String {
    let text = |value: &Value, key: &str| value.get(key).map(show).unwrap_or_default();
    let mut out = String::from("Client:\n");
    let mut line = |label: &str, value: String| out.push_str(&format!(" {label:<18} {value}\n"));
    line("Version:", text(client, "Version"));
    let (api, own) = (text(client, "ApiVersion"), text(client, "DefaultAPIVersion"));
    line("API version:", if api == own { api } else { format!("{api} (downgraded from {own})") });
    for (label, key) in [("Git commit:", "GitCommit"), ("Built:", "BuildTime")] {
        let value = text(client, key);
        if !value.is_empty() {
            line(label, value);
        }
    }
    line("OS/Arch:", format!("{}/{}", text(client, "Os"), text(client, "Arch")));
    line("Context:", text(client, "Context"));
    if server.is_null() {
        return out;
    }
    let platform = server.pointer("/Platform/Name").map(show).unwrap_or_default();
    out.push_str(format!("\nServer: {platform}").trim_end());
    out.push('\n');
    match server.get("Components").and_then(Value::as_array).filter(|list| !list.is_empty()) {
        Some(components) => components.iter().for_each(|component| out.push_str(&component_lines(component))),
        None => out.push_str(&component_lines(&json!({ "Name": "Engine", "Version": text(server, "Version"), "Details": server }))),
    }
    out
}

fn component_lines(component: &Value) -> String {
    let text = |key: &str| component.get(key).map(show).unwrap_or_default();
    let name = text("Name");
    let mut out = format!(" {name}:\n");
    let mut line = |label: &str, value: String| out.push_str(&format!("  {:<17} {value}\n", format!("{label}:")));
    line("Version", text("Version"));
    let details = component.get("Details").cloned().unwrap_or_default();
    let detail = |key: &str| details.get(key).map(show).unwrap_or_default();
    if name == "Engine" {
        line("API version", format!("{} (minimum version {})", detail("ApiVersion"), detail("MinAPIVersion")));
        line("Go version", detail("GoVersion"));
        line("Git commit", detail("GitCommit"));
        line("Built", detail("BuildTime"));
        line("OS/Arch", format!("{}/{}", detail("Os"), detail("Arch")));
        line("Experimental", detail("Experimental"));
        return out;
    }
    let Some(map) = details.as_object() else { return out };
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort();
    for key in keys {
        line(key, detail(key));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_there_by_its_name() {
        let check = |template: &str, expect: Value| assert_eq!(with_named(json!({"Os": "linux"}), template), expect, "{template}");
        check("{{json .Server}}", json!({"Os": "linux"}));
        check("{{.Server.Experimental}}", json!({"Os": "linux", "Experimental": false}));
        check("{{.Server.BuildTime}}", json!({"Os": "linux", "BuildTime": ""}));
    }

    #[test]
    fn layout() {
        let client = json!({"Version": "0.1.0", "ApiVersion": "1.41", "DefaultAPIVersion": "1.51", "GitCommit": "abc",
            "BuildTime": "", "Os": "linux", "Arch": "amd64", "Context": "default"});
        let server = with_dates(json!({"Platform": {"Name": "dhow"}, "Components": [
            {"Name": "Engine", "Version": "28.5.2", "Details": {"ApiVersion": "1.51", "MinAPIVersion": "1.24",
                "GoVersion": "rustc 1.95", "GitCommit": "abc", "BuildTime": "2025-05-03T12:07:14.000000000+00:00",
                "Os": "linux", "Arch": "amd64", "Experimental": "false"}},
            {"Name": "runtime", "Version": "0.1.0", "Details": {"GitCommit": "x"}},
        ]}));
        insta::assert_snapshot!(table(&client, &server), @r"
        Client:
         Version:           0.1.0
         API version:       1.41 (downgraded from 1.51)
         Git commit:        abc
         OS/Arch:           linux/amd64
         Context:           default

        Server: dhow
         Engine:
          Version:          28.5.2
          API version:      1.51 (minimum version 1.24)
          Go version:       rustc 1.95
          Git commit:       abc
          Built:            Sat May  3 12:07:14 2025
          OS/Arch:          linux/amd64
          Experimental:     false
         runtime:
          Version:          0.1.0
          GitCommit:        x
        ");
    }
}
