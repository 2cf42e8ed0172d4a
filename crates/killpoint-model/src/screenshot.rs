//! Pictures of the screen around strikes and crashes.

use serde::{Deserialize, Serialize};

/// Previews that one report shows; of further pictures it says where they are.
pub const PREVIEWS_MAX: usize = 40;

/// One picture, which was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Screenshot {
    /// Its file, in the folder of the run.
    pub path: String,
    /// Of which moment.
    pub moment: Moment,
    /// When it was asked for, in microseconds since the supervisor began.
    pub at_us: u64,
    /// How wide the screen was.
    pub width: u32,
    /// How high it was.
    pub height: u32,
    /// A small copy: the bytes of a PNG in Base64. Empty where there are enough of them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub preview: String,
}

/// The moments of which there are pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name", deny_unknown_fields)]
pub enum Moment {
    /// Right before a strike.
    Before {
        /// Which.
        strike: u64,
    },
    /// Right after its effect.
    Struck {
        /// Which.
        strike: u64,
    },
    /// The target is ready again.
    Ready {
        /// After which strike.
        strike: u64,
    },
    /// A supervised process crashed by itself.
    Crashed {
        /// Which.
        process: String,
        /// In which of its lives.
        life: u32,
    },
}

impl Moment {
    /// Its strike, if it has one.
    pub fn strike(&self) -> Option<u64> {
        match self {
            Moment::Before { strike } | Moment::Struck { strike } | Moment::Ready { strike } => {
                Some(*strike)
            }
            Moment::Crashed { .. } => None,
        }
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        match self {
            Moment::Before { strike } => format!("strike-{strike}-before.png"),
            Moment::Struck { strike } => format!("strike-{strike}-struck.png"),
            Moment::Ready { strike } => format!("strike-{strike}-ready.png"),
            Moment::Crashed { process, life } => format!("crash-{process}.{life}.png"),
        }
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Moment::Before { strike } => write!(f, "before strike {strike}"),
            Moment::Struck { strike } => write!(f, "right after strike {strike}"),
            Moment::Ready { strike } => write!(f, "ready again after strike {strike}"),
            Moment::Crashed { process, life } => write!(f, "life {life} of {process} has crashed"),
        }
    }
}
