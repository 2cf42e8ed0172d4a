//! A thread that starts the programs of one process and does nothing else.
//!
//! Where control groups are of version 1, a thread can be in a group by itself, and what it starts is
//! born there. To move a process costs the kernel some ten milliseconds each time; to be born there
//! costs nothing, so the thread moves once and stays.

use killpoint_engine::children::{Children, Confinement, Held};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

type Start = (Command, Confinement, Sender<io::Result<Held>>);

/// The thread. The kernel kills what it started when it ends.
#[derive(Debug)]
pub(super) struct Starter {
    starts: Sender<Start>,
    thread: JoinHandle<()>,
    /// Whether what is started is born in the group.
    is_in_group: bool,
}

impl Starter {
    /// Begins the thread, inside the group if that is possible.
    pub(super) fn new(children: Arc<Children>, group: Option<PathBuf>) -> Self {
        let (starts, waiting) = channel::<Start>();
        let (tell, told) = channel();
        let thread = thread::spawn(move || {
            let moved = group.is_some_and(|group| fs::write(group.join("tasks"), "0").is_ok());
            let _ = tell.send(moved);
            for (mut command, confinement, answer) in waiting {
                let _ = answer.send(children.start(&mut command, confinement));
            }
        });
        let is_in_group = told.recv().unwrap_or(false);
        Starter { starts, thread, is_in_group }
    }

    /// Starts a program.
    ///
    /// # Errors
    /// If it cannot be executed or confined.
    pub(super) fn start(&self, command: Command, confinement: Confinement) -> io::Result<Held> {
        let confinement = match self.is_in_group {
            true => Confinement { group: None, ..confinement },
            false => confinement,
        };
        let (answer, answered) = channel();
        let gone = |_| io::Error::other("the thread that starts programs is gone");
        self.starts.send((command, confinement, answer)).map_err(|_| gone(()))?;
        answered.recv().map_err(|_| gone(()))?
    }

    /// Ends the thread, so that the group can be removed.
    pub(super) fn end(self) {
        drop(self.starts);
        let _ = self.thread.join();
    }
}
