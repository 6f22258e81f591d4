//! `info`.

use dhow_api::client::Request;
use dhow_api::size::human_binary;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::command::{Arity, Command};
use crate::connect;
use crate::error::Error;
use crate::flags::{Flag, Parsed, string};
use crate::globals::VERSION;
use crate::output::{say, warn};
use crate::template::{Missing, Template, show};

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["system info", "info"],
    usage: "[OPTIONS]",
    short: "Show what the engine is and has",
    flags: FLAGS,
    arity: Arity::None,
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[string("format", "json, or a Go template").short('f')];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let format = parsed.text("format");
    let template = match format {
        "" | "json" => None,
        text => Some(Template::parse("", text).map_err(|error| Error::with_status(format!("template parsing error: {error}"), 64))?),
    };
    let context = connect::context_name(&app.globals)?;
    let answer = app.block_on(async { Ok::<Value, Error>(app.client().await?.json(Request::get("/info")).await?) });
    let (server, problem) = match answer {
        Ok(server) => (server, None),
        Err(error) => (Value::Null, Some(error)),
    };
    let client = json!({
        "Version": VERSION,
        "Context": context,
        "Debug": app.globals.is("debug"),
        "Plugins": [],
        "Warnings": Value::Null,
    });
    if template.is_some() || format == "json" {
        let mut all = server.as_object().cloned().unwrap_or_default();
        all.insert("ClientInfo".to_owned(), client);
        let all = Value::Object(all);
        let text = match &template {
            Some(template) => template.render(&all, Missing::Type("system.dockerInfo")),
            None => Ok(all.to_string()),
        };
        match text {
            Ok(text) => say(&format!("{text}\n"))?,
            Err(error) => {
                say("\n")?;
                return Err(Error::new(error));
            }
        }
        return problem.map_or(Ok(()), Err);
    }
    let debug = app.globals.is("debug");
    let head = format!("Client:\n Version:    {VERSION}\n Context:    {context}\n Debug Mode: {debug}\n\nServer:\n");
    match (&server, problem) {
        (Value::Object(server), None) => {
            say(&(head + &lines(server)))?;
            for warning in strings(server, "Warnings") {
                warn(&warning);
            }
            Ok(())
        }
        (_, problem) => {
            say(&head)?;
            let words = problem.and_then(|error| error.words()).unwrap_or_default();
            Err(Error::new(words))
        }
    }
}

fn text(map: &Map<String, Value>, key: &str) -> String {
    match map.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(value) => show(value),
    }
}

fn strings(map: &Map<String, Value>, key: &str) -> Vec<String> {
    map.get(key).and_then(Value::as_array).map_or_else(Vec::new, |list| list.iter().map(show).collect())
}

/// The part about the engine: what it does not say is left out.
fn lines(info: &Map<String, Value>) -> String {
    let mut out = String::new();
    counts(info, &mut out);
    storage_and_plugins(info, &mut out);
    runtimes_and_security(info, &mut out);
    host(info, &mut out);
    tail(info, &mut out);
    out
}

fn line(out: &mut String, label: &str, value: &str) {
    out.push_str(&format!(" {label}: {value}\n"));
}

/// A line for what need not be there.
fn known(out: &mut String, info: &Map<String, Value>, label: &str, key: &str) {
    let value = text(info, key);
    if !value.is_empty() {
        line(out, label, &value);
    }
}

fn block(out: &mut String, label: &str, items: &[String]) {
    if !items.is_empty() {
        out.push_str(&format!(" {label}:\n"));
        items.iter().for_each(|item| out.push_str(&format!("  {item}\n")));
    }
}

fn counts(info: &Map<String, Value>, out: &mut String) {
    line(out, "Containers", &text(info, "Containers"));
    for (label, key) in [("Running", "ContainersRunning"), ("Paused", "ContainersPaused"), ("Stopped", "ContainersStopped")] {
        out.push_str(&format!("  {label}: {}\n", text(info, key)));
    }
    line(out, "Images", &text(info, "Images"));
    known(out, info, "Server Version", "ServerVersion");
}

fn storage_and_plugins(info: &Map<String, Value>, out: &mut String) {
    known(out, info, "Storage Driver", "Driver");
    for pair in info.get("DriverStatus").and_then(Value::as_array).into_iter().flatten() {
        if let (Some(name), Some(value)) = (pair.get(0), pair.get(1)) {
            out.push_str(&format!("  {}: {}\n", show(name), show(value)));
        }
    }
    known(out, info, "Logging Driver", "LoggingDriver");
    known(out, info, "Cgroup Driver", "CgroupDriver");
    known(out, info, "Cgroup Version", "CgroupVersion");
    out.push_str(" Plugins:\n");
    if let Some(plugins) = info.get("Plugins").and_then(Value::as_object) {
        for (label, key) in [("Volume", "Volume"), ("Network", "Network"), ("Authorization", "Authorization"), ("Log", "Log")] {
            let names = strings(plugins, key);
            if !names.is_empty() || matches!(key, "Volume" | "Network" | "Log") {
                out.push_str(&format!("  {label}: {}\n", names.join(" ")));
            }
        }
    }
    block(out, "CDI spec directories", &strings(info, "CDISpecDirs"));
    if let Some(state) = info.get("Swarm").and_then(|swarm| swarm.get("LocalNodeState")) {
        line(out, "Swarm", &show(state));
    }
}

