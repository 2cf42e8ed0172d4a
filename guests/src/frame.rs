//! The frame of a guest: where its state is, which of its two modes is asked for, what it prints.

use crate::journal::Journal;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a store holds, and what the mode `check` prints.
pub type Store = serde_json::Map<String, serde_json::Value>;

/// How the guest was called: `guest [check] [DIRECTORY] [ARGUMENT]...`. The directory stands among the arguments only
/// where `KILLPOINT_STATE` is not set.
#[derive(Debug)]
pub struct Call {
    /// The state directory; it is there.
    pub state: PathBuf,
    /// Whether the store shall be reopened and printed.
    pub is_check: bool,
    /// What follows the directory.
    pub arguments: Vec<String>,
}

impl Call {
    /// Reads environment and arguments, and makes the state directory where it is missing.
    ///
    /// # Errors
    /// When no directory is given or it cannot be made.
    pub fn read() -> io::Result<Call> {
        let mut arguments: Vec<String> = std::env::args().skip(1).collect();
        let is_check = arguments.first().is_some_and(|argument| argument == "check");
        if is_check {
            arguments.remove(0);
        }
        let state = match std::env::var_os("KILLPOINT_STATE") {
            Some(state) => PathBuf::from(state),
            None if !arguments.is_empty() => PathBuf::from(arguments.remove(0)),
            None => return Err(failure("set KILLPOINT_STATE or give a directory")),
        };
        if !state.is_dir() {
            std::fs::create_dir_all(&state)?;
        }
        Ok(Call { state, is_check, arguments })
    }

    /// The number at this position of the arguments, or what the guest does by default.
    ///
    /// # Panics
    /// When the argument is not a number.
    pub fn number(&self, index: usize, default: u64) -> u64 {
        self.arguments.get(index).map_or(default, |text| text.parse().expect("a whole number"))
    }
}

/// Runs the guest in the mode that it was called in.
pub fn run(
    work: impl FnOnce(&Call, &Journal) -> io::Result<()>,
    check: impl FnOnce(&Path) -> io::Result<Store>,
) -> ExitCode {
    let outcome = Call::read().and_then(|call| {
        if call.is_check {
            let store = check(&call.state)?;
            println!("{}", serde_json::Value::Object(store));
            Ok(())
        } else {
            work(&call, &Journal::open()?)
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// An error in the guest's own words.
pub fn failure(text: impl Into<String>) -> io::Error {
    io::Error::other(text.into())
}
