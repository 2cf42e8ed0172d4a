//! The allowlist: who may be struck at all, by number or control group. A bare name is never enough.

use super::group::{GroupError, group_path};
use crate::injector::Allow;
use killpoint_engine::identity;
use killpoint_engine::regular_file;
use std::io;
use std::path::{Path, PathBuf};

/// Most lines of an allowlist that are read.
const LINES_MAX: usize = 10_000;
/// Most bytes of an allowlist.
const BYTES_MAX: u64 = 1 << 20;

/// Why an allowlist is none.
#[derive(Debug, thiserror::Error)]
pub enum AllowlistError {
    /// It cannot be read.
    #[error("cannot read the allowlist {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line of it means nothing.
    #[error(
        "{path}:{line}: `{text}` allows nobody: write pid:N or cgroup:PATH on each line; a bare name \
         is never enough"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// A line of it names a group that is none.
    #[error("{path}:{line}: `{text}`")]
    Group {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What it says.
        text: String,
        /// What is wrong with it.
        source: GroupError,
    },
    /// It names nobody who is there.
    #[error("the allowlist {0} allows nobody who is there: add pid:N or cgroup:PATH")]
    Nobody(PathBuf),
}

/// Reads one. A number means the process that has it now, and no later one.
pub(super) fn read(path: &Path) -> Result<Vec<Allow>, AllowlistError> {
    let text = regular_file::read_text_handed_over(path, BYTES_MAX, &|| false)
        .map_err(|source| AllowlistError::Read { path: path.to_owned(), source })?;
    let mut allowed = Vec::new();
    for (index, line) in text.lines().enumerate().take(LINES_MAX) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = line.strip_prefix("pid:").and_then(|it| it.trim().parse::<i32>().ok());
        let group = line.strip_prefix("cgroup:").map(str::trim).filter(|it| it.starts_with('/'));
        match (number, group) {
            (Some(pid), _) => {
                allowed.extend(identity::status(pid).ok().map(|it| Allow::Process(it.identity)));
            }
            (_, Some(group)) => {
                let group = group_path(group).map_err(|source| {
                    let (path, text) = (path.to_owned(), line.to_owned());
                    AllowlistError::Group { path, line: index + 1, text, source }
                })?;
                allowed.push(Allow::Cgroup(group));
            }
            _ => {
                let (path, text) = (path.to_owned(), line.to_owned());
                return Err(AllowlistError::Line { path, line: index + 1, text });
            }
        }
    }
    // An empty list must not be taken for none.
    if allowed.is_empty() {
        return Err(AllowlistError::Nobody(path.to_owned()));
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use killpoint_engine::identity::Identity;
    use std::fs;

    #[test]
    fn a_bare_name_is_refused_and_an_empty_list_is_not_taken_for_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("allowed");
        let own = Identity::current().expect("/proc");
        let text = format!("# staging\n\npid:{}\ncgroup:/app/\n", own.pid);
        fs::write(&path, text).expect("written");
        let allowed = read(&path).expect("a list");
        assert_eq!(allowed, [Allow::Process(own), Allow::Cgroup("/app".to_owned())]);
        for wrong in ["nginx", "pid:nginx", "cgroup:app", "comm:nginx"] {
            fs::write(&path, wrong).expect("written");
            let refused = read(&path);
            assert!(matches!(refused, Err(AllowlistError::Line { line: 1, .. })), "{refused:?}");
        }
        for everybody in ["cgroup:/", "cgroup://"] {
            fs::write(&path, everybody).expect("written");
            let refused = read(&path);
            assert!(matches!(refused, Err(AllowlistError::Group { line: 1, .. })), "{refused:?}");
        }
        for empty in ["# nobody yet\n".to_owned(), format!("pid:{}", i32::MAX)] {
            fs::write(&path, empty).expect("written");
            let nobody = read(&path);
            assert!(matches!(nobody, Err(AllowlistError::Nobody(_))), "{nobody:?}");
        }
    }
}
