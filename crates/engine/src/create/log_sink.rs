//! The log drivers that are no files: their options, and what the shim is told of them.

use super::log_attrs;
use super::log_error::{bad, driver_error};
use crate::error::Result;
use crate::ids;
use crate::model::{Container, Log};
use dhow_shim::config::sink::{Address, Format, Place, Target, Tls};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type Options = BTreeMap<String, String>;

/// Where systemd's journal listens.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// The port of a syslog daemon.
const PORT: u16 = 514;
const COMMON: [&str; 5] = ["labels", "labels-regex", "env", "env-regex", "tag"];
const SYSLOG: [&str; 7] = [
    "syslog-address",
    "syslog-facility",
    "syslog-format",
    "syslog-tls-ca-cert",
    "syslog-tls-cert",
    "syslog-tls-key",
    "syslog-tls-skip-verify",
];
/// By their numbers.
const FACILITIES: [&str; 12] = ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"];

/// Whether this driver is one of these.
pub(crate) fn is_sink(driver: &str) -> bool {
    matches!(driver, "journald" | "syslog")
}

/// Whether a driver knows this option of its own.
pub(super) fn knows(driver: &str, key: &str) -> bool {
    COMMON.contains(&key) || driver == "syslog" && SYSLOG.contains(&key)
}

/// Checks the values of its own options.
pub(super) fn check(log: &Log) -> Result<()> {
    log_attrs::check(&log.options)?;
    if log.driver == "syslog" {
        address(&log.options).map_err(bad)?;
        facility(&log.options).map_err(bad)?;
        format(&log.options).map_err(bad)?;
    }
    Ok(())
}

/// Who receives the entries of a container.
pub(super) fn target(container: &Container) -> Result<Target> {
    let options = &container.request.host.log.options;
    let tag = log_attrs::tag(container)?.unwrap_or_else(|| short(&container.id));
    if container.request.host.log.driver == "syslog" {
        let (address, format) = (address(options).map_err(driver_error)?, format(options).map_err(driver_error)?);
        return Ok(Target::Syslog { address, format, facility: facility(options).map_err(driver_error)?, tag });
    }
    let mut fields = BTreeMap::new();
    let own = [
        ("CONTAINER_ID", short(&container.id)),
        ("CONTAINER_ID_FULL", container.id.clone()),
        ("CONTAINER_NAME", container.name.clone()),
        ("CONTAINER_TAG", tag.clone()),
        ("IMAGE_NAME", container.request.image.clone()),
        ("SYSLOG_IDENTIFIER", tag),
        ("CONTAINER_LOG_EPOCH", ids::fresh()?),
    ];
    fields.extend(own.map(|(name, value)| (name.to_owned(), value)));
    fields.extend(log_attrs::extra(container)?.into_iter().map(|(key, value)| (field(&key), value)).filter(|(key, _)| !key.is_empty()));
    Ok(Target::Journal { socket: JOURNAL.into(), fields })
}

fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

/// A key as the journal takes it: capitals, digits, and underscores, which it does not begin with.
fn field(key: &str) -> String {
    let letters = key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    letters.skip_while(|c| *c == '_').collect()
}

fn facility(options: &Options) -> std::result::Result<u8, String> {
    let text = options.get("syslog-facility").map_or("daemon", |text| if text.is_empty() { "daemon" } else { text });
    let local = || text.strip_prefix("local").and_then(|n| n.parse::<u8>().ok()).filter(|n| *n <= 7 && text.len() == 6).map(|n| 16 + n);
    let named = || FACILITIES.iter().position(|name| *name == text).and_then(|at| u8::try_from(at).ok());
    let number = || text.parse::<u8>().ok().filter(|n| *n <= 23);
    named().or_else(local).or_else(number).ok_or_else(|| "invalid syslog facility".to_owned())
}

fn format(options: &Options) -> std::result::Result<Format, String> {
    match options.get("syslog-format").map(String::as_str).unwrap_or_default() {
        "" => Ok(Format::Unix),
        "rfc3164" => Ok(Format::Rfc3164),
        "rfc5424" => Ok(Format::Rfc5424),
        "rfc5424micro" => Ok(Format::Rfc5424Micro),
        _ => Err("Invalid syslog format".to_owned()),
    }
}

