//! Every row of the guests' table, through the binary: the wrong ones are caught, the right ones stay silent.

use crate::support::{ALL_MODELS, Explored, World, explored, guests_directory, shell_line};
use ::guests::{Caution, Expected, GUESTS, Guest};
use killpoint_model::Outcome;
use std::process::{Child, Command, Stdio};

/// A test for each row, named after it.
macro_rules! rows {
    ($($name:ident)*) => {
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(mod $name {
            #[test]
            fn gets_the_verdict_of_its_row() {
                super::gets_the_verdict_of_its_row(stringify!($name));
            }
        })*
    };
}

rows! {
    save_in_place save_in_place_silent save_with_backup save_with_backup_restored save_atomic save_rename_no_fsync save_tmp_no_dir_sync
    multi_save exchange unnamed_file copied_file
    append_log newer_log append_log_ack_first append_log_no_recovery acked_not_durable acked_durable
    torn_value two_files leftover_key counter counter_replayed queue queue_replayed lock_waits
    pid_file pid_lock transfer transfer_two_saves
    drafts drafts_forgotten drafts_stale steps sqlite_wal sqlite_memory_journal
    notes_in_place notes_atomic notes_sqlite notes_queue notes_race
    shell_tree processes parallel threads tasks daemon late_writer two_writers outside_daemon
    start_in_place server server_careless never_quiet
    fork_forever fill_disk ignore_sigterm close_all_descriptors change_directory change_user
    killed_by_other vacuous never_ends exit_nonzero
    checker_crashes checker_hangs checker_rubbish
    checker_always_crashes checker_always_hangs checker_always_rubbish
    mapped_writer every_operation random_operations many_writes constant_store window_50us
}

#[test]
fn every_row_of_the_table_has_a_test() {
    let rows: Vec<String> = GUESTS.iter().map(|guest| guest.name.replace('-', "_")).collect();
    assert_eq!(rows, TESTED, "name each row of the table in the list above, in its order");
}

fn gets_the_verdict_of_its_row(name: &str) {
    let name = name.replace('_', "-");
    let guest = Guest::named(&name).expect("a row");
    let killed = explore(guest, &[], true);
    check(&killed, guest.kill, "kill and torn-write");
    if let Some(expected) = guest.power_loss {
        let lost = explore(guest, &["--model", "power-loss", "--profile", "strict"], true);
        check(&lost, expected, "power loss, profile strict");
    }
    if guest.built_in_oracle {
        let silent = explore(guest, &["--model", ALL_MODELS, "--profile", "strict"], false);
        check(&silent, Expected::Held, "all models, without journal and checker");
    }
}

fn explore(guest: &Guest, flags: &[&str], with_checker: bool) -> Explored {
    let world = World::new();
    let mut command = world.explore_json();
    command.args(flags).args(guest.flags);
    if with_checker {
        command.args(["--check", &shell_line(&guest.check_command(&guests_directory()))]);
    }
    let daemon = match guest.caution {
        Some(Caution::NeverEnds) => {
            command.args(["--timeout", "2"]);
            None
        }
        Some(Caution::NeedsLimit) => {
            command.args(["--timeout", "10"]);
            None
        }
        Some(Caution::NeedsDaemon) => Some(Daemon::start(&world, guest, &mut command)),
        Some(Caution::NeedsDriver) => {
            command.args(["--driver", &shell_line(&guest.drive_command(&guests_directory()))]);
            None
        }
        Some(Caution::CheckMisbehaves) | None => None,
    };
    let hangs = guest.name == "checker-always-hangs";
    if hangs || guest.kill == Expected::Violated(&[::guests::Class::Hung]) {
        command.args(["--check-timeout", "1"]);
    }
    command.arg("--");
    if !with_checker {
        command.args(["env", "--unset=KILLPOINT_JOURNAL"]);
    }
    command.args(guest.work_command(&guests_directory()));
    let explored = explored(&mut command);
    drop(daemon);
    explored
}

fn check(explored: &Explored, expected: Expected, under: &str) {
    let report = &explored.report;
    let summary = || format!("under {under}: {}", explored.summary());
    match expected {
        Expected::Held => explored.expect_silence(),
        Expected::Violated(classes) => {
            assert_eq!(report.result, Outcome::Violated, "{}", summary());
            assert!(!report.findings.is_empty(), "{}", summary());
            for finding in &report.findings {
                assert!(classes.contains(&finding.class), "{}", summary());
                let confirmed = finding.confirmed;
                assert!(confirmed.tries > 0 && confirmed.hits == confirmed.tries, "{}", summary());
            }
        }
        Expected::Unknown(reasons) => {
            assert_eq!(report.result, Outcome::Unknown, "{}", summary());
            let is_named = report.unknown.iter().any(|unknown| reasons.contains(&unknown.reason))
                || reasons.contains(&::guests::Reason::NotCovered)
                    && report.not_covered.iter().any(|gap| gap.needed);
            assert!(is_named, "{}", summary());
        }
        Expected::Vacuous => assert_eq!(report.result, Outcome::Vacuous, "{}", summary()),
        Expected::BaselineFailed => {
            assert_eq!(report.result, Outcome::BaselineFailed, "{}", summary());
            assert!(!report.explanation.is_empty(), "{}", summary());
        }
    }
}

/// The partner of a guest that hands its work to somebody outside of its tree.
struct Daemon {
    child: Child,
    _directory: tempfile::TempDir,
}

impl Daemon {
    fn start(world: &World, guest: &Guest, client: &mut Command) -> Daemon {
        // Below /tmp, which is seen copy-on-write: it must be reached there, too.
        let directory = tempfile::tempdir_in("/tmp").expect("a directory");
        let socket = directory.path().join("socket");
        client.env("GUEST_SOCKET", &socket);
        let words = guest.work_command(&guests_directory());
        let child = Command::new(&words[0])
            .arg("serve")
            .env("KILLPOINT_STATE", world.state())
            .env("GUEST_SOCKET", &socket)
            .stdin(Stdio::null())
            .spawn()
            .expect("the daemon starts");
        let daemon = Daemon { child, _directory: directory };
        while !socket.exists() {
            std::thread::yield_now();
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_fork_bomb_and_a_full_disk_are_named() {
    for (name, words) in
        [("fork-forever", ["threads", "in time"]), ("fill-disk", ["space", "in time"])]
    {
        let guest = Guest::named(name).expect("a row");
        let explored = explore(guest, &[], true);
        let said = &explored.report.explanation;
        assert!(words.iter().any(|word| said.contains(word)), "{}", explored.summary());
    }
}
