//! Signals by name and number, as Linux numbers them on x86-64.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The first signal that has no name of its own.
const RTMIN: i32 = 34;
/// The last signal.
const RTMAX: i32 = 64;

/// Names in the order of their numbers, from 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "String")]
pub struct Signal(i32);

/// A signal as a file may write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Number(i32),
    Name(String),
}

/// Why a text or a number is no signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no signal: write a name (TERM, SIGTERM, RTMIN+1) or a number from 1 to 64")]
pub struct SignalError(String);

impl Signal {
    /// The process that cannot refuse it ends.
    pub const KILL: Signal = Signal(9);
    /// A request to end.
    pub const TERM: Signal = Signal(15);
    /// What ends a process that reads or writes where nothing is.
    pub const SEGV: Signal = Signal(11);
    /// What ends a process that gives up.
    pub const ABRT: Signal = Signal(6);
    /// A process that is stopped goes on.
    pub const CONT: Signal = Signal(18);
    /// A process stops, and cannot refuse it.
    pub const STOP: Signal = Signal(19);

    /// Its number.
    pub fn number(self) -> i32 {
        self.0
    }

    /// Whether it suspends whoever takes it by default: STOP, TSTP, TTIN, TTOU.
    pub fn suspends(self) -> bool {
        (19..=22).contains(&self.0)
    }
}

impl TryFrom<i32> for Signal {
    type Error = SignalError;

    fn try_from(number: i32) -> Result<Self, SignalError> {
        // 32 and 33 belong to the C library, which hides them.
        let is_signal = (1..=31).contains(&number) || (RTMIN..=RTMAX).contains(&number);
        if is_signal { Ok(Signal(number)) } else { Err(SignalError(number.to_string())) }
    }
}

impl TryFrom<Text> for Signal {
    type Error = SignalError;

    fn try_from(text: Text) -> Result<Self, SignalError> {
        match text {
            Text::Number(number) => number.try_into(),
            Text::Name(name) => name.parse(),
        }
    }
}

impl FromStr for Signal {
    type Err = SignalError;

    fn from_str(text: &str) -> Result<Self, SignalError> {
        let error = || SignalError(text.to_owned());
        if let Ok(number) = text.parse::<i32>() {
            return number.try_into();
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(index) = NAMES.iter().position(|known| *known == name) {
            return Ok(Signal(index as i32 + 1));
        }
        let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(""), _) => RTMIN,
            (_, Some("")) => RTMAX,
            (Some(above), _) => RTMIN + offset(above, '+').ok_or_else(error)?,
            (_, Some(below)) => RTMAX - offset(below, '-').ok_or_else(error)?,
            _ => return Err(error()),
        };
        if (RTMIN..=RTMAX).contains(&number) { Ok(Signal(number)) } else { Err(error()) }
    }
}

fn offset(text: &str, sign: char) -> Option<i32> {
    text.strip_prefix(sign)?.parse::<u8>().ok().map(i32::from)
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match usize::try_from(self.0 - 1).ok().and_then(|index| NAMES.get(index)) {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
        }
    }
}

impl From<Signal> for String {
    fn from(signal: Signal) -> String {
        signal.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_by_name_and_number_and_written_by_name() {
        for (text, number) in [
            ("TERM", 15),
            ("sigterm", 15),
            ("15", 15),
            ("SIGSYS", 31),
            ("HUP", 1),
            ("RTMIN", 34),
            ("RTMIN+2", 36),
            ("RTMAX-1", 63),
        ] {
            let signal: Signal = text.parse().expect(text);
            assert_eq!(signal.number(), number, "{text}");
            assert_eq!(signal.to_string().parse(), Ok(signal));
        }
        for text in ["", "SIG", "0", "32", "65", "-9", "TERMINATE", "RTMIN-1", "RTMAX-31", "RTMIN+"]
        {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
        for (signal, name) in [
            (Signal::KILL, "SIGKILL"),
            (Signal::TERM, "SIGTERM"),
            (Signal::SEGV, "SIGSEGV"),
            (Signal::ABRT, "SIGABRT"),
            (Signal::CONT, "SIGCONT"),
            (Signal::STOP, "SIGSTOP"),
        ] {
            assert_eq!(signal.to_string(), name);
        }
        assert_eq!(serde_json::from_str::<Signal>("9").expect("a signal"), Signal::KILL);
        assert_eq!(serde_json::from_str::<Signal>("\"USR1\"").expect("a signal").number(), 10);
        assert_eq!(serde_json::to_string(&Signal::KILL).expect("plain data"), "\"SIGKILL\"");
    }
}
