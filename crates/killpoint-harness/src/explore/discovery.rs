//! Without `--state`: runs the command once to see where it writes, and takes that for its state.

use super::options::Options;
use super::problem::ExploreError;
use crate::environment::local::Local;
use crate::own_paths::{nearest_common, real};
use killpoint_engine::image::Image;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Most state directories that are taken.
const DIRECTORIES_MAX: usize = 8;
/// A directory of many purposes (HOME, the working directory) is copied only up to this size.
const SHARED_BYTES_MAX: u64 = 64 << 20;
/// And up to this many files.
const SHARED_FILES_MAX: usize = 5_000;

/// Where a command writes.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Directories to take for its state.
    pub state: Vec<PathBuf>,
    /// What was written elsewhere, and why that is not taken.
    pub left_out: Vec<(PathBuf, &'static str)>,
}

/// Runs the command once, in copy-on-write views of the directories that programs like to write to.
///
/// # Errors
/// If it cannot be run, or wrote nothing that can be taken for its state.
pub fn discover(options: &Options, local: &Local) -> Result<Discovery, ExploreError> {
    let discovered = local.discover()?;
    let shared = Shared::of(options);
    let mut discovery = Discovery::default();
    let mut directories = BTreeSet::new();
    for path in &discovered.written {
        let Some(parent) = path.parent() else { continue };
        match shared.refusal(path, local) {
            Some(why) => discovery.left_out.push((path.clone(), why)),
            None => {
                directories.insert(parent.to_owned());
            }
        }
    }
    directories.extend(shared.holders(&directories, &discovered.joined));
    discovery.state = shared.merge(directories);
    let state = &discovery.state;
    discovery.left_out.retain(|(path, _)| !state.iter().any(|taken| path.starts_with(taken)));
    if discovery.state.is_empty() {
        return Err(ExploreError::Vacuous(nothing_found(&discovery.left_out)));
    }
    Ok(discovery)
}

/// What to say where nothing that the command wrote is taken for its state, in lines of a terminal's width.
fn nothing_found(left_out: &[(PathBuf, &'static str)]) -> String {
    const SHOWN_MAX: usize = 5;
    let mut text = "the command wrote nothing".to_owned();
    if !left_out.is_empty() {
        text.push_str(" that is taken for its state:\n");
    }
    for (path, why) in left_out.iter().take(SHOWN_MAX) {
        text.push_str(&format!("  {}\n    ({why})\n", path.display()));
    }
    let seen = if left_out.is_empty() { ": " } else { "" };
    text.push_str(&format!(
        "{seen}there is nothing to strike;\nname its state directory with --state DIR if it has one"
    ));
    if left_out.iter().any(|(_, why)| *why == OUTSIDE) {
        text.push_str(
            "\nWhat it wrote outside of HOME and the working directory it wrote for real:\n\
             there it did not run on a copy. Look whether you want that undone.",
        );
    }
    text
}

/// Why what was written at a path is no state: nothing stood between it and the command.
const OUTSIDE: &str = "outside of HOME and the working directory";

/// Directories that hold more than one program's data.
pub(super) struct Shared {
    home: Option<PathBuf>,
    here: PathBuf,
    temporary: Vec<PathBuf>,
    out: PathBuf,
}

impl Shared {
    pub(super) fn of(options: &Options) -> Self {
        let variable = |name: &str| {
            let found = options.environment.iter().find(|(other, _)| other == name);
            found.and_then(|(_, value)| std::fs::canonicalize(value).ok())
        };
        let mut temporary = ["/tmp", "/var/tmp", "/dev/shm"].map(PathBuf::from).to_vec();
        temporary.extend(variable("TMPDIR"));
        Shared {
            home: variable("HOME"),
            here: options.directory.clone(),
            temporary,
            out: real(&options.out),
        }
    }

    fn is_shared(&self, path: &Path) -> bool {
        let is_home = self.home.as_deref() == Some(path);
        is_home || path == self.here || path.parent().is_none()
    }

    /// Whether a directory is, or holds, one of many purposes.
    fn holds_shared(&self, path: &Path) -> bool {
        let holds_home = self.home.as_ref().is_some_and(|home| home.starts_with(path));
        holds_home
            || self.here.starts_with(path)
            || self.temporary.iter().any(|temporary| temporary.starts_with(path))
    }

    /// Why what was written at a path is of no lasting use, if it is not.
    pub(super) fn why_passing(&self, path: &Path) -> Option<&'static str> {
        let own = self.home.iter().chain([&self.here]).any(|own| {
            path.starts_with(own) && !self.temporary.iter().any(|temporary| temporary == own)
        });
        if path.starts_with(&self.out) {
            return Some("the folder of the runs");
        }
        if self.temporary.iter().any(|temporary| path.starts_with(temporary)) && !own {
            return Some("a temporary file");
        }
        let cache = self.home.as_ref().map(|home| home.join(".cache"));
        if cache.is_some_and(|cache| path.starts_with(cache)) {
            return Some("a cache");
        }
        None
    }

    /// Why what was written at a path is not taken for state.
    fn refusal(&self, path: &Path, local: &Local) -> Option<&'static str> {
        if let Some(why) = self.why_passing(path) {
            return Some(why);
        }
        if !local.views.iter().any(|view| path.starts_with(view)) {
            return Some(OUTSIDE);
        }
        let parent = path.parent()?;
        if self.is_shared(parent) && !is_small(parent, &self.out) {
            return Some("directly in a large directory of many purposes");
        }
        None
    }

    /// Directories that hold two between which files go, of which at least one is taken: apart, each
    /// would be a mount of its own, and nothing could go.
    fn holders(
        &self,
        taken: &BTreeSet<PathBuf>,
        joined: &BTreeSet<(PathBuf, PathBuf)>,
    ) -> BTreeSet<PathBuf> {
        let is_in = |path: &Path| taken.iter().any(|directory| path.starts_with(directory));
        let touching = joined.iter().filter(|(one, other)| is_in(one) || is_in(other));
        touching
            .map(|(one, other)| nearest_common(one, other))
            .filter(|holder| self.is_own(holder) && is_small(holder, &self.out))
            .collect()
    }

    /// Whether a directory lies in HOME or the working directory and is none of many purposes.
    fn is_own(&self, path: &Path) -> bool {
        let lies_in = self.home.iter().chain([&self.here]).any(|own| path.starts_with(own));
        lies_in && !self.is_shared(path) && !self.holds_shared(path)
    }

    /// The outermost of the directories; siblings together where there are many.
    fn merge(&self, mut directories: BTreeSet<PathBuf>) -> Vec<PathBuf> {
        loop {
            let all = directories.clone();
            directories
                .retain(|path| !all.iter().any(|other| other != path && path.starts_with(other)));
            if directories.len() <= DIRECTORIES_MAX {
                return directories.into_iter().collect();
            }
            let parents: BTreeSet<PathBuf> = directories
                .iter()
                .map(|path| match path.parent() {
                    Some(parent) if !self.holds_shared(parent) => parent.to_owned(),
                    _ => path.clone(),
                })
                .collect();
            if parents == directories {
                return directories.into_iter().collect();
            }
            directories = parents;
        }
    }
}

