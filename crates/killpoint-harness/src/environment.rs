//! Where a target runs. One environment so far: this machine.

mod home;
pub mod local;
mod opened;
