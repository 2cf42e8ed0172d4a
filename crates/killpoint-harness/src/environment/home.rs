//! Where nothing can be mounted: a home directory of links, in which the state's place is taken by its
//! copy.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Most entries of the real home directory that are linked.
const LINKS_MAX: usize = 10_000;

/// An environment whose HOME, and whatever else of XDG lies in it, is `new`: there, links lead to the
/// copies of the state directories that lie in HOME, and to the real ones of all else. Nothing changes
/// where no state directory lies in HOME.
///
/// # Errors
/// If the links cannot be made.
pub fn redirected(
    environment: &[(OsString, OsString)],
    copies: &[(PathBuf, PathBuf)],
    new: &Path,
) -> io::Result<Vec<(OsString, OsString)>> {
    let mut environment = environment.to_vec();
    let home = environment.iter().find(|(name, _)| name == "HOME");
    let Some(home) = home.map(|(_, value)| PathBuf::from(value)) else { return Ok(environment) };
    let real = fs::canonicalize(&home).unwrap_or_else(|_| home.clone());
    let inside = |(path, copy): &(PathBuf, PathBuf)| {
        let below = path.strip_prefix(&real).or_else(|_| path.strip_prefix(&home)).ok()?;
        Some((below.to_owned(), copy.clone()))
    };
    let wanted: Vec<(PathBuf, PathBuf)> = copies.iter().filter_map(inside).collect();
    if wanted.is_empty() {
        return Ok(environment);
    }
    let mut left = LINKS_MAX;
    link(&real, new, &wanted, &mut left)?;
    let is_of_home = |name: &OsStr| {
        let name = name.to_string_lossy();
        name == "HOME" || (name.starts_with("XDG_") && name.ends_with("_HOME"))
    };
    for (name, value) in &mut environment {
        if is_of_home(name)
            && let Ok(below) = Path::new(value.as_os_str()).strip_prefix(&home)
        {
            *value = match below.as_os_str().is_empty() {
                true => new.as_os_str().to_owned(),
                false => new.join(below).into_os_string(),
            };
        }
    }
    Ok(environment)
}

/// Links what is in `real` into `new`, but for what is wanted otherwise.
fn link(
    real: &Path,
    new: &Path,
    wanted: &[(PathBuf, PathBuf)],
    left: &mut usize,
) -> io::Result<()> {
    if let [(below, copy)] = wanted
        && below.as_os_str().is_empty()
    {
        return made(symlink(copy, new));
    }
    fs::create_dir_all(new)?;
    let mut inner: BTreeMap<OsString, Vec<(PathBuf, PathBuf)>> = BTreeMap::new();
    for (below, copy) in wanted {
        let mut parts = below.components();
        let Some(first) = parts.next() else { continue };
        let rest = (parts.as_path().to_owned(), copy.clone());
        inner.entry(first.as_os_str().to_owned()).or_default().push(rest);
    }
    for entry in fs::read_dir(real).into_iter().flatten() {
        let name = entry?.file_name();
        if !inner.contains_key(&name) && *left > 0 {
            *left -= 1;
            made(symlink(real.join(&name), new.join(&name)))?;
        }
    }
    for (name, wanted) in &inner {
        link(&real.join(name), &new.join(name), wanted, left)?;
    }
    Ok(())
}

/// It is there, now or from before.
fn made(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_of_links_has_the_copy_in_the_place_of_the_state() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        for made in ["home/.config/app", "home/.config/other", "copy"] {
            fs::create_dir_all(path(made)).expect("made");
        }
        fs::write(path("home/.profile"), "real").expect("written");
        let given = |name: &str, value: &str| (OsString::from(name), path(value).into_os_string());
        let environment = [given("HOME", "home"), given("XDG_CONFIG_HOME", "home/.config")];
        let copies = [(path("home/.config/app"), path("copy"))];
        for _ in 0..2 {
            let seen = redirected(&environment, &copies, &path("new")).expect("links");
            assert_eq!(seen, [given("HOME", "new"), given("XDG_CONFIG_HOME", "new/.config")]);
        }
        let leads = |name: &str| fs::canonicalize(path(name)).expect("there");
        assert_eq!(leads("new/.config/app"), leads("copy"));
        assert_eq!(leads("new/.config/other"), leads("home/.config/other"));
        assert_eq!(fs::read(path("new/.profile")).expect("there"), b"real");
        let elsewhere = [(path("copy"), path("new"))];
        let seen = redirected(&environment, &elsewhere, &path("third")).expect("nothing to do");
        assert_eq!(seen, environment);
        assert!(!path("third").exists());
    }
}
