//! Right: applies its log where that is newer than its values, by times of modification that it sets itself.

use guests::{Promise, Store, document, frame};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// Both files lie in a directory that is moved while they are changed.
const AT_REST: &str = "store";
const BUSY: &str = "store.busy";
const LOG: &str = "log.json";
const VALUES: &str = "values.json";

fn main() -> ExitCode {
    frame::run(
        |call, journal| {
            let (rest, busy) = (call.state.join(AT_REST), call.state.join(BUSY));
            fs::create_dir(&rest)?;
            let mut values = Store::new();
            for (step, (key, value)) in (0..).zip(document::saves()) {
                journal.intend(key, &value)?;
                fs::rename(&rest, &busy)?;
                let log = Store::from_iter([(key.to_owned(), value.clone().into())]);
                save(&busy, LOG, &log, 2 * step + 1)?;
                journal.acknowledge(key, Promise::Kill)?;
                fs::rename(&busy, &rest)?;
                values.insert(key.to_owned(), value.into());
                save(&rest, VALUES, &values, 2 * step + 2)?;
            }
            Ok(())
        },
        recover,
    )
}

/// Saves a document with the time of a step, in minutes since long ago.
fn save(directory: &Path, name: &str, store: &Store, step: u64) -> io::Result<()> {
    const LONG_AGO: Duration = Duration::from_secs(1_000_000_000);
    let file = document::write_temporary(directory, name, &document::to_bytes(store))?;
    file.set_modified(SystemTime::UNIX_EPOCH + LONG_AGO + Duration::from_secs(60 * step))?;
    document::rename_temporary(directory, name)
}

fn recover(state: &Path) -> io::Result<Store> {
    let directory: PathBuf = [AT_REST, BUSY]
        .map(|name| state.join(name))
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| state.join(AT_REST));
    let modified = |name| File::open(directory.join(name))?.metadata()?.modified();
    let mut values = document::read(&directory.join(VALUES))?;
    if let Ok(log) = modified(LOG)
        && modified(VALUES).map_or(true, |values| log > values)
    {
        values.append(&mut document::read(&directory.join(LOG))?);
    }
    Ok(values)
}
