//! Cores: where the kernel of this machine puts them, and how the one of a process is taken away before
//! the next one is written over it.
//!
//! The pattern belongs to the host and is never changed here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Largest core that the kernel is asked for, in bytes.
pub const CORE_BYTES_MAX: u64 = 512 << 20;
/// Where the pattern stands.
const PATTERN: &str = "/proc/sys/kernel/core_pattern";
/// Whether the number of the process is added to a pattern that does not have it.
const USES_PID: &str = "/proc/sys/kernel/core_uses_pid";

/// Where cores go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// To a file of this name; a relative one lies where the process works.
    File(String),
    /// To a program of the host.
    Program(String),
    /// Nowhere, or to a file whose name cannot be told beforehand.
    Unknown(String),
}

/// A process that may leave a core.
#[derive(Clone, Copy, Debug)]
pub struct Process<'a> {
    /// Its number.
    pub pid: i32,
    /// The program that it executes.
    pub program: &'a str,
    /// Where it works.
    pub directory: &'a Path,
}

/// Where this machine puts them.
pub fn place() -> Place {
    let read = |path| fs::read_to_string(path).unwrap_or_default().trim_end().to_owned();
    read_pattern(&read(PATTERN), read(USES_PID) == "1")
}

fn read_pattern(pattern: &str, uses_pid: bool) -> Place {
    if let Some(program) = pattern.strip_prefix('|') {
        return Place::Program(program.to_owned());
    }
    let letters = pattern.split('%').skip(1).filter_map(|rest| rest.chars().next());
    // The time of the death, the signal and others are not known before it.
    if pattern.is_empty() || letters.into_iter().any(|letter| !"pPiIe%".contains(letter)) {
        return Place::Unknown(pattern.to_owned());
    }
    let adds = uses_pid && !pattern.contains("%p");
    Place::File(if adds { format!("{pattern}.%p") } else { pattern.to_owned() })
}

impl Place {
    /// The core of a process; none where cores are no files.
    pub fn of(&self, process: Process<'_>) -> Option<PathBuf> {
        let Place::File(pattern) = self else { return None };
        let pid = process.pid.to_string();
        let name = process.program.rsplit('/').next().unwrap_or_default();
        // The kernel keeps 15 bytes of a name.
        let comm = String::from_utf8_lossy(&name.as_bytes()[..name.len().min(15)]).into_owned();
        let mut filled = pattern.replace("%%", "\0");
        for (letters, value) in [("%p", &pid), ("%P", &pid), ("%i", &pid), ("%I", &pid)] {
            filled = filled.replace(letters, value);
        }
        let filled = filled.replace("%e", &comm).replace('\0', "%");
        Some(process.directory.join(filled))
    }

    /// Takes the core of a process away; its length, if there was one.
    ///
    /// # Errors
    /// If it is there and cannot be moved.
    pub fn take(&self, process: Process<'_>, to: &Path) -> io::Result<Option<u64>> {
        let Some(from) = self.of(process) else { return Ok(None) };
        let Ok(metadata) = fs::symlink_metadata(&from) else { return Ok(None) };
        if !metadata.is_file() {
            return Ok(None);
        }
        if fs::rename(&from, to).is_err() {
            fs::copy(&from, to)?;
            fs::remove_file(&from)?;
        }
        Ok(Some(metadata.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_as_the_kernel_reads_them() {
        let process = Process {
            pid: 7,
            program: "/usr/bin/a-very-long-name-of-a-program",
            directory: Path::new("/srv"),
        };
        for (pattern, uses_pid, expect) in [
            ("core", false, Some("/srv/core")),
            ("core", true, Some("/srv/core.7")),
            ("core.%p", true, Some("/srv/core.7")),
            ("/cores/%e-%p%%", false, Some("/cores/a-very-long-nam-7%")),
            ("|/usr/lib/systemd-coredump %P", false, None),
            ("core.%t", false, None),
            ("", false, None),
        ] {
            let found = read_pattern(pattern, uses_pid).of(process);
            assert_eq!(found.as_deref(), expect.map(Path::new), "{pattern}");
        }
    }

    #[test]
    fn a_core_is_taken_away_under_a_name_of_its_own() {
        let directory = tempfile::tempdir().expect("a directory");
        let process = Process { pid: 7, program: "app", directory: directory.path() };
        let place = read_pattern("core", false);
        let to = directory.path().join("app.1.core");
        assert_eq!(place.take(process, &to).expect("nothing there"), None);
        fs::write(directory.path().join("core"), b"memory").expect("written");
        assert_eq!(place.take(process, &to).expect("moved"), Some(6));
        assert!(to.exists() && !directory.path().join("core").exists());
    }
}
