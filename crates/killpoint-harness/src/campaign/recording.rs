//! Crash points of a scenario's target are recorded in a place of their own, which is thrown away.

use super::options::Options;
use super::problem::{self, CampaignError};
use super::stage::Stage;
use super::{judging, prepare};
use crate::injector::Injector;
use crate::recover::recover;
use crate::store::RunFolder;
use killpoint_model::plan::Plan;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How the directories are called in which crash points are recorded.
const RECORDING_PREFIX: &str = "killpoint-recording-";

/// Records the target of a plan that waits for crash points, twice, in a place that is thrown away, and
/// plans again with what was the same both times.
///
/// # Errors
/// If it cannot be carried out here, or its control does not hold.
pub fn record(plan: &Plan, options: &Options) -> Result<Plan, CampaignError> {
    clear_recordings();
    let temporary = std::env::temp_dir();
    // It holds copies of the state.
    let private = fs::Permissions::from_mode(0o700);
    let out = tempfile::Builder::new()
        .prefix(RECORDING_PREFIX)
        .permissions(private)
        .tempdir_in(&temporary);
    let out = out.map_err(problem::fail("make a directory in", &temporary))?;
    let options = Options { out: out.path().to_owned(), only: None, ..options.clone() };
    prepare::check(plan, &options)?;
    let folder = prepare::make_folder(plan, &options, None)?;
    // Before there are threads: the watchdog is forked.
    let mut injector = Injector::start(folder.path())?;
    let mounts = prepare::can_mount(plan, &options, &folder);
    let mut journalist = prepare::begin(plan, &options, &folder, &mounts)?;
    let mut stage = Stage {
        plan,
        options: &options,
        folder: &folder,
        journalist: &mut journalist,
        mounts: mounts.is_ok(),
        injector: &mut injector,
        control: judging::Readings::new(),
        answering: BTreeSet::new(),
        recovery_times: BTreeMap::new(),
        known: BTreeSet::new(),
        names: None,
        recorded: None,
    };
    let points = stage.record().map_err(CampaignError::of_recording)?;
    Ok(Plan::make(plan.scenario.clone(), points)?)
}

/// Clears away what recordings have left in the temporary directory whose tool was killed; which
/// directories these were.
pub fn clear_recordings() -> Vec<PathBuf> {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let left = entries.filter(is_own).map(|entry| entry.path());
    left.filter(|recording| is_over(recording) && fs::remove_dir_all(recording).is_ok()).collect()
}

/// Whether it is a recording's, and nobody else's: what is undone is told by files in it.
fn is_own(entry: &fs::DirEntry) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let private =
        |data: fs::Metadata| data.is_dir() && data.uid() == own && data.mode() & 0o77 == 0;
    entry.path().symlink_metadata().is_ok_and(private)
        && entry.file_name().to_string_lossy().starts_with(RECORDING_PREFIX)
}

/// Whether nothing in it goes on, or could not be undone.
fn is_over(recording: &Path) -> bool {
    let runs = fs::read_dir(recording.join("runs")).into_iter().flatten().flatten();
    let is_over = |run: fs::DirEntry| {
        let recovered = RunFolder::open(&run.path()).map(|folder| recover(&folder));
        matches!(recovered, Ok(Ok(recovered)) if recovered.left.is_empty())
    };
    runs.map(is_over).reduce(|one, other| one && other) == Some(true)
}
