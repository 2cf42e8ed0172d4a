//! Programs that see copies of directories at the directories' own paths, as unmodified programs need
//! it. Each is started through `killpoint within`, which mounts the copies for it alone.

use killpoint_engine::own_mounts::Bind;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which copies are shown where; nothing at all where that cannot be done.
#[derive(Clone, Debug, Default)]
pub struct OwnPaths {
    /// The killpoint that mounts them.
    program: PathBuf,
    binds: Vec<Bind>,
}

impl OwnPaths {
    /// Shows these by this killpoint.
    pub fn new(program: &Path, binds: Vec<Bind>) -> Self {
        OwnPaths { program: program.to_owned(), binds }
    }

    /// Why it cannot be done on this machine, if it cannot: tried on a directory that is there.
    pub fn problem(program: &Path, directory: &Path) -> Option<String> {
        let bind = Bind { copy: directory.to_owned(), own: directory.to_owned() };
        let mut command = OwnPaths::new(program, vec![bind]).command("/bin/true");
        let tried = command.stdin(Stdio::null()).stdout(Stdio::null()).output();
        match tried {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Where programs see a copy.
    pub fn shown(&self, copy: &Path) -> PathBuf {
        let bind = self.binds.iter().find(|bind| bind.copy == copy);
        bind.map_or(copy, |bind| &bind.own).to_owned()
    }

    /// Where a path that programs see really is.
    pub fn real(&self, shown: &Path) -> PathBuf {
        // The innermost mount is the one that shows.
        let holders = self.binds.iter().filter(|bind| shown.starts_with(&bind.own));
        match holders.max_by_key(|bind| bind.own.components().count()) {
            Some(bind) => match shown.strip_prefix(&bind.own) {
                Ok(rest) if rest.as_os_str().is_empty() => bind.copy.clone(),
                Ok(rest) => bind.copy.join(rest),
                Err(_) => shown.to_owned(),
            },
            None => shown.to_owned(),
        }
    }

    /// The same, with another copy in the place of one.
    #[must_use]
    pub fn with(&self, other: &Path, in_place_of: &Path) -> Self {
        let mut changed = self.clone();
        for bind in &mut changed.binds {
            if bind.copy == in_place_of {
                bind.copy = other.to_owned();
            }
        }
        changed
    }

    /// A program that sees them.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut words = self.through().into_iter().chain([program.as_ref().to_owned()]);
        let mut command = Command::new(words.next().expect("there is a program"));
        command.args(words);
        command
    }

    /// What a program is started through to see them; nothing where there is nothing to show.
    pub fn through(&self) -> Vec<OsString> {
        if self.binds.is_empty() {
            return Vec::new();
        }
        let mut words = vec![self.program.clone().into_os_string(), "within".into()];
        for bind in &self.binds {
            words.extend(["--show".into(), bind.copy.clone().into(), bind.own.clone().into()]);
        }
        words.push("--".into());
        words
    }
}

/// A text with `{state}`, `{state:2}`, ... filled in.
pub fn fill(text: &str, states: &[PathBuf]) -> String {
    let Some(first) = states.first() else { return text.to_owned() };
    let mut text = text.replace("{state}", &first.display().to_string());
    for (index, state) in states.iter().enumerate() {
        text = text.replace(&format!("{{state:{}}}", index + 1), &state.display().to_string());
    }
    text
}

/// Whether copies can be mounted over these paths: each is a directory, and none lies in another.
///
/// # Errors
/// What is wrong, and what to do.
pub fn check(own: &[PathBuf], copies: &Path) -> Result<(), String> {
    for path in own {
        if is_of_the_kernel(path) {
            return Err(format!("{} {OF_THE_KERNEL}", path.display()));
        }
        let nested = own.iter().find(|other| *other != path && other.starts_with(path));
        if let Some(other) = nested {
            let (inner, outer) = (other.display(), path.display());
            return Err(format!("{inner} lies in {outer}: name the outer one alone"));
        }
        if own.iter().filter(|other| *other == path).count() > 1 {
            return Err(format!("{} is named twice", path.display()));
        }
        if real(copies).starts_with(real(path)) {
            return Err(format!("{} {}", path.display(), holds_runs(copies)));
        }
    }
    Ok(())
}

/// What is wrong with a state directory in which the folders of runs are kept.
pub fn holds_runs(out: &Path) -> String {
    format!("holds the folders of runs ({}): give another --out", out.display())
}

/// What is wrong with a directory in which the kernel shows what it knows.
pub const OF_THE_KERNEL: &str =
    "holds no files, but what the kernel shows of itself: name the directory that is written";

/// Whether a directory is in a file system in which the kernel shows what it knows: reading one of its
/// files may wait for ever.
pub fn is_of_the_kernel(path: &Path) -> bool {
    // procfs, sysfs, both versions of cgroups, debugfs, tracefs, securityfs, devpts, bpf, pstore,
    // efivarfs: linux/magic.h.
    const MAGICS: [u32; 11] = [
        0x9fa0,
        0x6265_6572,
        0x0027_e0eb,
        0x6367_7270,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0x1cd1,
        0xcafe_4a11,
        0x6165_676c,
        0xde5e_81e4,
    ];
    rustix::fs::statfs(path).is_ok_and(|system| {
        u32::try_from(system.f_type & 0xffff_ffff).is_ok_and(|it| MAGICS.contains(&it))
    })
}

/// A path without links in it, as far as it is there.
pub fn real(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (ancestor.canonicalize(), path.strip_prefix(ancestor)) {
            return real.join(rest);
        }
    }
    path.to_owned()
}

