//! What recordings say, and what was measured at them: kept, and read back.

use crate::asserter::journal::Journal;
use crate::environment::local::{Local, TrialResult};
use crate::explore::problem::ExploreError;
use crate::store::{RunFolder, StoreError};
use killpoint_engine::recording::{Ending, Reader, Record};
use killpoint_engine::regular_file;
use killpoint_model::{Address, Operation};
use std::path::PathBuf;

/// The journal that a recording left.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read_journal(local: &Local, name: &str) -> Result<Journal, String> {
    let path = local.folder.join(&format!("recordings/{name}.journal"));
    let bytes = regular_file::read(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Journal::parse(&bytes).map_err(|error| error.to_string())
}

/// The addresses of a recording, in order.
///
/// # Errors
/// If it cannot be read.
pub fn read_addresses(local: &Local, name: &str) -> Result<Vec<Address>, ExploreError> {
    of_operations(local, name, |operation| operation.address)
}

/// The operations of a recording, in order, without their data.
///
/// # Errors
/// If it cannot be read.
pub fn read_operations(local: &Local, name: &str) -> Result<Vec<Operation>, ExploreError> {
    of_operations(local, name, |operation| operation)
}

fn of_operations<T>(
    local: &Local,
    name: &str,
    part: impl Fn(Operation) -> T,
) -> Result<Vec<T>, ExploreError> {
    let mut reader = Reader::open(&local.folder.join(&format!("recordings/{name}.rec")))?;
    let mut parts = Vec::new();
    while let Some(record) = reader.next_record()? {
        if let Record::Operation(operation, _) = record {
            parts.push(part(operation));
        }
    }
    Ok(parts)
}

/// The last record of a recording.
///
/// # Errors
/// If it cannot be read, or was cut off.
pub fn read_ending(local: &Local, name: &str) -> Result<Ending, ExploreError> {
    let path = local.folder.join(&format!("recordings/{name}.rec"));
    let mut reader = Reader::open(&path)?;
    while let Some(record) = reader.next_record()? {
        if let Record::Ending(ending) = record {
            return Ok(ending);
        }
    }
    let problem = "was cut off: the run cannot be replayed".to_owned();
    Err(ExploreError::Malformed { path, problem })
}

/// Whether an address is that of a call: stores into a mapping are seen at a stop by chance.
pub fn is_call(address: &Address) -> bool {
    !matches!(address, Address::Call { kind, .. } if !kind.is_point())
}

/// Keeps what a recording gave, so that it need not be made again.
pub(super) fn save_result(
    folder: &RunFolder,
    number: u32,
    result: &TrialResult,
) -> Result<(), StoreError> {
    let text = serde_json::to_vec(result).expect("plain data");
    folder.write(&format!("recordings/{number}.json"), &text).map(|_| ())
}

/// What a recording of the interrupted part gave.
pub(super) fn load_result(
    folder: &RunFolder,
    number: u32,
    digest: &str,
) -> Result<TrialResult, ExploreError> {
    let recording = folder.join(&format!("recordings/{number}.rec"));
    let input = |path: &PathBuf| {
        let path = path.clone();
        move |source| ExploreError::Input { path, source }
    };
    let bytes = regular_file::read(&recording).map_err(input(&recording))?;
    if blake3::hash(&bytes).to_hex().as_str() != digest {
        let problem = "not the recording that the event log names; start the run anew".to_owned();
        return Err(ExploreError::Malformed { path: recording, problem });
    }
    let path = folder.join(&format!("recordings/{number}.json"));
    let bytes = regular_file::read(&path).map_err(input(&path))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| ExploreError::Malformed { path, problem: error.to_string() })
}
