//! Orchestrates a run: contain, record, judge, strike, report.

pub mod asserter;
pub mod attach;
pub mod baseline;
pub mod campaign;
pub mod collector;
pub mod comparison;
pub mod diagnose;
mod difference;
pub mod doctor;
pub mod environment;
pub mod explore;
pub mod injector;
pub mod interceptor;
pub mod interrupt;
mod job;
pub mod journalist;
mod numbers;
mod own_paths;
pub mod processes;
pub mod recover;
pub mod report;
pub mod scenario;
pub mod store;
pub mod target;
pub mod triage;
#[cfg(feature = "upload")]
pub mod upload;
