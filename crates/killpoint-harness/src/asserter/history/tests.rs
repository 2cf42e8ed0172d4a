use super::*;
use killpoint_model::verdict::Verdict;
use serde_json::json;

mod model;

const POWER_LOSS: Promise = Promise::PowerLoss { plain_acks_count: false };
const POWER_LOSS_PLAIN: Promise = Promise::PowerLoss { plain_acks_count: true };

fn store(json: Json) -> Store {
    serde_json::from_value(json).expect("an object")
}

fn history(lines: &str, initial: Json) -> (History, u64) {
    let text: String = lines.split('|').map(|line| format!("{}\n", line.trim_start())).collect();
    let text = if lines.is_empty() { String::new() } else { text };
    let journal = Journal::parse(text.as_bytes()).expect(lines);
    let history = History::new(&journal, 0, store(initial)).expect("a start that fits");
    (history, text.len() as u64)
}

fn judge(lines: &str, initial: Json, shown: Json, promise: Promise) -> Judgement {
    let (history, length) = history(lines, initial);
    history.judge(&store(shown), length, promise)
}

/// Lines are separated by `|`; the expectation is a verdict as it is displayed.
fn check(lines: &str, initial: Json, shown: Json, promise: Promise, expect: &str) {
    let judgement = judge(lines, initial.clone(), shown.clone(), promise);
    let verdict = judgement.verdict.to_string();
    let case = format!("{lines} from {initial} to {shown}: {}", judgement.detail);
    assert!(verdict == expect || verdict == format!("violated ({expect})"), "{verdict}: {case}");
    assert_eq!(judgement.detail.is_empty(), expect == "held", "{case}");
}

fn kill(lines: &str, initial: Json, shown: Json, expect: &str) {
    check(lines, initial, shown, Promise::Kill, expect);
}

#[test]
fn a_draft_may_be_shown_until_what_was_intended_after_it_is_promised() {
    let none = || json!({});
    let d = || json!({"k": "d"});
    kill("D k d", none(), none(), "held");
    kill("D k d", none(), d(), "held");
    kill("D k d|D k e", none(), d(), "held");
    kill("D k d", none(), json!({"k": "x"}), "extra");
    kill("D k d", none(), json!({"j": "d"}), "extra");
    kill("D k d", json!({"k": "0"}), d(), "held");
    kill("D k d", json!({"k": "0"}), none(), "lost");
    kill("I k 1|A k|D k d", none(), d(), "held");
    kill("I k 1|A k|D k d", none(), json!({"k": "1"}), "held");
    kill("I k 1|A k|D k d", none(), none(), "lost");
    kill("D k d|I k 1", none(), d(), "held");
    kill("D k d|I k 1|A k", none(), d(), "wrong");
    kill("D k d|I #1 k = 1|A #1", none(), d(), "wrong");
    kill("D k d|I k 1|A k|D k e", none(), json!({"k": "e"}), "held");
    check("D k d|I k 1|A k", none(), d(), POWER_LOSS, "held");
    check("D k d|I k 1|A! k", none(), d(), POWER_LOSS, "wrong");
}

#[test]
fn a_draft_is_open_until_it_is_being_saved_and_restored_where_it_is_shown() {
    let counted = |lines: &str, shown: Json| {
        let judgement = judge(lines, json!({}), shown, Promise::Kill);
        (judgement.drafts_open, judgement.drafts_restored)
    };
    assert_eq!(counted("D k d", json!({"k": "d"})), (1, 1));
    assert_eq!(counted("D k d|D k e", json!({"k": "d"})), (1, 1));
    assert_eq!(counted("D k d|D j e", json!({"j": "e"})), (2, 1));
    assert_eq!(counted("D k d", json!({})), (1, 0));
    assert_eq!(counted("D k d|I k d", json!({"k": "d"})), (0, 0));
    assert_eq!(counted("D k d|I k 1|A k", json!({"k": "1"})), (0, 0));
}

