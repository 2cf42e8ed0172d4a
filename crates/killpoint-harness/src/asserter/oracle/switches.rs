//! Switches: symbolic links that a program moves from one directory to the next, each made whole before. What
//! such a link leads to is in use; what it led to before, or will lead to later, is not.

use super::pointers::{has_word, names};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// A link, and all that it led to in the course of the recording.
#[derive(Debug)]
pub(super) struct Switch {
    pub(super) link: PathBuf,
    pub(super) targets: BTreeSet<Vec<u8>>,
    /// Whether it is a file whose text leads there.
    pub(super) is_file: bool,
    /// Whether it is known to be about what is in use.
    pub(super) is_certain: bool,
    /// Files that its text means by one part of their names, and that part.
    pub(super) meant: BTreeMap<PathBuf, String>,
}

/// Where a link, or a file, stands that led to a file at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leading {
    pub(super) path: PathBuf,
    /// Whether it is known to be about what is in use.
    pub(super) is_certain: bool,
    /// By which word its text means this file, if by one that is only a part of the name.
    pub(super) word: Option<String>,
}

/// What a link, or a file, led to in the course of the recording, and when any of that stood.
#[derive(Debug)]
pub(super) struct Led {
    /// The files to which each of its targets leads.
    pub(super) by_target: BTreeMap<Vec<u8>, BTreeSet<PathBuf>>,
    /// When it led to anything that stood, in the order of the recording.
    pub(super) spans: Vec<Span>,
    /// Whether undisturbed it leads to something at the end, where this recording ends before.
    pub(super) leads_later: bool,
}

/// From after one operation until after another; without end if that never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) until: u64,
}

impl Led {
    /// Whether a crash at the entry of operation `at` comes after it led to something, and before or while it does so
    /// again.
    pub(super) fn is_between(&self, at: u64) -> bool {
        let before = self.spans.iter().any(|span| span.from < at);
        before && (self.leads_later || self.spans.iter().any(|span| span.until >= at))
    }

    /// Whether anything was acknowledged while it led to nothing, about the entry of operation `at`.
    pub(super) fn is_settled(&self, at: u64, acknowledged: &[u64]) -> bool {
        let since = self.spans.iter().map(|span| span.until).filter(|until| *until < at).max();
        let next = self.spans.iter().map(|span| span.from).find(|from| *from >= at);
        since.is_some_and(|since| {
            acknowledged.iter().any(|it| since < *it && *it <= next.unwrap_or(u64::MAX))
        })
    }
}

impl Switch {
    /// A symbolic link that led to these targets.
    pub(super) fn of_link(link: PathBuf, targets: BTreeSet<Vec<u8>>) -> Switch {
        Switch { link, targets, is_file: false, is_certain: true, meant: BTreeMap::new() }
    }

    /// As it stands before a file to which it led.
    pub(super) fn leading(&self, path: &Path) -> Leading {
        let word = self.meant.get(path).cloned();
        Leading { path: self.link.clone(), is_certain: self.is_certain, word }
    }

    /// Whether at some time it led to this path, or to a directory above it.
    pub(super) fn led_to(&self, path: &Path) -> bool {
        self.targets.iter().any(|target| self.leads_by(target, path))
    }

    /// Whether with this target it leads there.
    pub(super) fn leads_by(&self, target: &[u8], path: &Path) -> bool {
        let leads = if self.is_file { names } else { leads_to };
        let is_meant = || self.meant.get(path).is_some_and(|word| has_word(target, word));
        leads(&self.link, target, path) || is_meant()
    }
}

/// Whether a link with this target leads to a path, or to a directory above it. Paths are relative to the
/// state directory, of which nobody knows here where it lies: of an absolute target the end has to match.
pub(super) fn leads_to(link: &Path, target: &[u8], path: &Path) -> bool {
    let target = Path::new(OsStr::from_bytes(target));
    if target.is_absolute() {
        let mut directories = path.ancestors().filter(|it| !it.as_os_str().is_empty());
        return directories.any(|it| target.ends_with(it));
    }
    let Some(resolved) = normal(&link.parent().unwrap_or(Path::new("")).join(target)) else {
        return false;
    };
    !resolved.as_os_str().is_empty() && path.starts_with(&resolved)
}

/// The path without `.` and `..`; none if it leaves the state directory.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir if !normal.pop() => return None,
            _ => {}
        }
    }
    Some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_all_below_its_target() {
        for (link, target, path, expect) in [
            ("current", "2", "2/a.json", true),
            ("current", "2", "2/b/a.json", true),
            ("current", "2", "12/a.json", false),
            ("current", "./releases/2/", "releases/2/a.json", true),
            ("app/current", "releases/2", "app/releases/2/a.json", true),
            ("app/current", "../releases/2", "releases/2/a.json", true),
            ("app/current", "../../releases/2", "releases/2/a.json", false),
            ("current.json", "2.json", "2.json", true),
            ("current", ".", "2/a.json", false),
            ("current", "/srv/app/releases/2", "releases/2/a.json", true),
            ("current", "/srv/app/releases/2", "releases/1/a.json", false),
            ("current", "/srv/app/releases/2", "other/2/a.json", false),
        ] {
            let leads = leads_to(Path::new(link), target.as_bytes(), Path::new(path));
            assert_eq!(leads, expect, "{link} -> {target}: {path}");
        }
    }
}
