use super::*;
use killpoint_model::report::{CampaignReport, TrialReport, UnknownCount};
use killpoint_model::verdict::{Class, Judgement, Reason, Verdict};

fn report(run: &str, result: Outcome) -> Report {
    Report { run: run.to_owned(), result, ..Report::empty() }
}

fn trial(trial: u64, verdict: Option<Class>) -> TrialReport {
    let judgement = verdict.map_or_else(Judgement::held, |class| Judgement::violated(class, "x"));
    let document = serde_json::json!({
        "trial": trial, "attempt": 1, "rule": if trial == 0 { "" } else { "kill" },
        "strikes": [], "fired": 1, "acknowledged": 1, "judgement": judgement, "replay": "",
        "seconds": 0.0,
    });
    serde_json::from_value(document).expect("a trial's report")
}

fn of_scenario(run: &str, violated: usize, trials: u64, recoveries_us: &[u64]) -> Report {
    let kinds = (0..=trials).map(|number| {
        let is_violated = number > 0 && number <= violated as u64;
        trial(number, is_violated.then_some(Class::Lost))
    });
    let campaign = CampaignReport {
        title: "notes".to_owned(),
        trials: kinds.collect(),
        recoveries_us: recoveries_us.iter().map(|good| (0, *good)).collect(),
        ..CampaignReport::default()
    };
    let result = if violated > 0 { Outcome::Violated } else { Outcome::Pass };
    Report { campaign: Some(campaign), ..report(run, result) }
}

fn details(comparison: &Comparison, direction: Direction) -> Vec<&str> {
    let changes = comparison.changes.iter().filter(|change| change.direction == direction);
    changes.map(|change| change.detail.as_str()).collect()
}

#[test]
fn a_run_is_not_worse_than_itself() {
    let one = of_scenario("a", 1, 4, &[1_000; 9]);
    let comparison = Comparison::of(&one, &one).expect("alike");
    assert!(!comparison.is_worse());
    assert!(details(&comparison, Direction::Better).is_empty());
    assert!(human(&comparison).ends_with("\n  not worse than before\n"));
}

#[test]
fn shares_of_violated_trials_are_compared_and_not_numbers() {
    let (one, other) = (of_scenario("a", 1, 4, &[]), of_scenario("b", 2, 8, &[]));
    assert!(!Comparison::of(&one, &other).expect("alike").is_worse());
    let worse = Comparison::of(&one, &of_scenario("c", 3, 8, &[])).expect("alike");
    assert_eq!(
        details(&worse, Direction::Worse),
        ["kill: violated (lost) 1 of 4, now 3 of 8"],
        "{worse:#?}"
    );
    let better = Comparison::of(&one, &of_scenario("c", 0, 4, &[])).expect("alike");
    assert!(!better.is_worse());
    assert_eq!(details(&better, Direction::Better)[0], "violated, now pass");
}

#[test]
fn a_failure_that_was_tried_again_counts_once() {
    let one = of_scenario("a", 1, 4, &[]);
    let mut other = of_scenario("b", 1, 4, &[]);
    let trials = &mut other.campaign.as_mut().expect("trials").trials;
    let again = TrialReport { rerun_of: Some(1), ..trials[1].clone() };
    trials.extend([again.clone(), again]);
    let comparison = Comparison::of(&one, &other).expect("alike");
    assert!(!comparison.is_worse(), "{comparison:#?}");
    let same = details(&comparison, Direction::Same);
    assert!(same.contains(&"kill: violated (lost) 1 of 4, now 1 of 4"), "{same:?}");
}

#[test]
fn recovery_is_worse_only_where_it_is_by_much_and_was_seen_often() {
    let with = |us: u64, count: usize| of_scenario("a", 0, 1, &vec![us; count]);
    let is_worse =
        |one: &Report, other: &Report| Comparison::of(one, other).expect("alike").is_worse();
    assert!(is_worse(&with(100_000, 9), &with(130_000, 9)));
    assert!(!is_worse(&with(100_000, 9), &with(110_000, 9)), "by little");
    assert!(!is_worse(&with(1_000, 9), &with(3_000, 9)), "milliseconds");
    assert!(!is_worse(&with(100_000, 9), &with(900_000, 3)), "too few");
    assert!(!is_worse(&with(130_000, 9), &with(100_000, 9)));
}

#[test]
fn a_rule_without_trials_any_more_is_worse() {
    let one = of_scenario("a", 0, 2, &[]);
    let other = of_scenario("b", 0, 0, &[]);
    assert!(Comparison::of(&one, &other).expect("alike").is_worse());
}

#[test]
fn unknowns_count_by_their_reason() {
    let with = |count: u64| {
        let unknown = vec![UnknownCount { reason: Reason::NoOracle, detail: String::new(), count }];
        Report { unknown, ..report("a", Outcome::Unknown) }
    };
    let comparison = Comparison::of(&with(2), &with(3)).expect("alike");
    assert_eq!(details(&comparison, Direction::Worse), ["no-oracle: 2, now 3"]);
    let mended = Comparison::of(&with(2), &report("b", Outcome::Pass)).expect("alike");
    assert!(details(&mended, Direction::Better).contains(&"no-oracle: 2, now 0"));
}

#[test]
fn unlike_runs_are_refused() {
    let explored = report("a", Outcome::Pass);
    let scenario = of_scenario("b", 0, 1, &[]);
    let refused =
        |one: &Report, other: &Report| Comparison::of(one, other).expect_err("unlike").to_string();
    assert!(
        refused(&explored, &scenario)
            .contains("a and b cannot be compared: the one is of `explore`")
    );
    let mut other = scenario.clone();
    other.campaign.as_mut().expect("trials").title = "tasks".to_owned();
    assert!(refused(&scenario, &other).contains("different scenarios, `notes` and `tasks`"));
    assert!(refused(&explored, &report("c", Outcome::Interrupted)).contains("c was interrupted"));
}

#[test]
fn a_verdict_of_the_worse_kind_is_worse() {
    assert_eq!(result(Outcome::Pass, Outcome::Vacuous).direction, Direction::Worse);
    assert_eq!(result(Outcome::Violated, Outcome::Unknown).direction, Direction::Better);
    assert_eq!(Verdict::Held.to_string(), "held");
}

#[test]
fn an_interpreter_is_not_the_program_that_it_runs() {
    let of = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        program(&words)
    };
    assert_eq!(of(&["/usr/bin/python3.11", "-u", "a/save.py", "--fast"]), "python3.11 save.py");
    assert_eq!(of(&["python3", "-m", "store.main"]), "python3 store.main");
    assert_ne!(of(&["python3", "save.py"]), of(&["python3", "save2.py"]));
    assert_eq!(of(&["python3", "/a/save.py"]), of(&["python3", "/b/save.py", "x"]));
    assert_eq!(of(&["sh", "-c", "echo 1 > a"]), of(&["sh", "-c", "echo 2 > a"]));
    assert_eq!(of(&["target/a/store", "add"]), of(&["target/b/store", "--sync", "remove"]));
    assert_eq!(of(&[]), "");
}
