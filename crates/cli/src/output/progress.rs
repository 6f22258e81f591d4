//! The progress of pulls, loads and imports: JSON objects from the engine, shown as moving lines on a terminal and as
//! plain lines elsewhere.

use std::collections::HashMap;
use std::io::Write;

use dhow_api::client::Response;
use dhow_api::size;
use dhow_api::types::Progress;

use crate::error::Error;

/// An object of the stream may not be longer than this.
const MAX_LINE: usize = 8 * 1024 * 1024;

/// Shows a stream of progress until its end. `moving` says that the target is a terminal.
///
/// An error that the engine reports inside the stream becomes the error of the command.
pub(crate) async fn show(answer: &mut Response, out: &mut dyn Write, moving: bool) -> Result<(), Error> {
    show_with(answer, out, moving, &mut |_| {}).await
}

/// As [`show`]; `beside` hears what the engine says beside the lines.
pub(crate) async fn show_with(
    answer: &mut Response,
    out: &mut dyn Write,
    moving: bool,
    beside: &mut dyn FnMut(&serde_json::Value),
) -> Result<(), Error> {
    let mut screen = Screen { moving, lines: HashMap::new(), width: width(moving) };
    let mut pending = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        pending.extend_from_slice(&piece);
        let used = screen.objects(&pending, out, beside)?;
        pending.drain(..used);
        if pending.len() > MAX_LINE {
            return Err(Error::new("progress stream: object too long"));
        }
    }
    if pending.iter().any(|byte| !byte.is_ascii_whitespace()) {
        return Err(Error::new("unexpected EOF"));
    }
    Ok(())
}

/// Reads a stream of progress without showing it.
pub(crate) async fn discard(answer: &mut Response) -> Result<(), Error> {
    show(answer, &mut std::io::sink(), false).await
}

fn width(moving: bool) -> usize {
    if moving { crate::terminal::size_of_stdout().map_or(80, |(_, columns)| usize::from(columns)) } else { 0 }
}

struct Screen {
    moving: bool,
    /// Which line, counted from the first one, belongs to which object.
    lines: HashMap<String, usize>,
    width: usize,
}

impl Screen {
    /// Shows all whole objects of the bytes; returns how many bytes they took.
    fn objects(&mut self, bytes: &[u8], out: &mut dyn Write, beside: &mut dyn FnMut(&serde_json::Value)) -> Result<usize, Error> {
        let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<Progress>();
        let mut used = 0;
        while let Some(item) = stream.next() {
            let progress = match item {
                Ok(progress) => progress,
                Err(error) if error.is_eof() => break,
                Err(error) => return Err(Error::new(format!("progress stream: {error}"))),
            };
            used = stream.byte_offset();
            self.show(&progress, out)?;
            if let Some(aux) = &progress.aux {
                beside(aux);
            }
        }
        Ok(used)
    }

    fn show(&mut self, progress: &Progress, out: &mut dyn Write) -> Result<(), Error> {
        if let Some(detail) = &progress.error_detail {
            return Err(Error::new(detail.message.clone()));
        }
        if !progress.error.is_empty() {
            return Err(Error::new(progress.error.clone()));
        }
        let bar = self.bar(progress);
        if !self.moving && !bar.is_empty() {
            return Ok(());
        }
        if !progress.stream.is_empty() {
            return out.write_all(progress.stream.as_bytes()).map_err(Error::output);
        }
        if progress.status.is_empty() {
            return Ok(());
        }
        self.line(progress, &bar, out).map_err(Error::output)
    }

    /// One line; on a terminal each object's line stays where it is and is written over.
    fn line(&mut self, progress: &Progress, bar: &str, out: &mut dyn Write) -> std::io::Result<()> {
        let mut text = String::new();
        if !progress.id.is_empty() {
            text.push_str(&format!("{}: ", progress.id));
        }
        text.push_str(&progress.status);
        if !bar.is_empty() {
            text.push_str(&format!(" {bar}"));
        }
        if !self.moving || progress.id.is_empty() {
            self.lines.clear();
            return writeln!(out, "{text}");
        }
        let next = self.lines.len();
        let at = *self.lines.entry(progress.id.clone()).or_insert(next);
        if at == next {
            return writeln!(out, "{text}");
        }
        let up = next - at;
        write!(out, "\x1b[{up}A\x1b[2K\r{text}\x1b[{up}B\r")?;
        out.flush()
    }

    fn bar(&self, progress: &Progress) -> String {
        let Some(detail) = &progress.progress_detail else { return String::new() };
        let (current, total) = (detail.current, detail.total);
        if current <= 0 && total <= 0 {
            return String::new();
        }
        #[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
        let size = |bytes: i64| size::human(bytes as f64);
        if total <= 0 || current > total {
            return size(current);
        }
        let numbers = format!("{}/{}", size(current), size(total));
        if self.width < 110 {
            return numbers;
        }
        let done = usize::try_from(current * 50 / total).unwrap_or(0).min(50);
        let head = if done < 50 { ">" } else { "" };
        format!("[{}{head}{}] {numbers}", "=".repeat(done), " ".repeat(50 - done - head.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(moving: bool, objects: &str) -> Result<String, String> {
        let mut screen = Screen { moving, lines: HashMap::new(), width: 120 };
        let mut out = Vec::new();
        screen.objects(objects.as_bytes(), &mut out, &mut |_| {}).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    const PULL: &str = concat!(
        "{\"status\":\"Pulling from library/x\",\"id\":\"latest\"}\r\n",
        "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":5,\"total\":10},\"id\":\"abc\"}\r\n",
        "{\"status\":\"Pull complete\",\"progressDetail\":{},\"id\":\"abc\"}\r\n",
        "{\"status\":\"Status: done\"}\r\n{\"sta",
    );

    #[test]
    fn plain_lines() {
        insta::assert_snapshot!(shown(false, PULL).unwrap(), @r"
        latest: Pulling from library/x
        abc: Pull complete
        Status: done
        ");
    }

    #[test]
    fn moving_lines() {
        let text = shown(true, PULL).unwrap();
        assert!(text.contains("abc: Downloading [=========================>                        ] 5B/10B\n"), "{text:?}");
        assert!(text.contains("\x1b[1A\x1b[2K\rabc: Pull complete\x1b[1B\r"), "{text:?}");
    }

    #[test]
    fn errors_end_it() {
        let stream = "{\"errorDetail\":{\"message\":\"denied\"},\"error\":\"denied\"}";
        assert_eq!(shown(false, stream).unwrap_err(), "denied");
    }
}
