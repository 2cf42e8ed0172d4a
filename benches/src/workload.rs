//! What is measured and is no guest: this program itself, called with [`ARGUMENT`]. It writes below
//! `KILLPOINT_STATE`.

use anyhow::{Context, Result, bail};
use rusqlite::Connection;
use std::fs::{self, File};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

/// What makes this program a workload: the name of one follows, and a count.
pub const ARGUMENT: &str = "--workload";

/// Size of an entry: all of them make about 100 kB.
const TEXT_BYTES: usize = 190;
/// Entries of the document, and rows of the database.
const ENTRIES: i64 = 500;

/// The command line of a workload.
///
/// # Errors
/// If this program does not know where it is.
pub fn command_line(name: &str, count: u64) -> Result<Vec<String>> {
    let this = std::env::current_exe()?.to_string_lossy().into_owned();
    Ok(vec![this, ARGUMENT.to_owned(), name.to_owned(), count.to_string()])
}

/// Runs a workload.
///
/// # Errors
/// What goes wrong in it.
pub fn run(arguments: &[String]) -> Result<()> {
    let name = arguments.first().context("which workload?")?;
    let count: i64 = arguments.get(1).context("how often?")?.parse()?;
    let state = PathBuf::from(std::env::var_os("KILLPOINT_STATE").context("KILLPOINT_STATE")?);
    match name.as_str() {
        "document" => (1..=count).try_for_each(|number| save_document(&state, number)),
        "rows" => change_rows(&state, count),
        "transactions" => insert_rows(&state, count),
        "answer-sizes" => answer_sizes(&state),
        other => bail!("no workload is called `{other}`"),
    }
}

fn filler(number: i64) -> String {
    format!("{number:08} ").repeat(TEXT_BYTES / 9)
}

/// Replaces a JSON document of 100 kB, the right way.
fn save_document(state: &Path, number: i64) -> Result<()> {
    let mut document = serde_json::Map::new();
    for entry in 0..ENTRIES {
        let value = if entry == number % ENTRIES { number + ENTRIES } else { entry };
        document.insert(format!("entry-{entry}"), filler(value).into());
    }
    let temporary = state.join("settings.json.tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(&document)?)?;
    file.sync_all()?;
    fs::rename(temporary, state.join("settings.json"))?;
    Ok(File::open(state)?.sync_all()?)
}

fn open(state: &Path) -> Result<Connection> {
    let connection = Connection::open(state.join("rows.db"))?;
    connection.pragma_update(None, "journal_mode", "delete")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute("create table if not exists row(number integer primary key, text)", [])?;
    Ok(connection)
}

/// Fills a database of 100 kB in one transaction, then changes a row in each of the others.
fn change_rows(state: &Path, count: i64) -> Result<()> {
    let mut connection = open(state)?;
    let transaction = connection.transaction()?;
    for number in 0..ENTRIES {
        transaction
            .execute("insert or replace into row values(?1, ?2)", (number, filler(number)))?;
    }
    transaction.commit()?;
    for number in 0..count {
        let row = number * 37 % ENTRIES;
        connection.execute("update row set text = ?1 where number = ?2", (filler(number), row))?;
    }
    Ok(())
}

/// Inserts a small row in each transaction.
fn insert_rows(state: &Path, count: i64) -> Result<()> {
    let connection = open(state)?;
    for _ in 0..count {
        connection.execute("insert into row(text) values(?1)", ["a row of no importance"])?;
    }
    Ok(())
}

/// A stream checker that prints the size of each file.
fn answer_sizes(state: &Path) -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        let question: serde_json::Value = serde_json::from_str(&line?)?;
        let mut store = serde_json::Map::new();
        for entry in fs::read_dir(state)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            store.insert(name, entry.metadata()?.len().into());
        }
        let answer = serde_json::json!({ "id": question["id"], "store": store });
        writeln!(std::io::stdout(), "{answer}")?;
    }
    Ok(())
}
