//! What the command changes outside of its state, where it sees copies: a crash state stands beside what
//! is there today, not beside what was there at the crash.

use crate::environment::local::{Local, TrialResult};
use crate::explore::discovery::Shared;
use crate::explore::options::Options;
use killpoint_engine::record::Root;
use killpoint_model::report::NotCovered;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Most files and directories that are named.
const NAMED_MAX: usize = 10;

/// What is told of a recording. Where the state was found by a first run, that has told what it left
/// out: then only what the checker opens is told.
pub(super) fn beside(options: &Options, local: &Local, result: &TrialResult) -> Vec<NotCovered> {
    let shared = Shared::of(options);
    let read = |path: &String| result.beside_read.contains(path);
    let counts = |path: &String| {
        !options.state.is_empty()
            && !is_compiled(Path::new(path))
            && shared.why_passing(Path::new(path)).is_none()
    };
    let (opened, others): (Vec<&String>, Vec<&String>) = result
        .ending
        .beside
        .iter()
        .filter(|path| read(path) || counts(path))
        .partition(|it| read(it));
    let here = &local.launch.directory;
    let mut gaps = told(&opened, true, &local.roots, here);
    gaps.extend(told(&others, false, &local.roots, here));
    gaps
}

/// Whether an interpreter keeps there what it has compiled.
fn is_compiled(path: &Path) -> bool {
    path.components().any(|part| part == Component::Normal("__pycache__".as_ref()))
}

/// One entry for each directory, bounded.
fn told(paths: &[&String], is_read: bool, roots: &[Root], here: &Path) -> Vec<NotCovered> {
    let mut directories: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
    for path in paths.iter().map(Path::new) {
        directories.entry(path.parent().unwrap_or(path)).or_default().push(path);
    }
    let rest: usize = directories.values().skip(NAMED_MAX).map(Vec::len).sum();
    let named = directories.iter().take(NAMED_MAX).map(|(directory, files)| NotCovered {
        file: name(directory, files, here),
        reason: reason(directory, files.len(), is_read, roots, here),
        needed: is_read,
    });
    let rest = (rest > 0).then(|| NotCovered {
        file: "*".to_owned(),
        reason: format!("{rest} more files outside of the state are changed by the command"),
        needed: is_read,
    });
    named.chain(rest).collect()
}

/// The only file, or the directory.
fn name(directory: &Path, files: &[&Path], here: &Path) -> String {
    let below = |path: &Path| path.strip_prefix(here).unwrap_or(path).display().to_string();
    match files {
        [file] => below(file),
        _ if directory == here => "./".to_owned(),
        _ => format!("{}/", below(directory)),
    }
}

fn reason(directory: &Path, files: usize, is_read: bool, roots: &[Root], here: &Path) -> String {
    let what = match files {
        1 => "the command changes it outside of its state".to_owned(),
        _ => format!("the command changes {files} files in it outside of its state"),
    };
    let who =
        if is_read { "the checker opens it, and sees" } else { "who reads a crash state sees" };
    let holds_state = roots.iter().find(|root| root.path.starts_with(directory));
    let which = match holds_state {
        Some(_) => "the directory that holds both",
        None => "its directory as well",
    };
    let flag = match directory.strip_prefix(here) {
        Ok(below) if below.as_os_str().is_empty() => PathBuf::from("."),
        Ok(below) => below.to_owned(),
        Err(_) => directory.to_owned(),
    };
    format!(
        "{what}: {who} what it is today beside the state of then; name {which}: --state {}",
        flag.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_directory_are_one_entry_and_the_list_is_bounded() {
        let here = Path::new("/usr/app");
        let roots = [Root { path: PathBuf::from("/usr/app/data"), prefix: String::new() }];
        let told = |paths: &[String]| {
            let paths: Vec<&String> = paths.iter().collect();
            told(&paths, false, &roots, here)
        };
        let paths = ["/usr/app/blobs/1", "/usr/app/blobs/2", "/usr/app/log", "/srv/other/a"];
        let gaps = told(&paths.map(str::to_owned));
        let flags: Vec<(&str, &str)> = gaps
            .iter()
            .map(|gap| (gap.file.as_str(), gap.reason.rsplit_once("name ").expect("advice").1))
            .collect();
        assert_eq!(
            flags,
            [
                ("/srv/other/a", "its directory as well: --state /srv/other"),
                ("log", "the directory that holds both: --state ."),
                ("blobs/", "its directory as well: --state blobs"),
            ]
        );
        let many: Vec<String> = (10..30).map(|number| format!("/usr/app/d{number}/f")).collect();
        let gaps = told(&many);
        assert_eq!(gaps.len(), NAMED_MAX + 1);
        assert!(gaps[NAMED_MAX].reason.starts_with("10 more"), "{:?}", gaps[NAMED_MAX]);
    }
}
