//! What the built-in oracle says of small programs, with nothing to go by but their files.

use crate::support::{Explored, World, explored, succeed};
use killpoint_model::{Class, Outcome};
use std::fs;

/// A world whose state holds these files.
fn world(files: &[(&str, &str)]) -> World {
    let world = World::new();
    for (path, contents) in files {
        let path = world.state().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, contents).expect("written");
    }
    world
}

/// Explores a script of the shell that begins in the state directory.
fn explore(world: &World, flags: &[&str], script: &str) -> Explored {
    let script = format!("set -e\ncd \"$KILLPOINT_STATE\"\n{script}");
    explored(world.explore_json().args(flags).args(["--", "bash", "-c", &script]))
}

#[test]
fn live_kills_hit_documents_whose_names_vary() {
    for script in [
        r#"n=$(cat /proc/sys/kernel/random/uuid); printf '{"note":"hello"}' >$n.json"#,
        r#"n=$(cat /proc/sys/kernel/random/uuid); mkdir $n; printf '{"n":"'$n'"}' >$n/$n.json"#,
    ] {
        let world = world(&[("first.json", "[1]")]);
        let explored = explore(&world, &[], script);
        explored.expect(Outcome::Violated);
        let report = &explored.report;
        assert!(report.unknown.is_empty(), "{}", explored.summary());
        let finding = &report.findings[0];
        assert_eq!(finding.class, Class::Torn, "{}", explored.summary());
        let confirmed = (finding.confirmed.hits, finding.confirmed.tries);
        assert_eq!(confirmed, (1, 1), "{}", explored.summary());
        let run = format!("{}/{}", world.only_run().display(), finding.number);
        assert!(succeed(world.killpoint().args(["replay", &run])).contains("hit 1 of 1"));
    }
}
