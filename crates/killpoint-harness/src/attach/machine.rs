//! Whether a machine is one on which processes of others may be struck: its mark, a file of root's.

use killpoint_engine::regular_file;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The mark of the machine.
pub const MARK: &str = "/etc/killpoint/environment";
/// The word that allows it.
const STAGING: &str = "staging";
/// The word that forbids it by name. Any other word does, too.
const PRODUCTION: &str = "production";
/// Most characters of another word that are shown.
const SHOWN_MAX: usize = 60;
/// Longest mark that is read.
const BYTES_MAX: u64 = 4_096;
/// The bits of a mode that let others than the owner write.
const WRITTEN_BY_OTHERS: u32 = 0o022;

/// Why nobody may be struck here.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// It is a production machine.
    #[error("{0} marks this machine as production: nothing that runs on it is attached to")]
    Production(PathBuf),
    /// It is not said what it is.
    #[error(
        "this machine is not marked as staging: where its processes may be struck, root writes the \
         word `staging` into {0}"
    )]
    NotMarked(PathBuf),
    /// Another word.
    #[error(
        "{path} says `{word}`: only a machine whose mark is the word `staging` and nothing else is attached \
         to"
    )]
    Other {
        /// The mark.
        path: PathBuf,
        /// What it says.
        word: String,
    },
    /// Somebody else could have written it, or it is no short file.
    #[error(
        "{0} is not root's alone (a short file, owner root, written by nobody else): it is not believed"
    )]
    NotOfRoot(PathBuf),
    /// It cannot be read.
    #[error("cannot read {path}, which marks this machine")]
    Read {
        /// The mark.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Whether the machine is marked as staging, by its own mark or by another file of root's. The
/// machine's own mark, if there is one, has to say so in any case: another file overrules none.
///
/// # Errors
/// If it is not.
pub(super) fn check(other: Option<&Path>) -> Result<(), MachineError> {
    check_marks(Path::new(MARK), other)
}

fn check_marks(own: &Path, other: Option<&Path>) -> Result<(), MachineError> {
    let is_marked = says_staging(own)?;
    match other {
        None if !is_marked => Err(MachineError::NotMarked(own.to_owned())),
        Some(other) if !says_staging(other)? => Err(MachineError::NotMarked(other.to_owned())),
        _ => Ok(()),
    }
}

/// Whether there is such a mark. One that is there says `staging` and nothing else, or is an error.
fn says_staging(path: &Path) -> Result<bool, MachineError> {
    let Some(text) = read(path)? else { return Ok(false) };
    let word = text.trim();
    if word.eq_ignore_ascii_case(STAGING) {
        return Ok(true);
    }
    if word.eq_ignore_ascii_case(PRODUCTION) {
        return Err(MachineError::Production(path.to_owned()));
    }
    let start: String = word.chars().take(SHOWN_MAX).collect();
    let word = start.escape_debug().to_string();
    Err(MachineError::Other { path: path.to_owned(), word })
}

/// What a mark says; none if there is no such file. A link that leads nowhere is one that cannot be read.
fn read(path: &Path) -> Result<Option<String>, MachineError> {
    let fail = |source| MachineError::Read { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(fail)?,
    };
    let metadata = fs::metadata(path).map_err(fail)?;
    let is_of_root = metadata.uid() == 0 && metadata.mode() & WRITTEN_BY_OTHERS == 0;
    if !is_of_root || !metadata.is_file() || metadata.len() > BYTES_MAX {
        return Err(MachineError::NotOfRoot(path.to_owned()));
    }
    regular_file::read_to_string(path).map(Some).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mark(directory: &Path, name: &str, word: &str) -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, word).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("our own file");
        path
    }

    #[test]
    fn only_a_machine_that_root_marked_as_staging_will_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let staging = mark(directory.path(), "staging", "staging\n");
        let production = mark(directory.path(), "production", "production");
        let other = mark(directory.path(), "other", "laptop");
        let nowhere = directory.path().join("nowhere");
        let unmarked = check_marks(&nowhere, None);
        assert!(matches!(unmarked, Err(MachineError::NotMarked(_))), "{unmarked:?}");
        if fs::metadata(&staging).expect("our own file").uid() != 0 {
            let own = check_marks(&staging, None);
            assert!(matches!(own, Err(MachineError::NotOfRoot(_))), "{own:?}");
            return;
        }
        assert!(check_marks(&staging, None).is_ok());
        assert!(check_marks(&nowhere, Some(&staging)).is_ok());
        let overruled = check_marks(&production, Some(&staging));
        assert!(matches!(overruled, Err(MachineError::Production(_))), "{overruled:?}");
        let laptop = check_marks(&other, None);
        assert!(matches!(laptop, Err(MachineError::Other { .. })), "{laptop:?}");
        for word in [
            "Production",
            "PRODUCTION\n",
            "prod",
            "# production",
            "env=production",
            "\u{feff}staging",
            "",
            "\n",
            "staging production",
            "staging\nproduction",
            "not-staging",
        ] {
            let own = mark(directory.path(), "own", word);
            for other in [None, Some(staging.as_path())] {
                assert!(check_marks(&own, other).is_err(), "{word:?} {other:?}");
            }
        }
        for word in ["Staging", " STAGING \r\n"] {
            let own = mark(directory.path(), "own", word);
            assert!(check_marks(&own, None).is_ok(), "{word:?}");
            assert!(check_marks(&own, Some(&staging)).is_ok(), "{word:?}");
            assert!(check_marks(&own, Some(&production)).is_err(), "{word:?}");
        }
        let dangling = directory.path().join("dangling");
        std::os::unix::fs::symlink("nowhere-at-all", &dangling).expect("made");
        let unread = check_marks(&dangling, Some(&staging));
        assert!(matches!(unread, Err(MachineError::Read { .. })), "{unread:?}");
        fs::set_permissions(&staging, fs::Permissions::from_mode(0o666)).expect("our own file");
        let open = check_marks(&staging, None);
        assert!(matches!(open, Err(MachineError::NotOfRoot(_))), "{open:?}");
    }
}
