//! Wrong: two programs append to one log, and one of them writes its record in two parts. How many records the other
//! has written before is another number in every run: what a scheduler leaves to chance comes from a count of runs in
//! the directory `GUEST_TURNS`, so that tests can rely on it.

use guests::frame::{self, Call, Store, failure};
use guests::{Journal, Promise};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode};

const LOG: &str = "shared.log";
/// Records of the steady writer; more than the runs of a test.
const RECORDS: u64 = 40;

fn main() -> ExitCode {
    frame::run(
        |call, journal| match call.arguments.first().map(String::as_str) {
            Some("steady") => steady(call, journal),
            Some("careless") => careless(call, journal),
            _ => drive(call),
        },
        check,
    )
}

fn drive(call: &Call) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).open(call.state.join(LOG))?.sync_all()?;
    let before = turn()?.to_string();
    writer(&["steady", "0", &before])?;
    writer(&["careless"])?;
    writer(&["steady", &before, &RECORDS.to_string()])
}

/// How many runs there have been, at most [`RECORDS`].
fn turn() -> io::Result<u64> {
    let Some(directory) = std::env::var_os("GUEST_TURNS") else { return Ok(0) };
    let turn = fs::read_dir(&directory)?.count() as u64;
    fs::File::create_new(Path::new(&directory).join(turn.to_string()))?;
    Ok(turn.min(RECORDS))
}

fn writer(arguments: &[&str]) -> io::Result<()> {
    let status = Command::new(std::env::current_exe()?).args(arguments).status()?;
    if status.success() { Ok(()) } else { Err(failure(format!("{arguments:?}: {status}"))) }
}

fn steady(call: &Call, journal: &Journal) -> io::Result<()> {
    let mut log = OpenOptions::new().append(true).open(call.state.join(LOG))?;
    for number in call.number(1, 0)..call.number(2, 0) {
        let value = format!("record {number}");
        journal.intend("steady", &value)?;
        log.write_all(format!("steady={value}\n").as_bytes())?;
        journal.acknowledge("steady", Promise::Kill)?;
    }
    Ok(())
}

fn careless(call: &Call, journal: &Journal) -> io::Result<()> {
    let mut log = OpenOptions::new().append(true).open(call.state.join(LOG))?;
    journal.intend("careless", "in two parts")?;
    log.write_all(b"careless=")?;
    log.write_all(b"in two parts\n")?;
    journal.acknowledge("careless", Promise::Kill)
}

fn check(state: &Path) -> io::Result<Store> {
    let mut store = Store::new();
    let log = match fs::read_to_string(state.join(LOG)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(store),
        other => other?,
    };
    if !log.is_empty() && !log.ends_with('\n') {
        return Err(failure(format!("{LOG} ends in the middle of a record")));
    }
    for (key, value) in log.lines().filter_map(|line| line.split_once('=')) {
        store.insert(key.to_owned(), value.into());
    }
    Ok(store)
}
