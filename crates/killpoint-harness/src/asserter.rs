//! Judges: pure functions from what a crash left and what was promised to a verdict.

pub mod built_in;
pub mod checker;
pub mod history;
pub mod invariants;
pub mod journal;
pub mod oracle;
