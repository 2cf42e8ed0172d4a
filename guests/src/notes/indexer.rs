//! The indexer: keeps a list of words and the notes that have them. Nothing is promised of it; one
//! that cannot be read is made anew.

use super::Options;
use crate::document::{self, save_atomically};
use crate::frame::{Store, failure};
use std::io::{self, BufRead, Write};

/// The index.
const INDEX: &str = "index.json";

/// Answers until the window hangs up.
pub fn run(options: &Options) -> io::Result<()> {
    let mut index: Store = document::read(&options.state.join(INDEX)).unwrap_or_default();
    let mut output = io::stdout();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let ["index", key, text] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(failure(format!("the indexer does not understand `{line}`")));
        };
        let word = text.split(':').next().unwrap_or_default();
        index.insert(key.to_owned(), word.into());
        save_atomically(&options.state, INDEX, &document::to_bytes(&index))?;
        output.write_all(b"indexed\n")?;
        output.flush()?;
    }
    Ok(())
}