fn runtimes_and_security(info: &Map<String, Value>, out: &mut String) {
    if let Some(runtimes) = info.get("Runtimes").and_then(Value::as_object) {
        let mut names: Vec<&str> = runtimes.keys().map(String::as_str).collect();
        names.sort_unstable();
        line(out, "Runtimes", &names.join(" "));
        known(out, info, "Default Runtime", "DefaultRuntime");
    }
    known(out, info, "Init Binary", "InitBinary");
    for (label, key) in [("containerd version", "ContainerdCommit"), ("runc version", "RuncCommit"), ("init version", "InitCommit")] {
        if let Some(id) = info.get(key).and_then(|commit| commit.get("ID")) {
            line(out, label, &show(id));
        }
    }
    let options = strings(info, "SecurityOptions");
    if options.is_empty() {
        return;
    }
    out.push_str(" Security Options:\n");
    for option in options {
        for part in option.split(',') {
            match part.split_once('=') {
                Some(("name", name)) => out.push_str(&format!("  {name}\n")),
                Some(("profile", name)) => out.push_str(&format!("   Profile: {name}\n")),
                Some((key, value)) => out.push_str(&format!("   {key}: {value}\n")),
                None => out.push_str(&format!("  {part}\n")),
            }
        }
    }
}

fn host(info: &Map<String, Value>, out: &mut String) {
    known(out, info, "Kernel Version", "KernelVersion");
    known(out, info, "Operating System", "OperatingSystem");
    known(out, info, "OSType", "OSType");
    known(out, info, "Architecture", "Architecture");
    line(out, "CPUs", &text(info, "NCPU"));
    let memory = info.get("MemTotal").and_then(Value::as_f64).unwrap_or(0.0);
    line(out, "Total Memory", &human_binary(memory));
    known(out, info, "Name", "Name");
    known(out, info, "ID", "ID");
    known(out, info, "Docker Root Dir", "DockerRootDir");
    line(out, "Debug Mode", &text(info, "Debug"));
    if text(info, "Debug") == "true" {
        for (label, key) in [
            ("File Descriptors", "NFd"),
            ("Goroutines", "NGoroutines"),
            ("System Time", "SystemTime"),
            ("EventsListeners", "NEventsListener"),
        ] {
            out.push_str(&format!("  {label}: {}\n", text(info, key)));
        }
    }
}

fn tail(info: &Map<String, Value>, out: &mut String) {
    known(out, info, "HTTP Proxy", "HttpProxy");
    known(out, info, "HTTPS Proxy", "HttpsProxy");
    known(out, info, "No Proxy", "NoProxy");
    block(out, "Labels", &strings(info, "Labels"));
    line(out, "Experimental", &text(info, "ExperimentalBuild"));
    if let Some(registry) = info.get("RegistryConfig").and_then(Value::as_object) {
        let mut insecure: Vec<String> = Vec::new();
        for (name, index) in registry.get("IndexConfigs").and_then(Value::as_object).into_iter().flatten() {
            if index.get("Secure") == Some(&Value::Bool(false)) {
                insecure.push(name.clone());
            }
        }
        insecure.extend(strings(registry, "InsecureRegistryCIDRs"));
        block(out, "Insecure Registries", &insecure);
        block(out, "Registry Mirrors", &strings(registry, "Mirrors"));
    }
    line(out, "Live Restore Enabled", &text(info, "LiveRestoreEnabled"));
    known(out, info, "Product License", "ProductLicense");
    let pools = info.get("DefaultAddressPools").and_then(Value::as_array).cloned().unwrap_or_default();
    if !pools.is_empty() {
        out.push_str(" Default Address Pools:\n");
        for pool in pools {
            let part = |key: &str| pool.get(key).map(show).unwrap_or_default();
            out.push_str(&format!("   Base: {}, Size: {}\n", part("Base"), part("Size")));
        }
    }
    if let Some(driver) = info.get("FirewallBackend").and_then(|firewall| firewall.get("Driver")) {
        line(out, "Firewall Backend", &show(driver));
        let told = info.get("FirewallBackend").and_then(|firewall| firewall.get("Info")).and_then(Value::as_array);
        for pair in told.into_iter().flatten() {
            let word = |at: usize| pair.get(at).map(show).unwrap_or_default();
            out.push_str(&format!("  {}: {}\n", word(0), word(1)));
        }
    }
    out.push('\n');
}
