//! A crash: the death of a supervised process, or of one below it, that was no stop, and the stack of a process that
//! left a dump.
//!
//! Its id links what belongs together: the dump, the last checkpoint, the lifecycle event, the lines of its log, the
//! commit and the job that it happened in.

mod death;

pub use death::{Below, Crash, DumpFile, DumpedBy, LastCheckpoint, LogLines};

use serde::{Deserialize, Serialize};

/// How many frames of the application's own make a signature.
const SIGNATURE_FRAMES_MAX: usize = 5;

/// One frame of a stack, the innermost first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// The file of the code, without its directory.
    pub module: String,
    /// The function, where symbols are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The source file and line, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where in the module, in bytes from its start.
    pub offset: u64,
    /// Whether it is code of the application's own: of no system library and no language run-time.
    pub in_application: bool,
}

impl Frame {
    /// Whether its function is of a language's run-time that is linked into the program.
    pub fn is_of_a_run_time(&self) -> bool {
        const PREFIXES: [&str; 9] = [
            "std::", "core::", "alloc::", "<std::", "<core::", "<alloc::", "__rust", "rust_",
            "_start",
        ];
        self.function.as_ref().is_some_and(|name| PREFIXES.iter().any(|p| name.starts_with(p)))
    }

    /// What it is called in a signature: it does not change when the program is built at another place.
    fn name(&self) -> String {
        match &self.function {
            Some(function) => format!("{}!{function}", self.module),
            None => format!("{}+{:#x}", self.module, self.offset),
        }
    }
}

impl std::fmt::Display for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.name())?;
        match &self.source {
            Some(source) => write!(f, " {source}"),
            None => Ok(()),
        }
    }
}

/// The stack of the thread that crashed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// Why, as the dump says: `SIGSEGV / SEGV_MAPERR`; empty for a dump of a process that did not crash.
    pub reason: String,
    /// The frames, bounded.
    pub frames: Vec<Frame>,
}

impl Stack {
    /// What crashes of one defect have in common: the innermost frames of the application's own, or of all where
    /// there are none. None without a stack.
    pub fn signature(&self) -> Option<String> {
        let own: Vec<&Frame> = self.frames.iter().filter(|frame| frame.in_application).collect();
        let frames = if own.is_empty() { self.frames.iter().collect() } else { own };
        let names: Vec<String> =
            frames.into_iter().take(SIGNATURE_FRAMES_MAX).map(Frame::name).collect();
        (!names.is_empty()).then(|| names.join(" < "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(module: &str, function: Option<&str>, in_application: bool) -> Frame {
        let function = function.map(str::to_owned);
        Frame { module: module.to_owned(), function, source: None, offset: 16, in_application }
    }

    #[test]
    fn a_signature_is_of_the_applications_own_frames() {
        let stack = Stack {
            reason: "SIGABRT".to_owned(),
            frames: vec![
                frame("libc.so.6", Some("abort"), false),
                frame("notes", Some("save"), true),
                frame("notes", None, true),
            ],
        };
        assert_eq!(stack.signature().as_deref(), Some("notes!save < notes+0x10"));
    }

    #[test]
    fn without_such_frames_it_is_of_all_and_without_any_there_is_none() {
        let frames = vec![frame("libc.so.6", Some("abort"), false)];
        let stack = Stack { reason: String::new(), frames };
        assert_eq!(stack.signature().as_deref(), Some("libc.so.6!abort"));
        assert_eq!(Stack::default().signature(), None);
    }
}
