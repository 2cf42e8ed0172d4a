//! Inhibited restarts: a file below the folder of the run that the supervisor looks for before it
//! starts a process again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The directory of these files.
const DIRECTORY: &str = "keep-down";
/// The file that stands for every process: no role can have this name.
const EVERYBODY: &str = "@target";

/// The file of a role, below the folder of the run.
pub(super) fn file(role: Option<&str>) -> PathBuf {
    Path::new(DIRECTORY).join(role.unwrap_or(EVERYBODY))
}

pub(super) fn inhibit(run: &Path, file: &Path) -> io::Result<()> {
    fs::create_dir_all(run.join(DIRECTORY))?;
    fs::write(run.join(file), [])
}

/// Whether a process may not be started again for now: asked by the supervisor before each start.
pub fn is_kept_down(run: &Path, role: Option<&str>) -> bool {
    let exists = |role| run.join(file(role)).exists();
    exists(None) || role.is_some() && exists(role)
}
