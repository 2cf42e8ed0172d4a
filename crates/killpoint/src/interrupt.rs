//! Ctrl-C: a flag that the harness looks at.

use killpoint_harness::interrupt::Interrupt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;

/// From now on SIGINT, SIGTERM and SIGHUP ask the run to stop instead of ending this process, so
/// that the log is kept and the workers are gone before it ends.
///
/// # Errors
/// If the system refuses to have the signals handled.
pub fn listen() -> io::Result<Interrupt> {
    let interrupt = Interrupt::new();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, interrupt.flag())?;
    }
    Ok(interrupt)
}
