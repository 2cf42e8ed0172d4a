//! A watch for processes that crash: `killpoint dump --watch`, a process of its own, as tracing needs it.

use killpoint_model::crash::Stack;
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Deaths that are kept.
const CAUGHT_MAX: usize = 200;
/// How long a watch may take to end after what it watched has.
const END_LIMIT: Duration = Duration::from_secs(10);
/// How often it is looked whether it has.
const END_INTERVAL: Duration = Duration::from_millis(5);

/// A process that was about to die.
#[derive(Clone, Debug, Deserialize)]
pub struct Caught {
    /// Its number.
    pub pid: i32,
    /// Its dump, if there is one.
    pub dump: Option<PathBuf>,
    /// Why there is none.
    pub problem: Option<String>,
    /// The stack in it.
    pub stack: Option<Stack>,
}

/// The watch at work.
#[derive(Debug)]
pub struct Watch {
    child: Child,
    words: PathBuf,
    reader: JoinHandle<Vec<Caught>>,
}

impl Watch {
    /// Watches a process and all that it begets; dumps go into this directory, what the watch says of
    /// itself into the file `words`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(program: &Path, process: u32, directory: &Path, words: &Path) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(["dump", "--watch", &process.to_string(), "--to"])
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(words)?)
            .spawn()?;
        let output = child.stdout.take().expect("it is a pipe");
        let reader = thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            let caught = lines.filter_map(|line| serde_json::from_str(&line).ok());
            caught.take(CAUGHT_MAX).collect()
        });
        Ok(Watch { child, words: words.to_owned(), reader })
    }

    /// Waits for its end, which follows from that of what it watches: whom it caught, and why it could
    /// not watch, if it could not.
    pub fn end(mut self) -> (Vec<Caught>, Option<String>) {
        let since = Instant::now();
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if since.elapsed() < END_LIMIT => thread::sleep(END_INTERVAL),
                _ => break None,
            }
        };
        if status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let caught = self.reader.join().unwrap_or_default();
        let said = || fs::read_to_string(&self.words).unwrap_or_default().trim().to_owned();
        let problem = match status {
            Some(status) if status.success() => None,
            Some(_) => Some(said()),
            None => Some(format!("the watch did not end within {} s", END_LIMIT.as_secs())),
        };
        (caught, problem)
    }
}