/// Where the daemon listens. Names are looked up when the container starts.
fn address(options: &Options) -> std::result::Result<Address, String> {
    let text = options.get("syslog-address").map(String::as_str).unwrap_or_default();
    if text.is_empty() {
        return Ok(Address::Local);
    }
    let (scheme, rest) = match text.split_once(':') {
        Some((scheme, rest)) if scheme.chars().all(|c| c.is_ascii_alphabetic() || "+-.".contains(c)) => (scheme, rest),
        Some((first, _)) if !first.contains('/') => {
            return Err(format!("parse \"{text}\": first path segment in URL cannot contain colon"));
        }
        _ => ("", text),
    };
    let (host, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
        None => ("", rest),
    };
    let there = |path: &str| match Path::new(path).metadata() {
        Ok(_) => Ok(PathBuf::from(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(format!("stat {path}: no such file or directory")),
        Err(error) => Err(format!("stat {path}: {error}")),
    };
    match scheme {
        "unix" => there(path).map(Address::Unix),
        "unixgram" => there(path).map(Address::Unixgram),
        "udp" => place(host).map(Address::Udp),
        "tcp" => place(host).map(Address::Tcp),
        "tcp+tls" => place(host).map(|place| Address::TcpTls(place, tls(options))),
        _ => Err(format!("unsupported scheme: '{scheme}'")),
    }
}

/// How TLS is spoken; as with Docker, the option to look at no certificate counts whatever its value.
fn tls(options: &Options) -> Tls {
    let file = |key: &str| options.get(key).filter(|path| !path.is_empty()).map(PathBuf::from);
    Tls {
        authority: file("syslog-tls-ca-cert"),
        certificate: file("syslog-tls-cert"),
        key: file("syslog-tls-key"),
        skip_verify: options.contains_key("syslog-tls-skip-verify"),
    }
}

fn place(host: &str) -> std::result::Result<Place, String> {
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let name = match (host.strip_prefix('[').map(|rest| rest.split_once(']')), host.matches(':').count()) {
        (Some(Some((_, ""))), _) | (None, 0) => format!("{host}:{PORT}"),
        (Some(Some((_, port))), _) if port.starts_with(':') => host.to_owned(),
        (None, 1) => host.to_owned(),
        (Some(_), _) => return Err(format!("address {host}: missing ']' in address")),
        (None, _) => return Err(format!("address {host}: too many colons in address")),
    };
    let port = name.rsplit(':').next().unwrap_or_default();
    if port.parse::<u16>().is_err() {
        return Err(format!("address {port}: invalid port"));
    }
    Ok(Place { name, addresses: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(key: &str, value: &str) -> Options {
        [(key.to_owned(), value.to_owned())].into()
    }

    #[test]
    fn addresses() {
        let check = |text: &str, expect: std::result::Result<Address, &str>| {
            assert_eq!(address(&options("syslog-address", text)), expect.map_err(str::to_owned), "{text}");
        };
        let place = |name: &str| Place { name: name.into(), addresses: Vec::new() };
        check("", Ok(Address::Local));
        check("udp://192.0.2.1:1111", Ok(Address::Udp(place("192.0.2.1:1111"))));
        check("udp://logs.example", Ok(Address::Udp(place("logs.example:514"))));
        check("tcp://[::1]:6514/x", Ok(Address::Tcp(place("[::1]:6514"))));
        check("tcp://[::1]", Ok(Address::Tcp(place("[::1]:514"))));
        check("unixgram:///dev/null", Ok(Address::Unixgram("/dev/null".into())));
        check("unix:///nowhere/to/be", Err("stat /nowhere/to/be: no such file or directory"));
        check("tcp://::1", Err("address ::1: too many colons in address"));
        check("tcp://host:x", Err("address x: invalid port"));
        check("tcp+tls://logs.example:6514", Ok(Address::TcpTls(place("logs.example:6514"), Tls::default())));
        let mut all = options("syslog-address", "tcp+tls://logs.example");
        all.extend(
            [("ca-cert", "/ca"), ("cert", "/c"), ("key", "/k"), ("skip-verify", "")].map(|(k, v)| (format!("syslog-tls-{k}"), v.into())),
        );
        let (ca, cert, key) = (Some("/ca".into()), Some("/c".into()), Some("/k".into()));
        let tls = Tls { authority: ca, certificate: cert, key, skip_verify: true };
        assert_eq!(address(&all), Ok(Address::TcpTls(place("logs.example:514"), tls)));
        check("http://host", Err("unsupported scheme: 'http'"));
        check("host", Err("unsupported scheme: ''"));
        check("127.0.0.1:514", Err("parse \"127.0.0.1:514\": first path segment in URL cannot contain colon"));
    }

    #[test]
    fn facilities_and_formats() {
        let check = |text: &str, expect: Option<u8>| assert_eq!(facility(&options("syslog-facility", text)).ok(), expect, "{text}");
        for (text, expect) in [("", 3), ("kern", 0), ("daemon", 3), ("ftp", 11), ("local0", 16), ("local7", 23), ("23", 23)] {
            check(text, Some(expect));
        }
        for text in ["24", "-1", "local8", "local07", "nope"] {
            check(text, None);
        }
        assert_eq!(facility(&Options::new()), Ok(3));
        assert_eq!(format(&options("syslog-format", "rfc5424micro")), Ok(Format::Rfc5424Micro));
        assert_eq!(format(&options("syslog-format", "x")), Err("Invalid syslog format".to_owned()));
    }

    #[test]
    fn fields_of_the_journal() {
        for (key, expect) in [("com.example/role", "COM_EXAMPLE_ROLE"), ("__x-1", "X_1"), ("é", ""), ("A", "A")] {
            assert_eq!(field(key), expect);
        }
        let mut container = crate::container::testing::container(&"0123456789abcdef".repeat(4), "web");
        container.request.image = "busybox".into();
        container.request.labels.insert("a.b".into(), "x".into());
        container.request.host.log = Log { driver: "journald".into(), options: options("labels", "a.b") };
        let Target::Journal { socket, mut fields } = target(&container).unwrap() else { panic!("a journal") };
        assert_eq!(socket, Path::new(JOURNAL));
        assert_eq!(fields.remove("CONTAINER_LOG_EPOCH").unwrap().len(), 64);
        let all: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let id = "0123456789abcdef".repeat(4);
        let expect = [
            "A_B=x",
            "CONTAINER_ID=0123456789ab",
            &format!("CONTAINER_ID_FULL={id}"),
            "CONTAINER_NAME=web",
            "CONTAINER_TAG=0123456789ab",
            "IMAGE_NAME=busybox",
            "SYSLOG_IDENTIFIER=0123456789ab",
        ];
        assert_eq!(all, expect);
    }
}
