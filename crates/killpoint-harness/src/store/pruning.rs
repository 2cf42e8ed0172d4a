//! Old runs are removed, so that the folder of runs does not grow for ever.

use super::{RunFolder, has_ended};
use killpoint_engine::undo;
use std::fs;
use std::io;
use std::path::Path;

impl RunFolder {
    /// Removes the oldest runs beside this one, so that at most `keep` are left with it. What cannot be
    /// removed is said, one sentence each; it is no reason for this run to fail.
    pub fn remove_older(&self, keep: usize) -> Vec<String> {
        let runs = self.path.parent().expect("a run lies in a folder of runs");
        let entries = match fs::read_dir(runs) {
            Ok(entries) => entries,
            Err(error) => {
                let runs = runs.display();
                return vec![format!("{runs} cannot be read ({error}): no old run was removed")];
            }
        };
        let mut others = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            // Only what is a run of ours is ever removed.
            let Ok(metadata) = fs::metadata(path.join("events.jsonl")) else { continue };
            if path != self.path && is_over(&path) {
                others.push((metadata.modified().ok(), path));
            }
        }
        others.sort();
        let surplus = (others.len() + 1).saturating_sub(keep.max(1));
        others[..surplus].iter().filter_map(|(_, path)| remove(path)).collect()
    }
}

/// Whether nobody needs the folder of a run any more. A run that goes on, or was interrupted and can be
/// resumed, is nobody's to remove; nor is one whose log has its end while its tool is still at work on
/// it: its reports are yet to be written.
fn is_over(run: &Path) -> bool {
    has_ended(run) && undo::read(run).is_ok_and(|records| undo::tool_at_work(&records).is_none())
}

/// What to say if the folder of a run cannot be removed. Another run may be removing it, too.
fn remove(run: &Path) -> Option<String> {
    let error = fs::remove_dir_all(run).err()?;
    if error.kind() == io::ErrorKind::NotFound || !run.exists() {
        return None;
    }
    Some(format!("the old run {} cannot be removed ({error}): remove it by hand", run.display()))
}

#[cfg(test)]
mod tests {
    use super::super::EventLog;
    use super::*;
    use killpoint_engine::identity::{self, Identity};
    use killpoint_engine::undo::Made;
    use killpoint_model::event::Event;
    use killpoint_model::verdict::Outcome;

    fn ended(runs: &Path) -> RunFolder {
        let folder = RunFolder::create(runs).expect("a new run");
        let mut log = EventLog::create(&folder).expect("a new log");
        let end = Event::RunEnded { result: Outcome::Pass, explanation: String::new() };
        log.append(&end).expect("appended");
        folder
    }

    fn note(folder: &RunFolder, made: &Made) {
        undo::append(folder.path(), made).expect("written");
    }

    #[test]
    fn a_run_that_its_tool_still_works_on_is_not_removed_though_its_log_has_its_end() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let runs = directory.path().join("runs");
        let (own, at_work, over) = (ended(&runs), ended(&runs), ended(&runs));
        let process = Identity::current().expect("this process");
        let tool = Made::Tool { process, boot: identity::boot() };
        note(&at_work, &tool);
        for made in [&tool, &Made::Undone] {
            note(&over, made);
        }
        assert_eq!(own.remove_older(1), Vec::<String>::new());
        assert!(at_work.path().exists(), "its reports are yet to be written");
        assert!(own.path().exists() && !over.path().exists());
        note(&at_work, &Made::Undone);
        assert_eq!(own.remove_older(1), Vec::<String>::new());
        assert!(!at_work.path().exists());
    }

    #[test]
    fn runs_that_remove_the_same_old_ones_do_not_disturb_each_other() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let runs = directory.path().join("runs");
        let removers: Vec<RunFolder> = (0..4).map(|_| ended(&runs)).collect();
        for folder in &removers {
            let process = Identity::current().expect("this process");
            note(folder, &Made::Tool { process, boot: identity::boot() });
        }
        let old: Vec<RunFolder> = (0..40).map(|_| ended(&runs)).collect();
        std::thread::scope(|scope| {
            for own in &removers {
                scope.spawn(|| assert_eq!(own.remove_older(1), Vec::<String>::new()));
            }
        });
        assert!(old.iter().all(|folder| !folder.path().exists()));
        assert!(removers.iter().all(|folder| folder.path().exists()));
        assert_eq!(remove(&runs.join("gone")), None);
    }
}
