use super::*;

fn case(run: &str, time: &str, by: By, what: &str, words: &str) -> Case {
    Case {
        seen: Seen { run: run.to_owned(), time: time.to_owned(), commit: None },
        what: what.to_owned(),
        by,
        words: words.to_owned(),
        example: format!("{run}: {words}"),
        replay: format!("killpoint replay {run}/1"),
    }
}

#[test]
fn lines_that_differ_in_numbers_are_one_group_with_its_first_and_last() {
    let what = "worker died: SIGABRT";
    let line = |run: &str, time: &str, number: u32| {
        let words = format!("panicked at src/store.rs:7:3: cannot write page {number} of notes");
        case(run, time, By::LogTemplate, what, &words)
    };
    let other = case("b", "2", By::LogTemplate, what, "fatal: no space is left on the device");
    let groups = group(vec![line("a", "1", 4), line("b", "2", 17), other, line("c", "3", 9)]);
    assert_eq!(groups.len(), 2, "{groups:#?}");
    assert_eq!((groups[0].count, groups[0].runs), (3, 3));
    assert_eq!((groups[0].first.run.as_str(), groups[0].last.run.as_str()), ("a", "c"));
    assert_eq!(groups[0].common, "panicked at src/store.rs:7:3: cannot write page <*> of notes");
    assert_eq!(groups[0].replay, "killpoint replay a/1");
}

#[test]
fn the_same_words_of_another_death_are_another_group() {
    let one = case("a", "1", By::LogTemplate, "worker died: SIGABRT", "error: gone");
    let other = case("a", "1", By::LogTemplate, "worker died: exit status 1", "error: gone");
    assert_eq!(group(vec![one, other]).len(), 2);
}

#[test]
fn stacks_are_grouped_by_their_frames_alone() {
    let frames = "notes!save < notes!main";
    let one = case("a", "1", By::Stack, "notes died: SIGSEGV", frames);
    let same = case("b", "2", By::Stack, "notes died: SIGSEGV", frames);
    let other = case("b", "2", By::Stack, "notes died: SIGSEGV", "notes!load < notes!main");
    let groups = group(vec![one, same, other]);
    assert_eq!(groups.iter().map(|group| group.count).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(groups[0].by, By::Stack);
}

#[test]
fn nothing_is_nothing() {
    let triage = Triage {
        version: 1,
        runs: vec!["a".to_owned()],
        cases: 0,
        omitted: 0,
        groups: group(vec![]),
    };
    assert_eq!(human(&triage), "  nothing went wrong in 1 run\n");
}
