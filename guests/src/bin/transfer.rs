//! Right: moves money between two accounts by a note of both new balances that is replayed until both are saved.

use guests::{Promise, bank, document, frame};
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

const NOTE: &str = "transfer.json";

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            recover(&call.state)?;
            bank::transfer(journal, &call.state, Promise::PowerLoss, |balances| {
                let bytes = document::to_bytes(balances);
                document::save_atomically(&call.state, NOTE, &bytes)?;
                recover(&call.state)
            })
        },
        |state| {
            recover(state)?;
            bank::read(state)
        },
    )
}

fn recover(state: &Path) -> io::Result<()> {
    let noted = document::read(&state.join(NOTE))?;
    if noted.is_empty() {
        return Ok(());
    }
    for (account, balance) in &noted {
        document::save_atomically(state, account, balance.to_string().as_bytes())?;
    }
    fs::remove_file(state.join(NOTE))?;
    document::sync_directory(state)
}