#[test]
fn a_draft_before_the_start_is_over_once_what_came_after_it_was_promised() {
    let text = "D k d\nI k 1\nA k\nD j e\n";
    let journal = Journal::parse(text.as_bytes()).expect("a journal");
    let start = text.len() as u64;
    let history = History::new(&journal, start, store(json!({"k": "1"}))).expect("fits");
    let verdict = |shown| history.judge(&store(shown), start, Promise::Kill).verdict;
    assert_eq!(verdict(json!({"k": "1", "j": "e"})), Verdict::Held);
    assert_ne!(verdict(json!({"k": "d"})), Verdict::Held);
    let history = History::after_crash(&journal, start, store(json!({"k": "1"}))).expect("fits");
    let judgement = history.judge(&store(json!({"k": "1", "j": "e"})), start, Promise::Kill);
    assert_ne!(judgement.verdict, Verdict::Held, "the first reading did not show it");
}

#[test]
fn the_short_form_allows_the_last_acknowledged_value_or_a_later_one() {
    let none = || json!({});
    kill("", none(), none(), "held");
    kill("", json!({"k": "0"}), json!({"k": 0}), "held");
    kill("I k 1", none(), none(), "held");
    kill("I k 1", none(), json!({"k": "1"}), "held");
    kill("I k 1", json!({"k": "0"}), json!({"k": "0"}), "held");
    kill("I k 1", json!({"k": "0"}), none(), "lost");
    kill("I k 1|A k", none(), none(), "lost");
    kill("I k 1|A k|I k 2", none(), json!({"k": "2"}), "held");
    kill("I k 1|A k|I k 2", none(), json!({"k": "1"}), "held");
    kill("I k 1|A k|I k 2|A k", none(), json!({"k": "1"}), "lost");
    kill("I k 1|I k 2|A k", none(), json!({"k": "1"}), "lost");
    kill("I k 1|A k|I k 2|I k 3", none(), json!({"k": "2"}), "held");
    kill("I k 1|A k|I k 2|A k|I k 1", none(), json!({"k": "1"}), "held");
    kill("I k 1|A k", json!({"k": "0"}), json!({"k": "0"}), "lost");
    kill("I k 1|A k", none(), json!({"k": "9"}), "wrong");
    kill("I k 1|A k", none(), json!({"k": "1", "j": "1"}), "extra");
    kill("I k 1", json!({"j": "x"}), json!({"j": "y"}), "wrong");
    kill("I k 1", json!({"j": "xyz"}), json!({"j": "xy"}), "torn");
    kill("I k 1", json!({"j": "xyz"}), json!({"j": ""}), "lost");
    kill("I k 1", json!({"j": "xyz"}), json!({}), "lost");
    kill("I k true|A k", none(), json!({"k": true}), "held");
    kill("I k 1.50|A k", none(), json!({"k": 1.5}), "held");
}

#[test]
fn a_deletion_is_a_value_like_any_other() {
    let one = || json!({"k": "1"});
    kill("I k -", one(), json!({}), "held");
    kill("I k -", one(), one(), "held");
    kill("I k -|A k", one(), one(), "lost");
    kill("I k -|A k|I k 2", one(), json!({"k": "2"}), "held");
    kill("I k %2D|A k", one(), json!({"k": "-"}), "held");
    kill("I k %2D|A k", one(), json!({}), "lost");
}

#[test]
fn a_value_in_part_is_torn() {
    let old = || json!({"k": "old text"});
    kill("I k new%20words|A k", old(), json!({"k": "new"}), "torn");
    kill("I k new%20words", old(), json!({"k": "new wordsxt"}), "torn");
    kill("I k new%20text", old(), json!({"k": "new\0\0\0\0\0"}), "torn");
    kill("I k NEW%20TEXT", old(), json!({"k": "NEW text"}), "torn");
    kill("I k new%20words", old(), json!({"k": "something"}), "wrong");
    kill("I k new%20words|A k", old(), json!({"k": ""}), "lost");
    kill("I k new", json!({}), json!({"k": ""}), "wrong");
    kill("I k new", old(), json!({"k": ""}), "lost");
}

#[test]
fn a_digest_stands_for_its_value() {
    let line = format!("I k {}|A k", crate::asserter::journal::Value::digest_of("hello"));
    kill(&line, json!({}), json!({"k": "hello"}), "held");
    kill(&line, json!({}), json!({"k": "hello!"}), "wrong");
    kill(&line, json!({}), json!({}), "lost");
    kill(&format!("{line}|I k x"), json!({}), json!({"k": "x"}), "held");
    let append = line.replace("I k", "I #1 k >>").replace("A k", "A #1");
    kill(&append, json!({}), json!({"k": ["hello"]}), "held");
    kill(&format!("{append}|I #2 k >> hello"), json!({}), json!({"k": ["hello", "hello"]}), "held");
}