fn is_small(directory: &Path, out: &Path) -> bool {
    let mut rest = vec![directory.to_owned()];
    let (mut files, mut bytes) = (0, 0);
    while let Some(path) = rest.pop() {
        let Ok(entries) = std::fs::read_dir(&path) else { continue };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            files += 1;
            bytes += if metadata.is_file() { metadata.len() } else { 0 };
            if files > SHARED_FILES_MAX || bytes > SHARED_BYTES_MAX {
                return false;
            }
            if metadata.is_dir() && entry.path() != out {
                rest.push(entry.path());
            }
        }
    }
    true
}

/// Leaves the folder of the runs out of a state that holds it.
pub fn without_out(mut image: Image, root: &Path, out: &Path) -> Image {
    use killpoint_model::operation::Name;
    use std::os::unix::ffi::OsStrExt;
    let Ok(below) = out.strip_prefix(root) else { return image };
    let (Some(parent), Some(name)) = (below.parent(), below.file_name()) else { return image };
    if let Some(directory) = image.find(0, parent.as_os_str().as_bytes()) {
        let name = Name { directory, bytes: name.as_bytes().to_vec() };
        if image.look_up(&name).is_some() {
            image.set_entry(&name, None);
        }
    }
    image.without_nameless()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_where_nothing_is_a_copy_is_called_real() {
        let nothing = nothing_found(&[]);
        assert!(
            nothing.starts_with("the command wrote nothing: there is nothing to strike;"),
            "{nothing}"
        );
        let spool = (PathBuf::from("/var/spool/cron/me"), OUTSIDE);
        let temporary = (PathBuf::from("/tmp/a"), "a temporary file");
        for (left_out, is_real) in
            [(vec![temporary.clone()], false), (vec![temporary, spool], true)]
        {
            let text = nothing_found(&left_out);
            assert!(text.lines().all(|line| line.len() <= 80), "{text}");
            assert_eq!(text.contains("for real"), is_real, "{text}");
            assert!(text.contains("there is nothing to strike"), "{text}");
        }
    }

    #[test]
    fn what_holds_two_directories_is_taken_for_them_unless_it_is_of_many_purposes() {
        let home = tempfile::tempdir().expect("a directory");
        let at = |name: &str| home.path().join(name);
        let shared = Shared {
            home: Some(home.path().to_owned()),
            here: PathBuf::from("/nowhere/here"),
            temporary: Vec::new(),
            out: PathBuf::from("/nowhere/here/.killpoint"),
        };
        let taken = BTreeSet::from([at("app/data")]);
        for (one, other, holder) in [
            ("app/data", "app/staging", Some("app")),
            ("app/data/a", "app/data/b", Some("app/data")),
            (".cache/app", "app/data", None),
            ("other/a", "other/b", None),
        ] {
            let holders = shared.holders(&taken, &BTreeSet::from([(at(one), at(other))]));
            assert_eq!(holders.into_iter().next(), holder.map(at), "{one} {other}");
        }
    }
}
