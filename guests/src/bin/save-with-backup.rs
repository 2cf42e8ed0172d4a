//! Saves its document in place after a copy of it was made, as editors do. Wrong as it is: nobody looks at the copy
//! at the next start. Right with `restore`: the check takes the copy where the document does not open.

use guests::{Promise, document, frame};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

const BACKUP: &str = "notes.json~";

fn main() -> ExitCode {
    let restores = env::args().any(|argument| argument == "restore");
    frame::run(
        |call, journal| {
            let path = call.state.join(document::DOCUMENT);
            let backup = call.state.join(BACKUP);
            document::save_repeatedly(&call.state, journal, Promise::Kill, |bytes| {
                if !path.exists() {
                    return document::save_atomically(&call.state, document::DOCUMENT, bytes);
                }
                fs::copy(&path, &backup)?;
                fs::write(&path, bytes)?;
                fs::remove_file(&backup)
            })
        },
        |directory| match document::check(directory) {
            Err(_) if restores => restore(directory),
            read => read,
        },
    )
}

fn restore(directory: &Path) -> io::Result<guests::Store> {
    fs::rename(directory.join(BACKUP), directory.join(document::DOCUMENT))?;
    document::check(directory)
}
