//! Orchestrates a run: contain, record, judge, strike, report.

pub mod asserter;
pub mod environment;
pub mod report;
pub mod store;