#[test]
fn concurrent_sets_may_end_either_way_and_ordered_ones_may_not() {
    let (x, y) = (json!({"k": "x"}), json!({"k": "y"}));
    let concurrent = "I #1 k = x|I #2 k = y|A #1 #2";
    kill(concurrent, json!({}), x.clone(), "held");
    kill(concurrent, json!({}), y.clone(), "held");
    kill(concurrent, json!({}), json!({}), "lost");
    let ordered = "I #1 k = x|A #1|I #2 k = y|A #2";
    kill(ordered, json!({}), x.clone(), "lost");
    kill(ordered, json!({}), y.clone(), "held");
    kill("I #1 k = x|I #2 k = y|A #2", json!({}), x.clone(), "held");
    kill("I #1 k = x|F #1", json!({}), x.clone(), "wrong");
    kill("I #1 k = x|F #1", json!({}), json!({}), "held");
    kill("I k x|I #2 k = y|A k #2", json!({}), x, "held");
    kill("I k x|I #2 k = y|A k #2", json!({}), y, "held");
}

#[test]
fn what_is_there_twice_is_not_lost() {
    let lines = "I #1 n + 1|A #1|I #2 n + 2|A #2";
    let keys_lost =
        |shown| judge(lines, json!({"n": 5}), json!({"n": shown}), Promise::Kill).keys_lost;
    assert_eq!((keys_lost(9), keys_lost(6)), (0, 1));
}

#[test]
fn each_addition_counts_once() {
    let sum = |value: i64| json!({"n": value});
    let lines = "I #1 n + 1|A #1|I #2 n + 2|A #2|I #3 n + 10";
    kill(lines, sum(5), sum(8), "held");
    kill(lines, sum(5), sum(18), "held");
    kill(lines, sum(5), json!({"n": "8"}), "held");
    kill(lines, sum(5), sum(6), "lost");
    kill(lines, sum(5), sum(5), "lost");
    kill(lines, sum(5), sum(9), "duplicated");
    kill(lines, sum(5), sum(28), "duplicated");
    kill(lines, sum(5), sum(500), "wrong");
    kill(lines, sum(5), json!({"n": "many"}), "wrong");
    kill(lines, sum(5), json!({}), "lost");
    kill("I #1 n + 1|F #1", sum(5), sum(6), "wrong");
    kill("I #1 n + 0.1|I #2 n + 0.2|A #1 #2", json!({}), json!({"n": 0.1 + 0.2}), "held");
    kill("I #1 n + 1", json!({}), json!({"n": 0}), "held");
    kill("I #1 n + 1|A #1|I #2 n = 7|A #2|I #3 n + 1|A #3", sum(1), sum(8), "held");
    kill("I #1 n + 1|A #1|I #2 n = 7|A #2|I #3 n + 1|A #3", sum(1), sum(9), "duplicated");
    kill("I #1 n + 1|A #1|I #2 n = 7|A #2|I #3 n + 1|A #3", sum(1), sum(7), "lost");
}

#[test]
fn each_element_is_there_once_and_in_order() {
    let list = |elements: &[&str]| json!({"l": elements});
    let lines = "I #1 l >> a|A #1|I #2 l >> b|I #3 l >> c|A #2 #3|I #4 l >> d";
    kill(lines, list(&["0"]), list(&["0", "a", "b", "c"]), "held");
    kill(lines, list(&["0"]), list(&["0", "a", "c", "b", "d"]), "held");
    kill(lines, list(&["0"]), list(&["0", "b", "a", "c"]), "wrong");
    kill(lines, list(&["0"]), list(&["0", "a", "d", "b", "c"]), "wrong");
    kill(lines, list(&["0"]), list(&["0", "a", "c"]), "lost");
    kill(lines, list(&["0"]), list(&["a", "b", "c"]), "lost");
    kill(lines, list(&["0"]), list(&["0", "a", "b", "b", "c"]), "duplicated");
    kill(lines, list(&["0"]), list(&["0", "a", "b", "c", "e"]), "wrong");
    kill("I #1 l >> hello|A #1", list(&[]), list(&["hel"]), "torn");
    kill("I #1 l >> hello|A #1", list(&[]), list(&[]), "lost");
    kill("I #1 l >> hello", json!({}), list(&[]), "held");
    kill("I #1 l >> hello|A #1", json!({}), json!({"l": "oops"}), "wrong");
    kill("I #1 l >> a|A #1|I l -|A l", list(&["0"]), json!({}), "held");
    kill("I #1 l >> a|A #1|I l []|A l|I #2 l >> b", list(&["0"]), list(&["b"]), "held");
}

