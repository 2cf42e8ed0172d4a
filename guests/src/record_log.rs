//! A log of records, each a length, a checksum, and `key NUL value`.

use crate::document::sync_directory;
use crate::frame::{Store, failure};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// The name of the log in the state directory.
pub const LOG: &str = "records.log";

/// What a log holds, and how many of its bytes are whole records.
#[derive(Debug)]
pub struct Contents {
    /// Key to its latest value.
    pub store: Store,
    /// Where the last whole record ends.
    pub whole_length: usize,
    /// How long the log is.
    pub length: usize,
}

/// What the log work appends: big records, so that writes straddle blocks of 4,096 bytes.
pub fn records() -> [(&'static str, String); 6] {
    [
        ("first", "small".to_owned()),
        ("second", "s".repeat(3_900)),
        ("third", "t".repeat(3_500)),
        ("first", "changed".to_owned()),
        ("fourth", "f".repeat(3_800)),
        ("second", "changed, too".to_owned()),
    ]
}

/// One record's bytes.
///
/// # Panics
/// When a record is longer than a length can say.
pub fn encode(key: &str, value: &str) -> Vec<u8> {
    let payload = format!("{key}\0{value}");
    let length = u32::try_from(payload.len()).expect("records are short");
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(checksum(payload.as_bytes()).to_le_bytes());
    bytes.extend(payload.as_bytes());
    bytes
}

/// Reads the log up to the first record that is not whole. A log that is not there is empty.
///
/// # Errors
/// When it cannot be read.
pub fn read(directory: &Path) -> io::Result<Contents> {
    let bytes = match fs::read(directory.join(LOG)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other?,
    };
    let mut store = Store::new();
    let mut whole_length = 0;
    while let Some((key, value, rest)) = decode(&bytes[whole_length..]) {
        store.insert(key, value.into());
        whole_length = bytes.len() - rest;
    }
    Ok(Contents { store, whole_length, length: bytes.len() })
}

/// Opens the log the right way: a torn tail is cut off, and a new log's name is made durable.
///
/// # Errors
/// What the calls give.
pub fn recover(directory: &Path) -> io::Result<(File, Store)> {
    let contents = read(directory)?;
    let is_new = !directory.join(LOG).exists();
    let file = OpenOptions::new().append(true).create(true).open(directory.join(LOG))?;
    if contents.whole_length < contents.length {
        file.set_len(contents.whole_length as u64)?;
        file.sync_all()?;
    }
    if is_new {
        sync_directory(directory)?;
    }
    Ok((file, contents.store))
}

/// What the log holds after recovery; a log that was never made stays so.
///
/// # Errors
/// What the calls give.
pub fn check(directory: &Path) -> io::Result<Store> {
    if directory.join(LOG).exists() { Ok(recover(directory)?.1) } else { Ok(Store::new()) }
}

/// What the log holds, for a program that takes a torn tail for damage.
///
/// # Errors
/// When the log cannot be read or its tail is torn.
pub fn check_without_recovery(directory: &Path) -> io::Result<Store> {
    let contents = read(directory)?;
    if contents.whole_length < contents.length {
        return Err(failure(format!("{LOG} is damaged at byte {}", contents.whole_length)));
    }
    Ok(contents.store)
}

/// Appends one record by a single write.
///
/// # Errors
/// What the call gives.
pub fn append(mut file: &File, key: &str, value: &str) -> io::Result<()> {
    file.write_all(&encode(key, value))
}

/// The first record's key and value, and how many bytes follow it.
fn decode(bytes: &[u8]) -> Option<(String, String, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    let payload = rest.get(..u32::from_le_bytes(*length) as usize)?;
    if checksum(payload) != u64::from_le_bytes(*sum) {
        return None;
    }
    let (key, value) = std::str::from_utf8(payload).ok()?.split_once('\0')?;
    Some((key.to_owned(), value.to_owned(), rest.len() - payload.len()))
}

/// FNV-1a with 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_a_torn_one_is_not() {
        let bytes = encode("key", "value");
        assert_eq!(decode(&bytes), Some(("key".to_owned(), "value".to_owned(), 0)));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
    }
}