/// The nearest directory that is, or holds, both of two.
pub fn nearest_common(one: &Path, other: &Path) -> PathBuf {
    let common = one.ancestors().find(|above| other.starts_with(above));
    common.unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> OwnPaths {
        let bind = |copy: &str, own: &str| Bind { copy: copy.into(), own: own.into() };
        OwnPaths::new(Path::new("killpoint"), vec![bind("/t/1", "/home/a"), bind("/t/2", "/srv/b")])
    }

    #[test]
    fn what_is_shown_and_what_is_real_are_each_others_inverse() {
        let paths = paths();
        assert_eq!(paths.shown(Path::new("/t/2")), Path::new("/srv/b"));
        assert_eq!(paths.shown(Path::new("/else")), Path::new("/else"));
        assert_eq!(paths.real(Path::new("/srv/b/x/y")), Path::new("/t/2/x/y"));
        assert_eq!(paths.real(Path::new("/srv/b")), Path::new("/t/2"));
        assert_eq!(paths.real(Path::new("/srv/bee")), Path::new("/srv/bee"));
        let other = paths.with(Path::new("/t/judged"), Path::new("/t/1"));
        assert_eq!(other.real(Path::new("/home/a/f")), Path::new("/t/judged/f"));
    }

    #[test]
    fn directories_in_one_another_and_those_that_hold_runs_are_refused() {
        let check = |own: &[&str], copies: &str| {
            let own: Vec<PathBuf> = own.iter().map(PathBuf::from).collect();
            check(&own, Path::new(copies))
        };
        assert_eq!(check(&["/a", "/ab"], "/nowhere"), Ok(()));
        assert!(check(&["/a", "/a/b"], "/nowhere").is_err_and(|why| why.contains("lies in")));
        assert!(check(&["/a", "/a"], "/nowhere").is_err_and(|why| why.contains("twice")));
        assert!(check(&["/proc/sys"], "/nowhere").is_err_and(|why| why.contains("kernel")));
        assert!(check(&["/sys"], "/nowhere").is_err_and(|why| why.contains("kernel")));
        assert!(check(&["/"], "/tmp").is_err_and(|why| why.contains("--out")));
        assert!(check(&["/tmp"], "/tmp/not-there/yet").is_err_and(|why| why.contains("--out")));
    }
}
