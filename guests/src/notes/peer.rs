//! The other processes, as the window sees them: a question is a line, and so is its answer.

use super::Options;
use crate::frame::failure;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Deaths in a row after which the window gives up.
const DEATHS_MAX: u32 = 50;
/// Time before a process is started again.
const PAUSE: Duration = Duration::from_millis(10);

/// A process that answers.
pub struct Peer<'a> {
    kind: &'static str,
    options: &'a Options,
    running: Option<Running>,
}

struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl<'a> Peer<'a> {
    /// Starts it.
    pub fn start(kind: &'static str, options: &'a Options) -> io::Result<Self> {
        let mut peer = Peer { kind, options, running: None };
        peer.running = Some(peer.launch()?);
        Ok(peer)
    }

    fn launch(&self) -> io::Result<Running> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(self.options.arguments_for(self.kind))
            .env("KILLPOINT_STATE", &self.options.state)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || failure("a pipe is missing");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        Ok(Running { child, input, output })
    }

    /// Asks; a process that dies meanwhile is started again and asked the same.
    pub fn ask(&mut self, question: &str) -> io::Result<String> {
        for _ in 0..DEATHS_MAX {
            let answered = match &mut self.running {
                Some(running) => running.ask(question),
                None => Err(failure("it does not run")),
            };
            match answered {
                Ok(answer) => return Ok(answer),
                Err(_) => self.restart(),
            }
        }
        Err(failure(format!("the {} died {DEATHS_MAX} times in a row", self.kind)))
    }

    fn restart(&mut self) {
        if let Some(running) = self.running.take() {
            running.end();
        }
        thread::sleep(PAUSE);
        eprintln!("the {} is started again", self.kind);
        self.running = self.launch().ok();
    }

    /// Tells it that no more comes, and waits for its end.
    pub fn finish(mut self) {
        if let Some(running) = self.running.take() {
            running.end();
        }
    }
}

impl Running {
    fn ask(&mut self, question: &str) -> io::Result<String> {
        self.input.write_all(format!("{question}\n").as_bytes())?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        match answer.strip_suffix('\n') {
            Some(answer) => Ok(answer.to_owned()),
            None => Err(failure("it died")),
        }
    }

    fn end(mut self) {
        drop(self.input);
        let _ = self.child.wait();
    }
}