#[test]
fn a_transaction_is_whole_or_not_there() {
    let both = "I #1 a = 1|I #1 b = 1";
    kill(both, json!({}), json!({}), "held");
    kill(both, json!({}), json!({"a": 1, "b": 1}), "held");
    kill(both, json!({}), json!({"a": 1}), "torn");
    kill(&format!("{both}|A #1"), json!({}), json!({"a": 1}), "lost");
    let transfer = "I #1 a + -5|I #1 b + 5";
    let start = || json!({"a": 10, "b": 0});
    kill(transfer, start(), json!({"a": 5, "b": 5}), "held");
    kill(transfer, start(), json!({"a": 5, "b": 0}), "torn");
    kill(transfer, start(), json!({"a": 10, "b": 0}), "held");
    let crossed = "I #1 a = 1|I #1 b = 1|I #2 a = 2|I #2 b = 2|A #1 #2";
    kill(crossed, json!({}), json!({"a": 2, "b": 2}), "held");
    kill(crossed, json!({}), json!({"a": 2, "b": 1}), "torn");
}

#[test]
fn after_a_power_cut_only_durable_acknowledgements_promise() {
    let lines = "I k 1|A! k|I k 2|A k";
    let shown = |value: &str| json!({"k": value});
    check(lines, json!({}), shown("1"), POWER_LOSS, "held");
    check(lines, json!({}), shown("2"), POWER_LOSS, "held");
    check(lines, json!({}), json!({}), POWER_LOSS, "acked-not-durable");
    check(lines, json!({}), shown("1"), POWER_LOSS_PLAIN, "acked-not-durable");
    check(lines, json!({}), shown("1"), Promise::Kill, "lost");
    check("I k 1|A k", shown("0"), json!({}), POWER_LOSS, "lost");
    check("I k 1|A k", json!({"j": "0"}), json!({"k": "1"}), POWER_LOSS, "lost");
    check("I #1 n + 1|A! #1", json!({}), json!({}), POWER_LOSS, "acked-not-durable");
    check("I #1 n + 1|A #1", json!({}), json!({}), POWER_LOSS, "held");
    check("I #1 l >> a|A #1|I #2 l >> b|A! #2", json!({}), json!({"l": ["b"]}), POWER_LOSS, "held");
    // The order of what was acknowledged stays.
    let ordered = "I #1 l >> a|A #1|I #2 l >> b|A! #2";
    check(ordered, json!({}), json!({"l": ["b", "a"]}), POWER_LOSS, "wrong");
}

#[test]
fn only_lines_that_end_by_the_given_length_count() {
    let (history, length) = history("I k 1|A k", json!({}));
    let empty = Store::new();
    assert_eq!(history.judge(&empty, length - 1, Promise::Kill).verdict, Verdict::Held);
    assert_ne!(history.judge(&empty, length, Promise::Kill).verdict, Verdict::Held);
    let one = store(json!({"k": 1}));
    assert_eq!(history.judge(&one, 6, Promise::Kill).verdict, Verdict::Held);
    assert_eq!(history.judge(&one, 5, Promise::Kill).verdict, Verdict::Violated(Class::Extra));
    assert_ne!(history.pending(5), history.pending(6));
}

