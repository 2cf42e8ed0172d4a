//! All runs of one version of a target: what the version is, and how often it crashed in them.
//!
//! The version is the commit that CI names; where none is known, the digest of the target's programs, and
//! of the files that are named in their arguments: an interpreter is not what is tested.

use super::options::Options;
use killpoint_engine::regular_file;
use killpoint_model::plan::Plan;
use killpoint_model::report::CampaignReport;
use killpoint_model::trial::Release;
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// Earlier runs that are looked at, the newest first.
const RUNS_MAX: usize = 1_000;
/// Largest file that is read to know it.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Hexadecimal digits of a digest that are shown.
const DIGITS: usize = 16;

/// What is read of an earlier report.
#[derive(Deserialize)]
struct Earlier {
    campaign: Option<EarlierCampaign>,
}

#[derive(Deserialize)]
struct EarlierCampaign {
    release: Option<Release>,
}

/// What the version is.
pub(super) fn version(plan: &Plan, options: &Options, commit: Option<&str>) -> String {
    if let Some(commit) = commit {
        return format!("commit {commit}");
    }
    let supervision = plan.scenario.target.supervision(plan.scenario.seed);
    let commands = supervision.processes.values().map(|process| {
        let place = process.directory.as_deref().unwrap_or("");
        (options.directory.join(place), process.command.as_slice())
    });
    format!("programs {}", digest(commands))
}

/// The digest of programs, each by its working directory and command line.
fn digest<'a>(commands: impl Iterator<Item = (PathBuf, &'a [String])>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (directory, command) in commands {
        for (index, word) in command.iter().enumerate() {
            let path = match index {
                0 => find(word, &directory),
                _ => Some(directory.join(word)),
            };
            let file = path.filter(|path| is_file(path)).and_then(|path| File::open(path).ok());
            // What is no file is known by its name.
            if file.is_none_or(|file| hash(file, &mut hasher).is_err()) {
                hasher.update(word.as_bytes());
            }
            hasher.update(&[0]);
        }
    }
    hasher.finalize().to_hex()[..DIGITS].to_owned()
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() <= FILE_BYTES_MAX)
}

fn hash(file: File, hasher: &mut blake3::Hasher) -> io::Result<()> {
    io::copy(&mut BufReader::new(file), hasher).map(|_| ())
}

/// Where a program lies, as it is found when it is executed.
fn find(program: &str, directory: &Path) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(directory.join(program));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|it| it.join(program)).find(|it| it.is_file())
}

/// This run and the earlier ones of the same version beside it.
pub(super) fn of(run: &Path, version: String, measured: &CampaignReport) -> Release {
    let trials_ms = measured.trials_ms;
    let crashes = measured.crash_count.own;
    let mut release = Release {
        version,
        runs: 1,
        crashes,
        trials_ms,
        own_crashes: crashes,
        own_trials_ms: trials_ms,
        unreadable: 0,
    };
    let mut runs: Vec<PathBuf> = run
        .parent()
        .and_then(|runs| fs::read_dir(runs).ok())
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path != run && path.join("plan.json").exists())
        .collect();
    runs.sort_by_key(|path| {
        std::cmp::Reverse(fs::metadata(path).and_then(|it| it.modified()).ok())
    });
    for path in runs.into_iter().take(RUNS_MAX) {
        match read(&path) {
            Ok(Some(earlier)) if earlier.version == release.version => {
                release.runs += 1;
                release.crashes += earlier.own_crashes;
                release.trials_ms += earlier.own_trials_ms;
            }
            Ok(_) => {}
            Err(_) => release.unreadable += 1,
        }
    }
    release
}

fn read(run: &Path) -> io::Result<Option<Release>> {
    let file = regular_file::open(&run.join("report.json"))?;
    let earlier: Earlier = serde_json::from_reader(BufReader::new(file))?;
    Ok(earlier.campaign.and_then(|campaign| campaign.release))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(runs: &Path, name: &str, report: &str) {
        let run = runs.join(name);
        fs::create_dir_all(&run).expect("made");
        fs::write(run.join("plan.json"), "{}").expect("written");
        fs::write(run.join("report.json"), report).expect("written");
    }

    #[test]
    fn a_script_is_part_of_the_version_of_its_interpreter() {
        let place = tempfile::tempdir().expect("a directory");
        let of = |script: &str, contents: &str| {
            fs::write(place.path().join(script), contents).expect("written");
            let command = ["sh", script].map(str::to_owned);
            digest(std::iter::once((place.path().to_owned(), command.as_slice())))
        };
        let first = of("a.sh", "true");
        assert_eq!(first, of("a.sh", "true"));
        assert_ne!(first, of("a.sh", "false"));
        assert_ne!(first, of("b.sh", "exit 1"));
    }

    #[test]
    fn runs_of_the_same_version_are_summed_up_and_others_are_not() {
        let runs = tempfile::tempdir().expect("a directory");
        let earlier = |version: &str| {
            format!(
                r#"{{"campaign":{{"release":{{"version":"{version}","runs":9,"crashes":9,"trials_ms":9,
                "own_crashes":2,"own_trials_ms":30,"unreadable":0}}}}}}"#
            )
        };
        write(runs.path(), "one", &earlier("commit a"));
        write(runs.path(), "two", &earlier("commit b"));
        write(runs.path(), "three", "cut off");
        write(runs.path(), "four", r#"{"campaign":null}"#);
        write(runs.path(), "own", &earlier("commit a"));
        let mut measured = CampaignReport::default();
        measured.crash_count.own = 1;
        let release = of(&runs.path().join("own"), "commit a".to_owned(), &measured);
        assert_eq!((release.runs, release.crashes, release.unreadable), (2, 3, 1));
        assert_eq!((release.own_crashes, release.trials_ms), (1, 30));
    }
}
