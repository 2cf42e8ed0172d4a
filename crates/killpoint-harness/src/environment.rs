//! Where a target runs. One environment so far: this machine.

pub mod local;
mod opened;
