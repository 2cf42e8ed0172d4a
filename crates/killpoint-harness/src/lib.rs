//! Orchestrates a run: contain, record, judge, strike, report.

pub mod asserter;
pub mod diagnose;
mod difference;
pub mod environment;
pub mod explore;
pub mod report;
pub mod store;
