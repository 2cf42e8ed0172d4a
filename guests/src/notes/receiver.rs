//! The receiver of the outbox: applies each operation once, by its id, and says that it has it.
//! `received.txt` has a line for each that was applied.

use super::{Options, outbox};
use crate::frame::failure;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// The file that a check counts in.
const RECEIVED: &str = "received.txt";

/// Serves one sender after the other.
pub fn run(options: &Options) -> io::Result<()> {
    let address = options.receiver.as_deref().ok_or_else(|| failure("give --receiver ADDRESS"))?;
    let path = options.state.join(RECEIVED);
    let mut received = read(&path)?;
    let file = OpenOptions::new().append(true).create(true).open(&path)?;
    let listener = TcpListener::bind(address)?;
    println!("receiving at {}", listener.local_addr()?);
    for sender in listener.incoming() {
        // A sender that dies is none of the receiver's business.
        let _ = serve(sender?, &file, &mut received, options.naive);
    }
    Ok(())
}

/// The ids that were applied; a line that was cut off was not.
fn read(path: &Path) -> io::Result<BTreeSet<String>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        text => text?,
    };
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if whole < text.len() {
        OpenOptions::new().write(true).open(path)?.set_len(whole as u64)?;
    }
    Ok(text[..whole].lines().map(str::to_owned).collect())
}

fn serve(
    sender: TcpStream,
    mut file: &File,
    received: &mut BTreeSet<String>,
    naive: bool,
) -> io::Result<()> {
    let mut reader = BufReader::new(sender);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        let id = line.split('\t').next().unwrap_or_default().to_owned();
        if line.ends_with('\n') && (outbox::is_new(received, &id) || naive) {
            file.write_all(format!("{id}\n").as_bytes())?;
            file.sync_data()?;
        }
        reader.get_mut().write_all(format!("{id}\n").as_bytes())?;
        line.clear();
    }
    Ok(())
}
