//! Gathers what a run leaves behind: dumps and their stacks, cores, log lines, what processes use, what the
//! screen shows.

pub mod cores;
pub mod logs;
pub mod resources;
#[cfg(feature = "screenshots")]
pub mod screenshots;
#[cfg(feature = "dumps")]
pub mod stack;
#[cfg(feature = "dumps")]
pub mod watch;
