//! How far something is, as Docker tells it: an object with numbers, and the same as a bar of text.

use super::progress_line;
use bytes::Bytes;
use dhow_api::size::human;
use dhow_api::types::{Progress, ProgressDetail};
use std::io::{self, Read};
use tokio::sync::mpsc;

/// Bytes between two lines.
const STEP: u64 = 512 * 1024;

/// A line about one object.
pub(super) fn line(action: &str, id: &str, done: u64, total: u64) -> Vec<u8> {
    let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    progress_line(&Progress {
        status: action.into(),
        progress_detail: Some(ProgressDetail { current: number(done), total: number(total), ..ProgressDetail::default() }),
        progress: bar(done, total),
        id: id.into(),
        ..Progress::default()
    })
}

#[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
fn bar(done: u64, total: u64) -> String {
    let shown = |bytes: u64| human(bytes as f64);
    if done == 0 && total == 0 {
        return String::new();
    }
    if total == 0 {
        return format!("{:>8}", shown(done));
    }
    let half = usize::try_from(done.saturating_mul(100) / total / 2).unwrap_or(50).min(50);
    let numbers = if done > total { format!("{:>8}", shown(done)) } else { format!("{:>8}/{}", shown(done), shown(total)) };
    format!("[{}>{}] {numbers}", "=".repeat(half), " ".repeat(50 - half))
}

/// A reader that tells how much was read. A line that the client has no room for is left out: the next one says more.
pub(super) struct Meter<R> {
    pub(super) inner: R,
    pub(super) action: &'static str,
    pub(super) total: u64,
    pub(super) sender: mpsc::Sender<Bytes>,
    done: u64,
    told: Option<u64>,
}

impl<R> Meter<R> {
    pub(super) fn new(inner: R, action: &'static str, total: u64, sender: mpsc::Sender<Bytes>) -> Self {
        Self { inner, action, total, sender, done: 0, told: None }
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.done += count as u64;
        let end = count == 0 && self.told != Some(self.done);
        if end || self.told.is_none_or(|told| self.done >= told + STEP) {
            self.told = Some(self.done);
            let _left_out = self.sender.try_send(line(self.action, "", self.done, self.total).into());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_as_docker_draws_them() {
        assert_eq!(bar(0, 0), "");
        assert_eq!(bar(1000, 0), "     1kB");
        assert_eq!(bar(500_000, 1_000_000), format!("[{}>{}]    500kB/1MB", "=".repeat(25), " ".repeat(25)));
        assert_eq!(bar(2_131_968, 2_131_968), format!("[{}>]  2.132MB/2.132MB", "=".repeat(50)));
        assert_eq!(
            line("Loading layer", "abc", 1, 2),
            format!(
                "{{\"status\":\"Loading layer\",\"progressDetail\":{{\"current\":1,\"total\":2}},\"progress\":\"[{}\\u003e{}]       1B/2B\",\"id\":\"abc\"}}\r\n",
                "=".repeat(25),
                " ".repeat(25)
            )
            .into_bytes()
        );
    }

    #[test]
    fn a_meter_tells_the_beginning_and_the_end() {
        let (sender, mut receiver) = mpsc::channel(8);
        let mut out = Vec::new();
        Meter::new(&b"abc"[..], "Importing", 3, sender).read_to_end(&mut out).unwrap();
        let mut lines = 0;
        while let Ok(line) = receiver.try_recv() {
            assert!(line.starts_with(b"{\"status\":\"Importing\""));
            lines += 1;
        }
        assert_eq!((out.as_slice(), lines), (&b"abc"[..], 1));
    }
}
