//! The line on the terminal that tells how far a run has come.

use killpoint_harness::journalist::Progress;
use killpoint_harness::report::console::progress_line;
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// The line; nothing where there is no terminal.
pub struct Live {
    on: bool,
    last: Option<Instant>,
}

impl Live {
    /// One that shows nothing unless it is wanted.
    pub fn new(wanted: bool) -> Self {
        Live { on: wanted && stderr().is_terminal(), last: None }
    }

    /// Shows how far it is.
    pub fn show(&mut self, step: &Progress) {
        const INTERVAL: Duration = Duration::from_millis(100);
        let due = self.last.is_none_or(|last| last.elapsed() >= INTERVAL);
        if self.on && due && step.elapsed >= Duration::from_millis(500) {
            self.last = Some(Instant::now());
            let line = progress_line(step.stage, step.done, step.total, step.elapsed);
            let _ = write!(stderr(), "\r\x1b[2K{line}");
        }
    }

    /// Leaves nothing behind.
    pub fn clear(&mut self) {
        if self.on && self.last.is_some() {
            let _ = write!(stderr(), "\r\x1b[2K");
        }
    }
}
