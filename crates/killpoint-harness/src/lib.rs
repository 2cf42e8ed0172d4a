//! Orchestrates a run: contain, record, judge, strike, report.

pub mod asserter;
pub mod diagnose;
pub mod report;
