//! What a killed run has left, judged by its own recording with what an undisturbed one knows.

use super::world::{World, letter};
use crate::asserter::oracle::Crash;

/// The verdict on what `killed` has left. `counterparts` says which operation of `reference` each of its own was.
fn check(killed: &World, reference: &World, counterparts: &[(u64, u64)], expect: char) {
    let oracle = killed.learn_killed(reference, counterparts);
    let crash = Crash { recorded_beyond: false, ..Crash::kill(killed.end()) };
    let judged = oracle.judge(&killed.state(killed.end()), &crash);
    assert_eq!(letter(&judged), expect, "{}", judged.judgement.detail);
}

/// Two programs at once, of which each rewrites a document in place by two writes.
fn two(files: &[(&str, &str)]) -> World {
    let mut world = World::with(files);
    world.overwrite("a.json", "{\"a\":", "2}").overwrite("b.json", "{\"b\":", "2}");
    world
}

const TWO: &[(&str, &str)] = &[("a.json", "{\"a\":1}"), ("b.json", "{\"b\":1}")];

#[test]
fn half_a_save_is_no_version_though_the_recording_ends_there() {
    let reference = two(TWO);
    for (first, second, expect) in [("", "", 'L'), ("{\"a\":", "", 'T'), ("{\"a\":", "2}", '.')] {
        let mut killed = World::with(TWO);
        killed.overwrite("b.json", "{\"b\":", "2}").resize("a.json", 0);
        let mut counterparts = vec![(1, 4), (2, 5), (3, 6), (4, 1)];
        for (text, own, theirs) in [(first, 5, 2), (second, 6, 3)] {
            if !text.is_empty() {
                killed.append("a.json", text);
                counterparts.push((own, theirs));
            }
        }
        check(&killed, &reference, &counterparts, expect);
    }
}

#[test]
fn a_file_that_is_new_is_a_document_where_the_other_run_left_one() {
    let mut reference = World::with(&[]);
    reference.create("a.json").append("a.json", "{\"a\":").append("a.json", "1}");
    let mut killed = World::with(&[]);
    killed.create("a.json");
    check(&killed, &reference, &[(1, 1)], 'T');
    killed.append("a.json", "{\"a\":");
    check(&killed, &reference, &[(1, 1), (2, 2)], 'T');
    killed.append("a.json", "7}");
    check(&killed, &reference, &[(1, 1), (2, 2), (3, 3)], '.');
}

#[test]
fn bytes_that_vary_are_known_by_the_change_that_completes_them() {
    let mut reference = World::with(&[("d.dat", "AAAAAAAA")]);
    reference.write("d.dat", 0, b"1111").write("d.dat", 4, b"1111");
    let mut killed = World::with(&[("d.dat", "AAAAAAAA")]);
    killed.write("d.dat", 0, b"2222");
    check(&killed, &reference, &[(1, 1)], '?');
    killed.write("d.dat", 4, b"2222");
    check(&killed, &reference, &[(1, 1), (2, 2)], '.');
    let mut synced = World::with(&[("d.dat", "AAAAAAAA")]);
    synced.write("d.dat", 0, b"1111").sync("d.dat").write("d.dat", 4, b"1111");
    let mut killed = World::with(&[("d.dat", "AAAAAAAA")]);
    killed.write("d.dat", 0, b"2222");
    check(&killed, &synced, &[(1, 1)], '.');
}

#[test]
fn contents_of_the_other_run_hold() {
    let reference = two(TWO);
    let mut killed = World::with(TWO);
    // By a change that was no last one there.
    killed.write("a.json", 0, b"{\"a\":2}");
    check(&killed, &reference, &[(1, 2)], '.');
    let mut killed = World::with(TWO);
    killed.write("a.json", 0, b"{\"a\":3}");
    check(&killed, &reference, &[(1, 2)], '?');
}

#[test]
fn a_document_that_is_away_for_a_while_is_not_gone_for_good() {
    let mut reference = World::with(TWO);
    reference.unlink("a.json").create("a.json").append("a.json", "{}").unlink("b.json");
    let mut killed = World::with(TWO);
    killed.unlink("b.json");
    check(&killed, &reference, &[(1, 4)], '.');
    killed.unlink("a.json");
    check(&killed, &reference, &[(1, 4), (2, 1)], '?');
}

#[test]
fn the_first_half_of_a_version_is_torn_in_a_format_that_does_not_show_its_end() {
    let begin = &[("a.yaml", "a: 1\nb: 1\n")];
    let mut reference = World::with(begin);
    reference.overwrite("a.yaml", "a: 2\n", "b: 2\n");
    for (text, expect) in [("a: 2\n", 'T'), ("a: 3\n", '?')] {
        let mut killed = World::with(begin);
        killed.resize("a.yaml", 0).append("a.yaml", text);
        check(&killed, &reference, &[(1, 1), (2, 2)], expect);
    }
}

#[test]
fn what_the_other_run_does_not_judge_is_not_judged_half_made() {
    let begin = &[("a.json", "{}"), ("a.json.tmp", "{\"left\":1}")];
    let mut reference = World::with(begin);
    reference.resize("a.json.tmp", 0).append("a.json.tmp", "{\"a\":").append("a.json.tmp", "1}");
    reference.rename("a.json.tmp", "a.json");
    let mut killed = World::with(begin);
    killed.resize("a.json.tmp", 0).append("a.json.tmp", "{\"a\":");
    check(&killed, &reference, &[(1, 1), (2, 2)], '.');
}

#[test]
fn a_link_that_is_moved_and_away_is_not_gone_for_good() {
    let mut begun = World::with(&[]);
    begun.directory("1").create("1/a.json").append("1/a.json", "{}").link("current", "1");
    let mut killed = begun.begins_here();
    killed.unlink("current");
    let mut begun = World::with(&[]);
    begun.directory("1").create("1/a.json").append("1/a.json", "{}").link("current", "1");
    let mut reference = begun.begins_here();
    reference.directory("2").create("2/a.json").append("2/a.json", "{}");
    reference.unlink("current").link("current", "2");
    check(&killed, &reference, &[(1, 4)], '?');
}
