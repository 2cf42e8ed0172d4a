//! Applying the log gives the real directory, whatever the program did.

use crate::support::{World, explored, guests_directory};
use killpoint_model::Outcome;
use killpoint_model::seed::{Generator, Seed};

/// How many random programs are tried; the nightly command asks for more.
fn programs() -> usize {
    std::env::var("KILLPOINT_TEST_PROGRAMS").map_or(12, |text| text.parse().expect("a number"))
}

fn the_log_gives_the_real_directory(words: &[&str]) {
    let world = World::new();
    let mut command = world.explore_json();
    command.args(["--model", "kill", "--check", "true", "--"]);
    command.arg(guests_directory().join(words[0])).args(&words[1..]);
    let explored = explored(&mut command);
    explored.expect(Outcome::Pass);
    let differs = |reason: &str| reason.contains("differs from the real one");
    assert!(
        !explored.report.not_covered.iter().any(|gap| differs(&gap.reason)),
        "{words:?}: {}",
        explored.summary()
    );
}

#[test]
fn of_one_of_each_operation() {
    the_log_gives_the_real_directory(&["every-operation"]);
}

#[test]
fn of_random_operations() {
    let mut generator = Generator::new(Seed(7));
    for _ in 0..programs() {
        let seed = generator.below(1_000_000).to_string();
        the_log_gives_the_real_directory(&["random-operations", &seed, "200"]);
    }
}
