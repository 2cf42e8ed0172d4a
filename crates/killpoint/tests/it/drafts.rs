//! Drafts: they promise nothing, and how many are shown again after a crash is counted.

use crate::support::{Explored, World, explored, guests_directory, shell_line, stdout};
use ::guests::Guest;
use killpoint_model::{Class, Outcome};

fn explore(world: &World, name: &str) -> Explored {
    let guest = Guest::named(name).expect("a row");
    let mut command = world.explore_json();
    command.args(["--model", "kill"]);
    command.args(["--check", &shell_line(&guest.check_command(&guests_directory()))]);
    explored(command.arg("--").args(guest.work_command(&guests_directory())))
}

#[test]
fn drafts_that_are_shown_again_are_counted() {
    let world = World::new();
    let careful = explore(&world, "drafts");
    careful.expect(Outcome::Pass);
    let drafts = careful.report.drafts;
    assert_eq!(drafts.seen, 6, "{drafts:?}");
    assert!(0 < drafts.restored && drafts.restored < drafts.open, "{drafts:?}");
    let report = world.killpoint().arg("report").arg(world.only_run()).output().unwrap();
    let text = stdout(&report);
    let expected = format!("6 seen; restored {} of {} times", drafts.restored, drafts.open);
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn a_draft_that_is_not_shown_again_breaks_no_promise() {
    let forgets = explore(&World::new(), "drafts-forgotten");
    forgets.expect(Outcome::Pass);
    let drafts = forgets.report.drafts;
    assert_eq!((drafts.seen, drafts.restored), (6, 0), "{drafts:?}");
    assert!(drafts.open > 0, "{drafts:?}");
}

#[test]
fn a_draft_that_hides_what_was_saved_after_it_is_no_draft_any_more() {
    let stale = explore(&World::new(), "drafts-stale");
    stale.expect(Outcome::Violated);
    assert!(stale.report.findings.iter().all(|finding| finding.class == Class::Wrong));
}
