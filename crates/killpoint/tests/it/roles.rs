//! Roles: an address counts within the processes that a selector selects, so that which of two
//! processes comes first shifts nothing.

use crate::support::{Explored, World, explored, guests_directory, shell_line, stderr, stdout};
use ::guests::Guest;
use killpoint_model::verdict::Reason;
use killpoint_model::{Class, CrashModel, Outcome};
use std::process::Command;

/// The guest whose two writers take turns in another order in every run.
struct Writers {
    world: World,
    turns: tempfile::TempDir,
}

impl Writers {
    fn new() -> Writers {
        // /tmp is seen copy-on-write: a count of runs there would begin anew in each.
        let turns = tempfile::tempdir_in(crate::support::outside_of_views()).expect("a directory");
        Writers { world: World::new(), turns }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.world.killpoint();
        command.args(words).args(["--out"]).arg(self.world.out());
        command.env("GUEST_TURNS", self.turns.path()).env("HOME", self.world.path());
        command
    }

    fn explore(&self, flags: &[&str]) -> Explored {
        let guest = Guest::named("two-writers").expect("a row");
        let mut command = self.command(&["explore", "--format", "json", "--model", "kill"]);
        command.arg("--state").arg(self.world.state()).args(flags);
        // Their turns are counted outside, where two runs at once would count the same.
        command.args([
            "--jobs",
            "1",
            "--check",
            &shell_line(&guest.check_command(&guests_directory())),
        ]);
        command.arg("--").args(guest.work_command(&guests_directory()));
        explored(&mut command)
    }
}

const CARELESS: [&str; 2] = ["--role", "careless=cmdline:two-writers careless"];

#[test]
fn without_roles_a_racing_order_makes_live_kills_diverge() {
    let explored = Writers::new().explore(&[]);
    explored.expect(Outcome::Violated);
    let [finding] = explored.report.findings.as_slice() else { panic!("{}", explored.summary()) };
    assert_eq!(finding.address.to_string(), "write(shared.log)#2", "{}", explored.summary());
    assert_eq!(finding.confirmed.hits, 0, "{}", explored.summary());
    let diverged = explored.report.unknown.iter().any(|one| one.reason == Reason::Diverged);
    assert!(diverged, "{}", explored.summary());
}

#[test]
fn with_roles_the_same_addresses_are_exact_under_both_mechanisms() {
    for mechanism in ["ptrace", "notify"] {
        let writers = Writers::new();
        let flags = [CARELESS[0], CARELESS[1], "--mechanism", mechanism, "--confirm", "3"];
        let explored = writers.explore(&flags);
        explored.expect(Outcome::Violated);
        let report = &explored.report;
        let [finding] = report.findings.as_slice() else { panic!("{}", explored.summary()) };
        assert_eq!(finding.address.to_string(), "write(shared.log)#2@careless");
        assert_eq!(finding.shown, "write(shared.log)#2@careless");
        assert_eq!(finding.class, Class::Unopenable);
        assert!(finding.cause.contains("@careless"), "{}", finding.cause);
        assert_eq!((finding.confirmed.hits, finding.confirmed.tries), (3, 3));
        assert_eq!(explored.violated(CrashModel::Kill), 1, "{}", explored.summary());
        assert!(report.unknown.is_empty(), "{}", explored.summary());
        let roles = &report.setting.as_ref().expect("a setting").roles;
        assert_eq!(roles, &["careless: cmdline:two-writers careless"]);
        let in_timeline =
            |role| report.timeline.iter().filter(|point| point.row.address.role() == role).count();
        assert_eq!(in_timeline(Some("careless")), 2);
        assert!(in_timeline(None) > 2);
        let finding = format!("{}/1", writers.world.only_run().display());
        let output = writers.command(&["replay", &finding, "--times", "3"]).output().unwrap();
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
        assert!(stdout(&output).contains("write(shared.log)#2@careless"), "{}", stdout(&output));
    }
}

#[test]
fn a_role_that_no_process_has_is_named() {
    let explored = Writers::new().explore(&["--role", "nobody=comm:no-such-name"]);
    let is_named = |note: &String| note.contains("role nobody (comm:no-such-name)");
    assert!(explored.report.notes.iter().any(is_named), "{}", explored.summary());
}