#[test]
fn lines_before_the_start_tell_how_the_store_came_about() {
    let text = "I k 1\nA k\nI k 2\nA k\nI #1 n + 1\nI j old\nR 1\nA #1\nA j\n";
    let journal = Journal::parse(text.as_bytes()).expect("right");
    let start = text.find('R').expect("there") as u64;
    let initial = store(json!({"k": "2", "n": 1}));
    let history = History::new(&journal, start, initial.clone()).expect("fits");
    let check = |upto: u64, shown: Json, expect: Option<Class>| {
        let verdict = history.judge(&store(shown.clone()), upto, Promise::Kill).verdict;
        assert_eq!(verdict, expect.map_or(Verdict::Held, Verdict::Violated), "{shown}");
    };
    let end = text.len() as u64;
    check(start, json!({"k": "2", "n": 1}), None);
    check(start, json!({"k": "2", "n": 2, "j": "old"}), None);
    check(end, json!({"k": "2", "n": 1, "j": "old"}), None);
    check(end, json!({"k": "2", "n": 1}), Some(Class::Lost));
    check(start, json!({"k": "1", "n": 1}), Some(Class::Lost));
    check(start, json!({"n": 1}), Some(Class::Lost));
    let decided = History::after_crash(&journal, start, initial).expect("fits");
    let late = store(json!({"k": "2", "n": 2}));
    assert_ne!(decided.judge(&late, end, Promise::Kill).verdict, Verdict::Held);
}

#[test]
fn what_a_later_acknowledgement_superseded_before_the_start_does_not_come_back() {
    let text = "I k 1\nI k 2\nA k\nI #1 k = 3\nF #1\n";
    let journal = Journal::parse(text.as_bytes()).expect("right");
    let length = text.len() as u64;
    let history = History::new(&journal, length, store(json!({"k": "2"}))).expect("fits");
    let judge = |value| history.judge(&store(json!({"k": value})), length, Promise::Kill).verdict;
    assert_eq!(judge("2"), Verdict::Held);
    assert_eq!(judge("1"), Verdict::Violated(Class::Lost));
    assert_eq!(judge("3"), Verdict::Violated(Class::Wrong));
}

#[test]
fn a_start_that_does_not_fit_the_journal_is_refused() {
    let journal = Journal::parse(b"I #1 n + 1\nI #2 l >> 1\n").expect("right");
    let refuse = |json| History::new(&journal, 0, store(json)).expect_err("unfit").to_string();
    assert!(refuse(json!({"n": "x"})).contains("no decimal number"));
    assert!(refuse(json!({"l": "x"})).contains("no array"));
}

#[test]
fn a_later_reading_must_agree_with_the_first() {
    let first = store(json!({"a": "1", "b": 2}));
    assert_eq!(judge_again(&first, &store(json!({"a": 1, "b": "2"}))), Judgement::held());
    let again = judge_again(&first, &store(json!({"a": "1"})));
    assert_eq!(again.verdict, Verdict::Violated(Class::Lost));
    assert!(again.detail.starts_with("the second opening differs from the first: "));
    let extra = judge_again(&first, &store(json!({"a": "1", "b": 2, "c": 3})));
    assert_eq!(extra.verdict, Verdict::Violated(Class::Extra));
}

#[test]
fn the_judgement_says_what_is_bad_in_words_and_numbers() {
    let value = "x".repeat(1_500);
    let lines: Vec<String> =
        (0..5).map(|index| format!("I old{index} {value}|A old{index}")).collect();
    let lines = lines.join("|");
    let judgement = judge(&lines, json!({}), json!({}), Promise::Kill);
    assert_eq!(
        judgement.detail,
        "5 acknowledged keys (7,500 bytes) are gone: old0, old1, old2, ..."
    );
    assert_eq!((judgement.keys_lost, judgement.bytes_lost), (5, 7_500));
    let details = [
        ("I k hello|A k", json!({}), json!({}), "acknowledged key k (5 bytes) is gone"),
        ("I k 1|A k", json!({}), json!({"k": ""}), "acknowledged key k (1 byte) is empty"),
        (
            "I k 1|A k",
            json!({"k": "0"}),
            json!({"k": "0"}),
            "k holds an older value, `0`, instead of the acknowledged `1`",
        ),
        ("", json!({"k": "abc"}), json!({}), "key k (3 bytes), there before, is gone"),
        (
            "I k -|A k",
            json!({"k": "0"}),
            json!({"k": "0"}),
            "key k, whose deletion was acknowledged, is back: `0`",
        ),
        (
            "I k hello|A k",
            json!({}),
            json!({"k": "hel"}),
            "k is torn: it holds `hel` instead of the acknowledged `hello`",
        ),
        ("I k hello", json!({}), json!({"k": "9"}), "k holds `9`, which was never intended"),
        ("", json!({}), json!({"k": "9"}), "key k is there and was never intended: it holds `9`"),
        (
            "I #1 n + 1|A #1|I #2 n + 2",
            json!({"n": 5}),
            json!({"n": 5}),
            "n lacks what was acknowledged: it is 5, 1 acknowledged addition makes it 6, 1 undecided",
        ),
        (
            "I #1 l >> abc|A #1|I #2 l >> d|A #2",
            json!({}),
            json!({"l": ["d"]}),
            "l lacks what was acknowledged (3 bytes): 1 acknowledged element is missing",
        ),
        (
            "I #1 a = 1|I #1 b = 1",
            json!({}),
            json!({"a": 1}),
            "a transaction is there in part: no order of whole transactions leaves these keys so: a, b",
        ),
        (
            "I a 1|A a|I b 1|A b",
            json!({}),
            json!({"b": "2", "c": "3", "d": "4", "\u{1b}": "5"}),
            "acknowledged key a (1 byte) is gone; b holds `2`, which was never intended, instead of the \
             acknowledged `1`; 3 more keys are bad in other ways",
        ),
    ];
    for (lines, initial, shown, expect) in details {
        assert_eq!(judge(lines, initial, shown, Promise::Kill).detail, expect);
    }
}

