//! A request to stop, from outside: a signal, or whoever embeds the harness.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longest time for which a request goes unnoticed.
pub const NOTICE_INTERVAL: Duration = Duration::from_millis(100);

/// Set once, from anywhere, also from a signal handler; looked at in every loop that waits.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// One that is not requested.
    pub fn new() -> Self {
        Interrupt::default()
    }

    /// The flag to set.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Whether it was requested.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
