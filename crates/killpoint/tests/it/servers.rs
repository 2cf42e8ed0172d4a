//! Real servers under the shipped scenarios: what each promises at its durability setting is what is found when its
//! processes are killed, and when the power is cut.
//!
//! Each test has ports and directories of its own, and ends only what it started: the servers run below a supervisor.

use crate::scenarios::run;
use crate::support::{Explored, World, explored, repository};
use killpoint_model::report::{CampaignReport, Report};
use killpoint_model::{Class, CrashModel, Outcome, Verdict};
use std::fs;
use std::net::TcpListener;
use std::path::Path;

/// A port that nobody listens at.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A shipped scenario at ports of its own; the nightly command asks for its nightly tier.
fn shipped(name: &str, ports: &[&str]) -> (Report, CampaignReport) {
    let world = World::new();
    let path = repository().join("scenarios").join(format!("{name}.yaml"));
    let mut arguments = Vec::new();
    for port in ports {
        arguments.extend(["--set".to_owned(), format!("{port}={}", free_port())]);
    }
    let tier = std::env::var("KILLPOINT_TEST_TIER").unwrap_or_else(|_| "local".to_owned());
    arguments.extend(["--tier".to_owned(), tier]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let report = run(&world, path.to_str().expect("a text"), &arguments);
    let campaign = report.campaign.clone().unwrap_or_else(|| panic!("no trials: {report:#?}"));
    for trial in &campaign.trials {
        assert!(trial.acknowledged > 0, "{name}: nothing was promised: {trial:#?}");
    }
    (report, campaign)
}

fn expect_pass(name: &str, ports: &[&str]) {
    let (report, campaign) = shipped(name, ports);
    assert_eq!(report.result, Outcome::Pass, "{name}: {campaign:#?}");
    assert!(campaign.trials[1..].iter().all(|trial| trial.fired > 0), "{name}: {campaign:#?}");
}

/// Whether every bad trial of a rule is a loss; how many are.
fn losses(campaign: &CampaignReport, rule: &str) -> usize {
    let of_rule = campaign.trials.iter().filter(|trial| trial.rule == rule);
    of_rule
        .filter(|trial| match &trial.judgement.verdict {
            Verdict::Held => false,
            Verdict::Violated(Class::Lost) => true,
            other => panic!("{other}: {trial:#?}"),
        })
        .count()
}

#[test]
fn redis_that_syncs_before_it_answers_holds_under_kills() {
    expect_pass("redis-always", &["port"]);
}

#[test]
fn redis_that_syncs_every_second_loses_under_kills_at_most_what_meets_a_sync() {
    let (report, campaign) = shipped("redis-everysec", &["port"]);
    let lost = losses(&campaign, "server");
    let expected = if lost == 0 { Outcome::Pass } else { Outcome::Violated };
    assert_eq!(report.result, expected, "{campaign:#?}");
    assert!(lost < campaign.trials.len() - 1, "not every kill meets a sync: {campaign:#?}");
}

#[test]
fn redis_that_syncs_every_second_to_a_slow_disk_loses_acknowledged_writes_under_kills() {
    let (report, campaign) = shipped("redis-everysec-slow-disk", &["port"]);
    assert_eq!(report.result, Outcome::Violated, "{campaign:#?}");
    assert!(losses(&campaign, "server") > 0, "{campaign:#?}");
}

#[test]
fn postgres_with_synchronous_commit_holds_under_kills_of_any_of_its_processes() {
    expect_pass("postgres-on", &["port"]);
}

#[test]
fn postgres_without_synchronous_commit_loses_acknowledged_commits_under_kills() {
    let (report, campaign) = shipped("postgres-off", &["port"]);
    assert_eq!(report.result, Outcome::Violated, "{campaign:#?}");
    assert!(losses(&campaign, "postmaster") > 0, "{campaign:#?}");
    for rule in ["backend", "checkpointer"] {
        losses(&campaign, rule);
    }
}

#[test]
fn etcd_holds_under_kills() {
    expect_pass("etcd", &["port", "peer-port"]);
}

/// Explores a Redis that is written to five times.
fn cut_power(appendfsync: &str, models: &str) -> Explored {
    let world = World::new();
    let port = free_port().to_string();
    let driver = format!(
        "for n in 1 2 3 4 5; do
             echo \"I key-$n v$n\" >> \"$KILLPOINT_JOURNAL\"
             [ \"$(redis-cli -p {port} SET key-$n v$n)\" = OK ] && echo \"A key-$n\" >> \"$KILLPOINT_JOURNAL\"
         done"
    );
    let checker = repository().join("scenarios/servers/redis.py");
    let mut command = world.explore_json();
    command.args(["--model", models, "--acks", "power-loss", "--driver", &driver, "--check"]);
    command.arg(format!("python3 -B {} check", Path::new(&checker).display()));
    command.args([
        "--",
        "redis-server",
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--dir",
        "{state}",
    ]);
    command.args(["--appendonly", "yes", "--appendfsync", appendfsync, "--save", ""]);
    explored(&mut command)
}

#[test]
fn redis_that_syncs_before_it_answers_keeps_that_over_a_power_cut() {
    let explored = cut_power("always", "prefix,data");
    explored.expect(Outcome::Pass);
}

#[test]
fn redis_that_syncs_every_second_loses_acknowledged_writes_in_a_power_cut() {
    let explored = cut_power("everysec", "prefix,data");
    explored.expect(Outcome::Violated);
    let classes: Vec<Class> = explored.report.findings.iter().map(|it| it.class).collect();
    assert!(classes.contains(&Class::AckedNotDurable), "{}", explored.summary());
}

#[test]
fn redis_does_not_start_on_a_file_that_grew_without_its_data() {
    let explored = cut_power("always", "size");
    explored.expect(Outcome::Violated);
    assert!(explored.violated(CrashModel::Size) > 0, "{}", explored.summary());
    let classes: Vec<Class> = explored.report.findings.iter().map(|it| it.class).collect();
    assert!(classes.iter().all(|class| *class == Class::Unopenable), "{}", explored.summary());
}

#[test]
fn the_scenarios_of_servers_all_have_a_test() {
    let own = fs::read_to_string(repository().join("crates/killpoint/tests/it/servers.rs"));
    let own = own.expect("this file");
    for entry in fs::read_dir(repository().join("scenarios")).expect("readable").flatten() {
        let name = entry.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if entry.path().is_file() && !name.starts_with("notes-") {
            assert!(own.contains(&format!("\"{name}\"")), "scenarios/{name}.yaml has no test");
        }
    }
}
