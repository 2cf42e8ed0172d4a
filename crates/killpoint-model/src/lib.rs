//! The nouns of Killpoint: what a crash point, a crash model, a verdict, an event and a report are.
//!
//! Nothing here reads a file, a clock or a random source, and nothing here starts a thread, so
//! every other crate may import it and every function in it can be tested by a table.

pub mod activity;
pub mod address;
pub mod crash;
pub mod crash_model;
pub mod endpoint;
pub mod event;
pub mod fault;
pub mod finding;
pub mod invariant;
pub mod lifecycle;
pub mod nonsense;
pub mod objective;
pub mod operation;
pub mod operation_kind;
pub mod phase;
pub mod plan;
pub mod report;
pub mod resources;
pub mod scenario;
pub mod screenshot;
pub mod seed;
pub mod selector;
pub mod signal;
pub mod span;
pub mod strike;
pub mod supervision;
pub mod tolerance;
pub mod trial;
pub mod trigger;
pub mod verdict;

pub use address::Address;
pub use crash_model::{CrashModel, Profile};
pub use nonsense::Nonsense;
pub use operation::{Effect, FileId, FileKind, Operation, OperationKind};
pub use phase::Phase;
pub use plan::Plan;
pub use scenario::Scenario;
pub use selector::{Pick, Roles, Selector, Who};
pub use signal::Signal;
pub use verdict::{Class, Judgement, Outcome, Reason, Verdict};
