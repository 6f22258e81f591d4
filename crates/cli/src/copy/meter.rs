//! Bytes of a copy, counted and shown on standard error while it runs.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dhow_api::size;

/// How often the line changes.
const EVERY: Duration = Duration::from_millis(75);

/// Counts, and shows where there is a terminal.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    bytes: Arc<AtomicU64>,
    header: &'static str,
    /// Nothing is shown and nothing is said.
    quiet: bool,
    moving: bool,
}

impl Meter {
    /// With what stands before the number.
    pub(crate) fn new(header: &'static str, quiet: bool) -> Self {
        Self { bytes: Arc::default(), header, quiet, moving: !quiet && io::stderr().is_terminal() }
    }

    /// Puts the meter into a stream.
    pub(crate) fn over<T>(&self, inner: T) -> Metered<T> {
        Metered { inner, meter: self.clone(), shown: None }
    }

    fn add(&self, count: usize, shown: &mut Option<Instant>) {
        let all = self.bytes.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        if self.moving && shown.is_none_or(|at| at.elapsed() >= EVERY) {
            *shown = Some(Instant::now());
            show(&format!("\r\x1b[2K{}{}", self.header, human(all)));
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        if self.moving {
            show("\r\x1b[2K");
        }
    }

    /// Says what was copied where.
    pub(crate) fn done(&self, to: &str) {
        if !self.quiet {
            show(&format!("Successfully copied {} to {to}\n", human(self.bytes.load(Ordering::Relaxed))));
        }
    }
}

fn show(text: &str) {
    // Nobody listening is no reason to stop.
    let _unheard = io::stderr().write_all(text.as_bytes());
}

fn human(bytes: u64) -> String {
    size::human_with(bytes as f64, 3)
}

/// A stream with a meter in it.
#[derive(Debug)]
pub(crate) struct Metered<T> {
    inner: T,
    meter: Meter,
    shown: Option<Instant>,
}

impl<T: Read> Read for Metered<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.meter.add(count, &mut self.shown);
        Ok(count)
    }
}

impl<T: Write> Write for Metered<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.meter.add(count, &mut self.shown);
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_both_ways() {
        let meter = Meter::new("", true);
        io::copy(&mut meter.over(&[0u8; 1500][..]), &mut io::sink()).unwrap();
        meter.over(io::sink()).write_all(&[0; 548]).unwrap();
        assert_eq!(human(meter.bytes.load(Ordering::Relaxed)), "2.05kB");
    }
}
