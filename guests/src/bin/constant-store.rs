//! Right under a kill: overwrites one slot after the other of a store whose size, about 100 kB, never changes:
//! `constant-store COUNT`. A slot lies within one block, so that an overwrite is atomic.

use guests::{Promise, Store, document, frame};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;

const FILE: &str = "constant.store";
const SLOTS: u64 = 1_600;
const SLOT_BYTES: usize = 64;
const SLOTS_USED: u64 = 50;

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let path = call.state.join(FILE);
            if !path.exists() {
                let empty = vec![b' '; SLOTS as usize * SLOT_BYTES];
                document::save_atomically(&call.state, FILE, &empty)?;
            }
            let file = OpenOptions::new().write(true).open(path)?;
            for number in 0..call.number(0, 200) {
                // Neighbours in time are far from each other in the file.
                let slot = number % SLOTS_USED * (SLOTS / SLOTS_USED);
                let (key, value) = (format!("slot-{slot}"), format!("value-{number}"));
                journal.intend(&key, &value)?;
                let bytes = format!("{value:SLOT_BYTES$}");
                file.write_all_at(bytes.as_bytes(), slot * SLOT_BYTES as u64)?;
                journal.acknowledge(&key, Promise::Kill)?;
            }
            Ok(())
        },
        |state| {
            let bytes = match fs::read_to_string(state.join(FILE)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Store::new()),
                other => other?,
            };
            let mut store = Store::new();
            for (slot, text) in bytes.as_bytes().chunks(SLOT_BYTES).enumerate() {
                let value = String::from_utf8_lossy(text).trim_end().to_owned();
                if !value.is_empty() {
                    store.insert(format!("slot-{slot}"), value.into());
                }
            }
            Ok(store)
        },
    )
}
