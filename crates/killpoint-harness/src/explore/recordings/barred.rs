//! Renames, links and removals that failed in a recording because a state directory, and a copy-on-write
//! view, is a mount there: what they would have done without killpoint, and what to do.

use crate::environment::local::Local;
use crate::own_paths::nearest_common;
use killpoint_engine::recording::{Barred, Ending};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use std::path::{Path, PathBuf};

/// The calls of a recording that failed for no other reason than our mounts.
pub(super) struct Barriers<'a> {
    calls: Vec<&'a Barred>,
    here: &'a Path,
}

impl<'a> Barriers<'a> {
    /// Looks, outside of all workers, whether the machine itself keeps the paths apart.
    pub(super) fn of(local: &'a Local, ending: &'a Ending) -> Self {
        let calls = ending.barred.iter().filter(|barred| is_ours(barred)).collect();
        Barriers { calls, here: &local.launch.directory }
    }

    /// One sentence about the first of them.
    pub(super) fn hint(&self) -> Option<String> {
        let first = self.in_state();
        first.or_else(|| self.calls.first().map(|barred| sentence(barred, self.here)))
    }

    /// One sentence about the first that has to do with the state.
    pub(super) fn in_state(&self) -> Option<String> {
        let first = self.calls.iter().find(|barred| barred.in_state)?;
        Some(sentence(first, self.here))
    }

    /// What those meant that have nothing to do with the state, and a sentence about each.
    pub(super) fn elsewhere(&self) -> impl Iterator<Item = (String, String)> {
        let elsewhere = self.calls.iter().filter(|barred| !barred.in_state);
        elsewhere.map(|barred| (shown(&barred.from, self.here), sentence(barred, self.here)))
    }
}

/// Whether a call would have been carried out without our mounts.
fn is_ours(barred: &Barred) -> bool {
    let from = Path::new(&barred.from);
    let parent = from.parent().unwrap_or(from);
    let to = barred.to.as_ref().map(Path::new);
    let other = match to {
        Some(to) if !barred.is_mount => to.parent().unwrap_or(to),
        _ => from,
    };
    matches!((mount_of(parent), mount_of(other)), (Some(one), Some(other)) if one == other)
}

/// The device and the mount of a path, or of what is there of it.
fn mount_of(path: &Path) -> Option<(u32, u32, u64)> {
    let found = path.ancestors().find_map(|above| {
        statx(CWD, above, AtFlags::empty(), StatxFlags::BASIC_STATS | StatxFlags::MNT_ID).ok()
    })?;
    Some((found.stx_dev_major, found.stx_dev_minor, found.stx_mnt_id))
}

fn sentence(barred: &Barred, here: &Path) -> String {
    let from = shown(&barred.from, here);
    let to = barred.to.as_ref().map(|to| shown(to, here));
    let (verb, error) = match (barred.call.as_str(), barred.is_mount) {
        ("link" | "linkat", _) => ("link", "EXDEV"),
        ("rmdir" | "unlinkat", _) => ("remove", "EBUSY"),
        (_, true) => ("rename", "EBUSY"),
        (_, false) => ("rename", "EXDEV"),
    };
    let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
    let why = match (barred.is_mount, barred.is_within_one) {
        (true, _) => "it is a mount here, and is none without killpoint",
        (false, true) => {
            "a copy-on-write view cannot rename a directory that was there, and is not there without \
             killpoint"
        }
        (false, false) => {
            "here every state directory and every copy-on-write view is a mount of its own; without \
             killpoint both lie on one file system"
        }
    };
    let advice = advice(barred, here);
    format!("the command failed to {verb} {from}{to} ({error}): {why}; {advice}")
}

/// What to do so that both sides lie in one mount.
fn advice(barred: &Barred, here: &Path) -> String {
    let holder = holder(barred);
    if holder.parent().is_none() {
        return "no state directory can hold both: have the command keep them in one (TMPDIR may say \
                where it puts temporary files), and name that with --state"
            .to_owned();
    }
    let holds = match barred.to {
        Some(_) => "both",
        None => "it",
    };
    format!("name the directory that holds {holds}: --state {}", flag(&holder, here))
}

/// The nearest directory in which both paths have a name.
fn holder(barred: &Barred) -> PathBuf {
    let from = Path::new(&barred.from);
    let parent = from.parent().unwrap_or(from);
    let Some(to) = barred.to.as_ref().map(Path::new) else { return parent.to_owned() };
    nearest_common(parent, to.parent().unwrap_or(to))
}

/// A path as it is shown to somebody who stands in a directory.
fn shown(path: &str, here: &Path) -> String {
    let path = Path::new(path);
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// A directory as a flag names it there.
fn flag(directory: &Path, here: &Path) -> String {
    match directory.strip_prefix(here) {
        Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
        Ok(below) => below.display().to_string(),
        Err(_) => directory.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn barred(from: &str, to: Option<&str>, is_mount: bool) -> Barred {
        Barred {
            call: if to.is_some() { "rename" } else { "rmdir" }.to_owned(),
            from: from.to_owned(),
            to: to.map(str::to_owned),
            is_mount,
            is_within_one: is_mount,
            in_state: true,
        }
    }

    #[test]
    fn the_directory_that_holds_both_is_named() {
        let here = Path::new("/home/app");
        for (from, to, is_mount, advice) in [
            ("/home/app/new/x", Some("/home/app/data/x"), false, "holds both: --state ."),
            ("/home/app/a/new/x", Some("/home/app/a/x"), false, "holds both: --state a"),
            ("/home/tmp/x", Some("/home/app/data/x"), false, "holds both: --state /home"),
            ("/tmp/x", Some("/home/app/data/x"), false, "no state directory can hold both"),
            ("/home/app/a/data", Some("/home/app/a/old"), true, "holds both: --state a"),
            ("/home/app/a/data", None, true, "holds it: --state a"),
        ] {
            let sentence = sentence(&barred(from, to, is_mount), here);
            assert!(sentence.contains(advice), "{sentence}");
        }
    }

    #[test]
    fn what_the_machine_keeps_apart_by_itself_is_not_ours() {
        assert!(is_ours(&barred("/nowhere/a/x", Some("/nowhere/b/x"), false)));
        assert!(!is_ours(&barred("/nowhere/a/x", Some("/proc/x"), false)));
        assert!(!is_ours(&barred("/proc", Some("/nowhere"), true)));
    }
}
