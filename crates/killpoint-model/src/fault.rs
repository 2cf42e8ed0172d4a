//! Faults: what is done to a process, or to the call that it is about to make.

use crate::activity::Activities;
use crate::endpoint::Url;
use crate::nonsense::{Nonsense, refuse, refuse_no_program};
use crate::operation_kind::OperationKind;
use crate::signal::Signal;
use crate::span::Span;
use crate::supervision::Command;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The rung's time where none is given.
const USUAL_GRACE: Span = Span::from_secs(5);

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Terminate,
    /// The application's own way to end (the target's `stop`), then SIGTERM, then SIGKILL.
    Graceful,
    /// The supervisor stops and starts it.
    Restart,
    /// Any signal.
    Signal(#[schemars(with = "String")] Signal),
    /// One way to end it after the other, each with its grace.
    Ladder(Vec<Rung>),
    /// It stands still for so long.
    Suspend(Span),
    /// It is killed and not started again for so long.
    KeepDown(Span),
    /// The call at the crash point fails with this error.
    Fail(Errno),
    /// The write at the crash point writes only so many bytes, and says so.
    ShortWrite(u64),
    /// The write at the crash point is cut at a multiple of this many bytes, which is drawn, and then
    /// the processes are killed.
    TornWrite(u64),
    /// What the scenario does by itself; no process of the target is struck.
    Activities(Box<Activities>),
}

/// One way to end a process. In a file its name alone is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(from = "RungForm")]
pub struct Rung {
    /// The way.
    pub by: Means,
    /// How long the process has to end.
    pub grace: Span,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(
    untagged,
    expecting = "a rung is terminate, kill, { signal: NAME }, { command: [PROGRAM] }, { http: http://HOST:PORT/PATH }, or { by: one of these, grace: 5s }"
)]
enum RungForm {
    Whole(RungFields),
    Means(Means),
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct RungFields {
    by: Means,
    #[serde(default = "usual_grace")]
    grace: Span,
}

fn usual_grace() -> Span {
    USUAL_GRACE
}

impl From<RungForm> for Rung {
    fn from(form: RungForm) -> Self {
        match form {
            RungForm::Whole(RungFields { by, grace }) => Rung { by, grace },
            RungForm::Means(by) => Rung { by, grace: USUAL_GRACE },
        }
    }
}

impl Rung {
    /// The same with what `fill` makes of each text in which a place may stand.
    pub fn filled_in(&self, fill: impl Fn(&str) -> String) -> Rung {
        let mut rung = self.clone();
        match &mut rung.by {
            Means::Command(words) => words.iter_mut().for_each(|word| *word = fill(word)),
            Means::Http(url) => *url = url.map(fill),
            Means::Terminate | Means::Kill | Means::Signal(_) => {}
        }
        rung
    }
}

/// A way to end a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
    /// Any signal.
    Signal(#[schemars(with = "String")] Signal),
    /// A command of the application's own, which finds the process in KILLPOINT_PID.
    Command(Command),
    /// A POST request to the application.
    Http(Url),
}

/// Errors with which a call may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Errno {
    /// No space left on the device.
    Enospc,
    /// Input/output error.
    Eio,
    /// The quota is used up.
    Edquot,
    /// Interrupted by a signal.
    Eintr,
}

impl Errno {
    /// Its number on Linux.
    pub fn number(self) -> i32 {
        match self {
            Errno::Enospc => 28,
            Errno::Eio => 5,
            Errno::Edquot => 122,
            Errno::Eintr => 4,
        }
    }

    /// Whether a call of this kind may fail with it on a local file system.
    pub fn may_come_from(self, kind: OperationKind) -> bool {
        use OperationKind::{
            Bind, Clone, Fallocate, Fdatasync, Fsync, Link, Mapped, Mkdir, Mknod, Msync,
            OpenCreate, OpenTemporary, OpenTruncate, Rename, Setxattr, Symlink, Sync, Write,
        };
        match self {
            // sync tells no errors, and a store into a mapping is no call.
            Errno::Eio => !matches!(kind, Sync | Mapped),
            Errno::Eintr => matches!(
                kind,
                Write | OpenCreate | OpenTemporary | OpenTruncate | Fallocate | Fsync | Fdatasync
            ),
            Errno::Enospc | Errno::Edquot => matches!(
                kind,
                Write
                    | OpenCreate
                    | OpenTemporary
                    | Mkdir
                    | Mknod
                    | Bind
                    | Link
                    | Symlink
                    | Rename
                    | Setxattr
                    | Fallocate
                    | Clone
                    | Fsync
                    | Fdatasync
                    | Msync
            ),
        }
    }
}

impl Fault {
    /// The ladder of ways that it takes, if it is one that ends processes.
    pub fn rungs(&self) -> Option<Vec<Rung>> {
        let rung = |by| Rung { by, grace: USUAL_GRACE };
        match self {
            Fault::Kill | Fault::KeepDown(_) | Fault::TornWrite(_) => Some(vec![rung(Means::Kill)]),
            Fault::Terminate => Some(vec![rung(Means::Terminate)]),
            Fault::Signal(signal) => Some(vec![rung(Means::Signal(*signal))]),
            Fault::Ladder(rungs) => Some(rungs.clone()),
            _ => None,
        }
    }

