//! Why a command could not be carried out. Beside each command stands how its errors become one.

use killpoint_harness::store::StoreError;
use killpoint_model::Outcome;

/// Why a command could not be carried out, and what to exit with.
#[derive(Debug)]
pub struct Failure {
    /// The chain of causes.
    pub error: anyhow::Error,
    /// The exit code's outcome.
    pub outcome: Outcome,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure { error, outcome: Outcome::Usage }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure { error: error.into(), outcome: Outcome::Usage }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure { error: error.into(), outcome: Outcome::Usage }
    }
}
