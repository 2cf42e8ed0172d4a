//! What is measured and what it is measured against: found, or built.

use crate::measure::succeed;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const BUILD_LIMIT: Duration = Duration::from_secs(1_800);

/// Paths of all programs.
#[derive(Debug)]
pub struct Programs {
    /// The repository.
    pub repository: PathBuf,
    /// Where the release binaries are.
    binaries: PathBuf,
    /// Where `cases/setup.sh` installed the programs of the cases.
    pub cases_environment: PathBuf,
    /// The only cases that are measured; all of them if none is named.
    pub cases: Vec<String>,
}

impl Programs {
    /// Builds what is ours in the release profile, to measure these cases or all, with the profile's own target directory.
    ///
    /// # Errors
    /// If that fails.
    pub fn build(cases: Vec<String>) -> Result<Self> {
        if cfg!(debug_assertions) {
            bail!("measure the release profile: cargo run --release -p benches");
        }
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
        let this = std::env::current_exe()?;
        let binaries = this.parent().context("a program lies in a directory")?.to_owned();
        let target = binaries.parent().context("the profile lies in the target directory")?;
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--release", "--bins", "--examples"]);
        cargo.args(["-p", "killpoint", "-p", "killpoint-engine", "-p", "guests", "--target-dir"]);
        succeed(cargo.arg(target).current_dir(&repository), BUILD_LIMIT, &[0])?;
        let cases_environment = match std::env::var_os("CASES_ENV") {
            Some(path) => PathBuf::from(path),
            None => {
                let home = std::env::var_os("HOME").context("HOME is not set")?;
                PathBuf::from(home).join(".cache/killpoint-cases")
            }
        };
        Ok(Programs { repository, binaries, cases_environment, cases })
    }

    /// Installs the cases where that was not done before.
    ///
    /// # Errors
    /// If that fails.
    pub fn set_up_cases(&self) -> Result<()> {
        let mut setup = Command::new("bash");
        setup.arg(self.repository.join("cases/setup.sh")).arg(&self.cases_environment);
        succeed(&mut setup, BUILD_LIMIT, &[0]).map(|_| ())
    }

    /// Killpoint, without variables that change what it does or prints.
    pub fn killpoint(&self) -> Command {
        let mut command = Command::new(self.killpoint_path());
        command.env("NO_COLOR", "1");
        for name in ["KILLPOINT_STATE", "KILLPOINT_JOURNAL", "GITHUB_SHA", "CI_COMMIT_SHA"] {
            command.env_remove(name);
        }
        command
    }

    /// Killpoint's binary.
    pub fn killpoint_path(&self) -> PathBuf {
        self.binaries.join("killpoint")
    }

    /// A guest.
    pub fn guest(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// The program that only records.
    pub fn recorder(&self) -> PathBuf {
        self.binaries.join("examples/record")
    }
}

/// Whether a program is in PATH.
pub fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// A new directory in memory, removed when it is dropped.
///
/// # Errors
/// What the system says.
pub fn in_memory() -> Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("killpoint-benches-");
    builder.tempdir_in("/dev/shm").context("cannot make a directory in /dev/shm")
}
