//! The library as a project's own tests use it.

use killpoint::{Class, Outcome, explore};

/// The guests' binaries, which `cargo build -p guests` makes.
fn guest(name: &str) -> String {
    let program = std::env::current_exe().expect("a running test has a path");
    let profile = program.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps");
    let guest = profile.join(name);
    assert!(guest.exists(), "{} is missing: cargo build -p guests", guest.display());
    guest.display().to_string()
}

#[test]
fn a_store_that_replaces_its_file_atomically_survives_every_crash_point() {
    let here = tempfile::tempdir().expect("a temporary directory");
    let data = here.path().join("data");
    std::fs::create_dir(&data).expect("a new directory");
    explore([guest("save-atomic")])
        .state(&data)
        .check(format!("{} check", guest("save-atomic")))
        .out(here.path().join(".killpoint"))
        .assert_survives();
}

#[test]
fn a_store_that_empties_its_file_first_does_not() {
    let here = tempfile::tempdir().expect("a temporary directory");
    let data = here.path().join("data");
    std::fs::create_dir(&data).expect("a new directory");
    let report = explore([guest("save-in-place")])
        .state(&data)
        .check(format!("{} check", guest("save-in-place")))
        .out(here.path().join(".killpoint"))
        .run()
        .expect("it can be explored");
    assert_eq!(report.result, Outcome::Violated);
    assert_eq!(report.findings[0].class, Class::Unopenable);
    assert_eq!(report.findings[0].confirmed.hits, report.findings[0].confirmed.tries);
}