    /// Whether it can be done to somebody.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn check(&self) -> Result<(), Nonsense> {
        match self {
            Fault::Suspend(span) => {
                refuse(&[(span.as_ms() == 0, "suspend", "it must last longer than 0")])
            }
            Fault::KeepDown(span) => {
                refuse(&[(span.as_ms() == 0, "keep-down", "it must last longer than 0")])
            }
            Fault::Signal(signal) if signal.suspends() => {
                Err(Nonsense::new("signal", suspends(*signal)))
            }
            Fault::Ladder(rungs) => check_ladder(rungs).map_err(|it| it.within("ladder")),
            Fault::ShortWrite(bytes) => {
                refuse(&[(*bytes == 0, "short-write", "write a number of bytes greater than 0")])
            }
            Fault::TornWrite(bytes) => {
                refuse(&[(*bytes == 0, "torn-write", "write a number of bytes greater than 0")])
            }
            Fault::Activities(activities) => {
                activities.check().map_err(|it| it.within("activities"))
            }
            _ => Ok(()),
        }
    }

    /// Whether it can be done to a call of this kind.
    pub fn can_be_done_to(&self, kind: OperationKind) -> bool {
        match self {
            Fault::Fail(error) => error.may_come_from(kind),
            Fault::ShortWrite(_) | Fault::TornWrite(_) => kind == OperationKind::Write,
            _ => true,
        }
    }

    /// Whether it is done to a call, and so needs a crash point.
    pub fn is_at_a_call(&self) -> bool {
        matches!(self, Fault::Fail(_) | Fault::ShortWrite(_) | Fault::TornWrite(_))
    }
}

fn suspends(signal: Signal) -> String {
    format!("{signal} suspends a process, and nothing would undo it: write `suspend: 5s`")
}

fn check_ladder(rungs: &[Rung]) -> Result<(), Nonsense> {
    refuse(&[(rungs.is_empty(), "", "it has no rungs: write one, as [terminate, kill]")])?;
    for (index, rung) in rungs.iter().enumerate() {
        let at = format!("[{index}]");
        let is_after_a_kill = index > 0 && rungs[index - 1].by.signal() == Some(Signal::KILL);
        refuse(&[(is_after_a_kill, &at, "nobody is left after a kill: take it out")])?;
        match &rung.by {
            Means::Signal(signal) if signal.suspends() => {
                return Err(Nonsense::new(at, suspends(*signal)));
            }
            Means::Command(command) => refuse_no_program(&at, command)?,
            _ => {}
        }
    }
    Ok(())
}

impl Means {
    /// The signal that is sent, if it is one.
    pub fn signal(&self) -> Option<Signal> {
        match self {
            Means::Terminate => Some(Signal::TERM),
            Means::Kill => Some(Signal::KILL),
            Means::Signal(signal) => Some(*signal),
            Means::Command(_) | Means::Http(_) => None,
        }
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Means::Terminate => f.write_str("terminate"),
            Means::Kill => f.write_str("kill"),
            Means::Signal(signal) => signal.fmt(f),
            Means::Command(command) => write!(f, "`{}`", command.join(" ")),
            Means::Http(url) => write!(f, "POST {url}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kill => f.write_str("kill"),
            Fault::Terminate => f.write_str("terminate"),
            Fault::Graceful => f.write_str("graceful stop"),
            Fault::Restart => f.write_str("restart"),
            Fault::Signal(signal) => signal.fmt(f),
            Fault::Ladder(rungs) => {
                let rungs: Vec<String> = rungs.iter().map(|rung| rung.by.to_string()).collect();
                f.write_str(&rungs.join(", then "))
            }
            Fault::Suspend(span) => write!(f, "suspend for {span}"),
            Fault::KeepDown(span) => write!(f, "keep down for {span}"),
            Fault::Fail(error) => write!(f, "fail with {}", format!("{error:?}").to_uppercase()),
            Fault::ShortWrite(bytes) => write!(f, "short write of {bytes} bytes"),
            Fault::TornWrite(bytes) => write!(f, "write torn at a multiple of {bytes} bytes"),
            Fault::Activities(activities) => {
                let names: Vec<&str> =
                    activities.method.iter().map(|activity| activity.name.as_str()).collect();
                f.write_str(&names.join(", then "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_fails_only_as_it_may() {
        assert!(Errno::Enospc.may_come_from(OperationKind::Write));
        assert!(!Errno::Enospc.may_come_from(OperationKind::Unlink));
        assert!(Errno::Eio.may_come_from(OperationKind::Unlink));
        assert!(!Errno::Eio.may_come_from(OperationKind::Sync));
        assert!(!Errno::Eintr.may_come_from(OperationKind::Rename));
    }

    #[test]
    fn every_fault_is_read_as_a_file_writes_it() {
        for (text, shown) in [
            (r#""kill""#, "kill"),
            (r#""terminate""#, "terminate"),
            (r#""graceful""#, "graceful stop"),
            (r#"{"signal":"SEGV"}"#, "SIGSEGV"),
            (r#"{"suspend":"5s"}"#, "suspend for 5s"),
            (r#"{"keep-down":"8s"}"#, "keep down for 8s"),
            (r#"{"fail":"ENOSPC"}"#, "fail with ENOSPC"),
            (r#"{"torn-write":4096}"#, "write torn at a multiple of 4096 bytes"),
            (r#"{"activities":{"method":[{"name":"stop it","run":["./stop"]}]}}"#, "stop it"),
            (r#"{"ladder":["terminate","kill"]}"#, "terminate, then kill"),
            (
                r#"{"ladder":[{"by":{"command":["./quit"]},"grace":"1s"},{"by":"kill"}]}"#,
                "`./quit`, then kill",
            ),
        ] {
            let fault: Fault = serde_json::from_str(text).expect(text);
            assert_eq!(fault.to_string(), shown);
            let again = serde_json::to_string(&fault).expect("plain data");
            assert_eq!(serde_json::from_str::<Fault>(&again).expect(&again), fault);
        }
        for wrong in [r#""kil""#, r#"{"suspend":5}"#, r#"{"fail":"ENOENT"}"#, r#"{"signal":"X"}"#] {
            assert!(serde_json::from_str::<Fault>(wrong).is_err(), "{wrong}");
        }
    }
}
