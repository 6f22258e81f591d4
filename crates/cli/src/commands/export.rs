//! `export`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dhow_api::client::{Request, Response};

use super::shared;
use crate::app::App;
use crate::command::{Arity, Command};
use crate::error::Error;
use crate::flags::{Flag, Parsed, string};
use crate::options::os_error;
use crate::terminal;

/// The command.
pub(super) static COMMAND: Command = Command {
    names: &["container export", "export"],
    usage: "[OPTIONS] CONTAINER",
    short: "Write a container's filesystem as a tar archive",
    flags: FLAGS,
    arity: Arity::Exactly(1),
    stop_early: false,
    run,
};

static FLAGS: &[Flag] = &[string("output", "Write to a file instead of standard output").short('o')];

fn run(app: &App, parsed: &Parsed) -> Result<(), Error> {
    let path = parsed.text("output");
    if path.is_empty() && terminal::stdout_is_terminal() {
        return Err(Error::new("cowardly refusing to save to a terminal. Use the -o flag or redirect"));
    }
    if !path.is_empty() {
        check(path).map_err(|text| Error::new(format!("failed to export container: {text}")))?;
    }
    let name = shared::named(&parsed.args[0])?;
    app.block_on(async {
        let mut answer = app.client().await?.send(Request::get(shared::container(name, "/export"))).await?;
        if path.is_empty() {
            return copy(&mut answer, &mut std::io::stdout().lock()).await;
        }
        // A file that is there stays as it is until the new one is whole.
        let target = Partial::new(path)?;
        copy(&mut answer, &mut &target.file).await?;
        target.finish(path)
    })
}

async fn copy(answer: &mut Response, out: &mut dyn Write) -> Result<(), Error> {
    while let Some(piece) = answer.chunk().await? {
        out.write_all(&piece).map_err(Error::output)?;
    }
    out.flush().map_err(Error::output)
}

/// Docker's words about a place that cannot be written to.
fn check(path: &str) -> Result<(), String> {
    let parent = Path::new(path).parent().filter(|dir| !dir.as_os_str().is_empty());
    if let Some(dir) = parent.filter(|dir| !dir.exists()) {
        return Err(format!("invalid output path: stat {}: no such file or directory", dir.display()));
    }
    let Ok(found) = std::fs::metadata(path) else { return Ok(()) };
    let kind = found.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "directory",
        () if kind.is_char_device() => "character device file",
        () if kind.is_block_device() => "block device file",
        () if kind.is_fifo() => "named pipe file",
        () => "socket file",
    };
    Err(format!("cannot write to a {what}"))
}

/// A file under a name of its own, until it is whole.
struct Partial {
    file: File,
    name: PathBuf,
}

impl Partial {
    fn new(path: &str) -> Result<Self, Error> {
        let mut name = Path::new(path).as_os_str().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let name = PathBuf::from(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name);
        let file = file.map_err(|e| Error::new(format!("failed to export container: open {}: {}", name.display(), os_error(&e))))?;
        Ok(Self { file, name })
    }

    fn finish(self, path: &str) -> Result<(), Error> {
        std::fs::rename(&self.name, path).map_err(|e| Error::new(format!("failed to export container: rename to {path}: {}", os_error(&e))))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After a success it has its true name.
        let _renamed = std::fs::remove_file(&self.name);
    }
}