#[test]
fn a_long_history_with_few_operations_open_at_once_is_searched() {
    let mut lines = Vec::new();
    let mut expect = Vec::new();
    for index in 0..1_000 {
        lines.push(format!("I #{index} l >> e{index}|I #{index} n + 1|A #{index}"));
        expect.push(format!("e{index}"));
    }
    let lines = lines.join("|");
    kill(&lines, json!({}), json!({"l": expect, "n": 1_000}), "held");
    kill(&lines, json!({}), json!({"l": expect[1..], "n": 1_000}), "lost");
    kill(&lines, json!({}), json!({"l": expect, "n": 1_001}), "duplicated");
    check(&lines, json!({}), json!({"l": expect[..500], "n": 500}), POWER_LOSS, "held");
}

#[test]
fn a_search_that_exceeds_its_bound_is_unknown() {
    let open: Vec<String> =
        (0..130).map(|index| format!("I #{index} a = {index}|I #{index} b = {index}")).collect();
    let lines = open.join("|");
    kill(&lines, json!({}), json!({"a": 1, "b": 2}), "unknown (too-concurrent)");
    let wide: Vec<String> = (0..30)
        .map(|index| format!("I #{index} a + {0}|I #{index} b + {0}", 1u64 << index))
        .collect();
    kill(&wide.join("|"), json!({}), json!({"a": 1, "b": 2}), "unknown (too-concurrent)");
    // What is certain is said all the same.
    kill(&format!("{lines}|I k 1|A k"), json!({}), json!({"a": 1, "b": 2}), "lost");
}

#[test]
fn what_stands_at_both_ends_stands_in_between() {
    let (before, after) =
        (json!({"user": "ann", "n": 1, "old": 1}), json!({"user": "ann", "n": 2, "new": 1}));
    let store = |json: &Json| serde_json::from_value::<Store>(json.clone()).expect("a store");
    for (shown, class, unjudged) in [
        (json!({"user": "ann", "n": 1, "old": 1}), None, &[][..]),
        (json!({"user": "ann", "n": 2}), None, &[]),
        (json!({"user": "ann", "n": 7}), None, &["n"]),
        (json!({"user": "ann", "n": 1, "part": 1}), None, &["part"]),
        (json!({"user": "ann", "n": ""}), Some(Class::Lost), &["n"]),
        (json!({"user": "ann"}), Some(Class::Lost), &[]),
        (json!({"n": 1}), Some(Class::Lost), &[]),
        (json!({"user": "", "n": 1}), Some(Class::Lost), &["user"]),
        (json!({"user": "an", "n": 1}), None, &["user"]),
        (json!({"user": "root", "n": 1}), None, &["user"]),
    ] {
        let (before, after, shown) = (store(&before), store(&after), store(&shown));
        let judgement = judge_between(&before, &after, &shown);
        let violated = class.map_or(Verdict::Held, Verdict::Violated);
        assert_eq!(judgement.verdict, violated, "{shown:?}: {}", judgement.detail);
        assert!(!judgement.detail.contains("intended"), "{}", judgement.detail);
        assert_eq!(unjudged_between(&before, &after, &shown), unjudged, "{shown:?}");
    }
}
