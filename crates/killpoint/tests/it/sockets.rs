//! Whose a Unix socket is that a target talks through, however its path is written.

use crate::support::{Explored, World, explored};
use killpoint_model::Outcome;
use std::fs;
use std::os::unix::net::UnixListener;

/// Begins a target: `listen` and `talk` take a path as it is.
const BEGINNING: &str = "
import os, socket
def unix(): return socket.socket(socket.AF_UNIX)
def listen(path):
    listener = unix()
    listener.bind(path)
    listener.listen()
    return listener
def talk(path): unix().connect(path)
if os.path.exists('a/own'): os.unlink('a/own')
here = os.getcwd()
";

/// Changes the state, whole or not at all.
const ENDING: &str = "
note = os.environ['KILLPOINT_STATE'] + '/note'
open(note + '.tmp', 'w').close()
os.rename(note + '.tmp', note)
";

/// Explores a target that works in a directory with `a/`, `b/` and `link`, which leads to `a/`.
/// Somebody else listens at `b/own` and `b/other`.
fn explore(flags: &[&str], talk: &str) -> Explored {
    let world = World::new();
    for name in ["a", "b"] {
        fs::create_dir(world.join(name)).expect("made");
    }
    std::os::unix::fs::symlink("a", world.join("link")).expect("made");
    let _others = ["b/own", "b/other"].map(|name| UnixListener::bind(world.join(name)));
    let script = format!("{BEGINNING}{talk}\n{ENDING}");
    explored(world.explore_json().args(flags).args(["--", "python3", "-c", &script]))
}

#[test]
fn a_socket_of_the_target_is_its_own_however_its_path_is_written() {
    for talk in [
        "os.chdir('a'); own = listen('own'); os.chdir(here); talk(here + '/a/own')",
        "own = listen(here + '/a/own'); os.chdir('a'); talk('own')",
        "own = listen('link/own'); talk('./b/../a/own')",
        "own = listen('a/own'); os.symlink('own', 'a/name'); talk('link/name'); os.unlink('a/name')",
    ] {
        for flags in [&[] as &[&str], &["--mechanism", "notify"]] {
            explore(flags, talk).expect_silence();
        }
    }
}

#[test]
fn a_socket_of_somebody_else_is_not_covered_however_its_path_is_written() {
    for talk in [
        "os.chdir('a'); own = listen('own'); os.chdir('../b'); talk('own')",
        "own = listen('a/own'); talk('b/own')",
        "
try: listen('b/other')
except OSError: talk('b/other')",
    ] {
        let explored = explore(&[], talk);
        explored.expect(Outcome::Unknown);
        let gaps = &explored.report.not_covered;
        let is_named = gaps.iter().any(|gap| gap.reason.contains("outside its tree"));
        assert!(is_named, "{talk}: {}", explored.summary());
    }
}
