//! `killpoint demo`: the built-in example, explored with a wrong and with a right store.

use crate::arguments::{Demo, SaveWay};
use crate::explore;
use crate::failure::Failure;
use crate::output::{print_line, shown_path, summary_text};
use anyhow::Context;
use killpoint_harness::asserter::checker::Checker;
use killpoint_harness::explore::{Explored, Options};
use killpoint_model::report::{Finding, Report};
use killpoint_model::{CrashModel, Outcome};
use std::fs;
use std::path::{Path, PathBuf};

/// Explores both stores, shows both summaries, and says whether they came out as they must.
///
/// # Errors
/// If the machine does not allow it; `killpoint doctor` says why.
pub fn run(flags: &Demo) -> Result<Outcome, Failure> {
    let out = std::env::current_dir().unwrap_or_default().join(&flags.out);
    print_line!("A store that empties its file and writes it again, as many programs do:\n");
    let wrong = explore_store(&out, SaveWay::Wrong)?;
    print_line!("{}", summary_text(&wrong.report, &wrong.folder));
    print_line!("The same store, but each save is a new file that is renamed over the old one:\n");
    let right = explore_store(&out, SaveWay::Right)?;
    print_line!("{}", summary_text(&right.report, &right.folder));
    let surprises = surprises(&wrong.report, &right.report);
    if surprises.is_empty() {
        print_line!(
            "Both verdicts are the expected ones. Try your own program:\n  \
             killpoint explore -- CMD\n\
             The runs are in {} and {};\nremove {} when you are done.",
            shown_path(wrong.folder.path()),
            shown_path(right.folder.path()),
            shown_path(&out),
        );
        return Ok(Outcome::Pass);
    }
    for surprise in &surprises {
        print_line!("NOT AS EXPECTED: {surprise}");
    }
    print_line!(
        "This is a defect of killpoint or of this machine: `killpoint doctor` may say more."
    );
    Ok(Outcome::InternalError)
}

fn explore_store(out: &Path, way: SaveWay) -> Result<Explored, Failure> {
    let program = std::env::current_exe().context("cannot find the killpoint program itself")?;
    let state = empty_state(out, way)
        .with_context(|| format!("cannot make the demo's state in {}", out.display()))?;
    let store = ["demo-store", way.name()].map(PathBuf::from);
    let mut options = Options::new(
        [program.clone()].into_iter().chain(store).chain(["work".into(), "{state}".into()]),
    );
    let quoted = format!("'{}'", program.display().to_string().replace('\'', r"'\''"));
    options.checker =
        Checker::Command(format!("{quoted} demo-store {} check \"$KILLPOINT_STATE\"", way.name()));
    options.state = vec![state];
    options.out = out.to_owned();
    explore::watched(&options, true)
}

/// A directory for the store's data. It stays, so that a finding of the demo can be replayed.
fn empty_state(out: &Path, way: SaveWay) -> std::io::Result<PathBuf> {
    killpoint_harness::store::make_out(out).map_err(std::io::Error::other)?;
    let state = out.join("demo").join(way.name());
    match fs::remove_dir_all(&state) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(&state)?;
    Ok(state)
}

/// Where the verdicts are not those that the two stores deserve.
fn surprises(wrong: &Report, right: &Report) -> Vec<String> {
    let mut surprises = Vec::new();
    if wrong.result != Outcome::Violated {
        surprises.push(format!("the wrong store came out as {}", wrong.result));
    }
    let confirmed = |finding: &Finding| {
        let Finding { model, confirmed, .. } = finding;
        *model == CrashModel::Kill && confirmed.tries > 0 && confirmed.hits == confirmed.tries
    };
    if !wrong.findings.iter().any(confirmed) {
        surprises.push("no finding of the wrong store was confirmed by a live kill".to_owned());
    }
    if right.result != Outcome::Pass {
        surprises.push(format!("the right store came out as {}", right.result));
    }
    surprises
}
