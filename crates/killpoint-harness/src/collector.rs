//! Gathers what a run leaves behind: dumps and their stacks.

#[cfg(feature = "dumps")]
pub mod stack;
