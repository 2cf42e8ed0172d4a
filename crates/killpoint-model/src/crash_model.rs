//! Crash models: which bytes a crash may leave on disk.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A rule that says which states a crash at a point can leave. Ordered from the mildest: a finding
/// is named after the mildest model that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrashModel {
    /// SIGKILL at the entry of a call: every completed call is there, the call itself is not.
    Kill,
    /// SIGKILL inside a write: it stopped at a multiple of 4,096 of the file's offset.
    TornWrite,
    /// Power loss: everything up to the last completed barrier and nothing after it.
    Prefix,
    /// Power loss: metadata as it was, unsynced data absent, zeros where the size grew.
    Size,
    /// Power loss: metadata as it was, contents only what was synced, else length 0.
    Data,
    /// Power loss: one file's unsynced data lost, all else kept.
    FileLost,
    /// Power loss: directory operations from a non-durable one on undone.
    DirLost,
    /// Power loss: one unsynced write lost, all else kept.
    OneLost,
    /// Power loss: one unsynced write kept up to a block boundary.
    TornBlock,
}

impl CrashModel {
    /// Every model, the mildest first.
    pub const ALL: [CrashModel; 9] = [
        CrashModel::Kill,
        CrashModel::TornWrite,
        CrashModel::Prefix,
        CrashModel::Size,
        CrashModel::Data,
        CrashModel::FileLost,
        CrashModel::DirLost,
        CrashModel::OneLost,
        CrashModel::TornBlock,
    ];

    /// The name used on the command line, in reports and in files.
    pub fn name(self) -> &'static str {
        match self {
            CrashModel::Kill => "kill",
            CrashModel::TornWrite => "torn-write",
            CrashModel::Prefix => "prefix",
            CrashModel::Size => "size",
            CrashModel::Data => "data",
            CrashModel::FileLost => "file-lost",
            CrashModel::DirLost => "dir-lost",
            CrashModel::OneLost => "one-lost",
            CrashModel::TornBlock => "torn-block",
        }
    }

    /// Whether the machine loses power, so that only what was synced is promised.
    pub fn is_power_loss(self) -> bool {
        !matches!(self, CrashModel::Kill | CrashModel::TornWrite)
    }

    /// Reads a comma-separated list; `power-loss` stands for all power-loss models.
    ///
    /// # Errors
    /// The first name that is not a model.
    pub fn parse_list(text: &str) -> Result<Vec<CrashModel>, UnknownName> {
        let mut models = Vec::new();
        for name in text.split(',').map(str::trim) {
            match name {
                "power-loss" => {
                    models.extend(CrashModel::ALL.into_iter().filter(|model| model.is_power_loss()))
                }
                "all" => models.extend(CrashModel::ALL),
                _ => models.push(name.parse()?),
            }
        }
        models.sort();
        models.dedup();
        Ok(models)
    }
}

/// A name that stands in no list of ours, with the names that do.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown {what} `{name}`; choose from {choices}")]
pub struct UnknownName {
    /// What was expected.
    pub what: &'static str,
    /// What was read.
    pub name: String,
    /// What may stand there.
    pub choices: String,
}

impl FromStr for CrashModel {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        CrashModel::ALL.into_iter().find(|model| model.name() == name).ok_or_else(|| UnknownName {
            what: "crash model",
            name: name.to_owned(),
            choices: CrashModel::ALL.map(CrashModel::name).join(", ") + ", power-loss, all",
        })
    }
}

impl fmt::Display for CrashModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The file system whose promises the power-loss models keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// What POSIX promises and no more: metadata is durable per fsynced directory.
    Strict,
    /// ext4 with `data=ordered` and `auto_da_alloc`, its defaults.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Profile; 4] = [Profile::Strict, Profile::Ext4, Profile::Xfs, Profile::Btrfs];

    /// The name used on the command line, in reports and in files.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Strict => "strict",
            Profile::Ext4 => "ext4",
            Profile::Xfs => "xfs",
            Profile::Btrfs => "btrfs",
        }
    }
}

impl FromStr for Profile {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Profile::ALL.into_iter().find(|profile| profile.name() == name).ok_or_else(|| UnknownName {
            what: "profile",
            name: name.to_owned(),
            choices: Profile::ALL.map(Profile::name).join(", "),
        })
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_models_is_sorted_from_the_mildest() {
        let list = CrashModel::parse_list("data, kill,prefix,kill").expect("known names");
        assert_eq!(list, [CrashModel::Kill, CrashModel::Prefix, CrashModel::Data]);
        assert_eq!(CrashModel::parse_list("power-loss").expect("known").len(), 7);
    }

    #[test]
    fn an_unknown_model_is_named_with_the_known_ones() {
        let error = CrashModel::parse_list("kil").expect_err("no such model");
        assert!(error.to_string().contains("`kil`") && error.to_string().contains("torn-write"));
    }
}
