//! Runs a process tree under interception on Linux, records its operations on files, kills it at an
//! exact point, and builds the states that a crash can leave.
//!
//! The only crate with `unsafe`: each block stands in a room that needs the operating system
//! (`filter`, `guest`, `spawn`, `intercept`, `arena`, `children`, `guardian`, `identity`, `peer`, `probe`, `watchdog`); what is built from
//! a recording is safe code.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "tests may panic"))]

pub mod any_path;
pub mod arena;
pub mod children;
mod clock;
pub mod compare;
pub mod descendants;
#[cfg(feature = "dumps")]
pub mod dump;
mod filter;
pub mod guardian;
mod guest;
pub mod identity;
pub mod image;
mod intercept;
pub mod materialise;
pub mod memory;
mod naming;
pub mod own_mounts;
pub mod peer;
pub mod probe;
pub mod proc_files;
pub mod record;
pub mod recording;
pub mod regular_file;
pub mod rollback;
pub mod sparse;
pub mod spawn;
pub mod states;
pub mod suspend;
pub mod undo;
pub mod watchdog;
