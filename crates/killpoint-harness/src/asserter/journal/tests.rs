use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Journal {
    Journal::parse(text.as_bytes()).expect("a right journal")
}

fn check_fault(text: &str, expect: &str) {
    let error = Journal::parse(text.as_bytes()).expect_err(text).to_string();
    assert!(error.contains(expect), "{text:?}: {error} should say {expect}");
}

fn set(text: &str) -> Change {
    Change::Set(Value::Text(text.to_owned()))
}

#[test]
fn every_kind_of_line_is_read_with_its_offsets() {
    let journal =
        parse("I note1 hello\nA note1\nI #7 sum + 2.5\nA! #7 note1\nR 1\nD note1 x%20y\n");
    let entries: Vec<&Entry> = journal.lines().iter().map(|line| &line.entry).collect();
    let key = || "note1".to_owned();
    assert_eq!(
        entries,
        [
            &Entry::Intend { id: None, key: key(), change: set("hello") },
            &Entry::Acknowledge { names: vec![Name::Key(key())], is_durable: false },
            &Entry::Intend {
                id: Some("7".to_owned()),
                key: "sum".to_owned(),
                change: Change::Add(Amount(2_500_000_000))
            },
            &Entry::Acknowledge {
                names: vec![Name::Id("7".to_owned()), Name::Key(key())],
                is_durable: true
            },
            &Entry::Restart { number: 1 },
            &Entry::Draft { key: key(), change: set("x y") },
        ]
    );
    assert_eq!((journal.lines()[1].start, journal.lines()[1].end), (14, 22));
    assert_eq!(journal.unsealed, None);
}

#[test]
fn changes_are_told_apart_by_operator_and_value() {
    let hex = "a".repeat(64);
    for (line, expect) in [
        ("I k -", Change::Delete),
        ("I k %2D", set("-")),
        ("I k ", set("")),
        ("I k %23", set("#")),
        ("I #1 k = a%0Ab", set("a\nb")),
        ("I #1 k = -", Change::Delete),
        ("I #1 k -", Change::Delete),
        ("I #1 k - ", Change::Delete),
        ("I #1 k - -", Change::Delete),
        ("I #1 k + -3", Change::Add(Amount(-3_000_000_000))),
        ("I #1 k >> %2D", Change::Append(Value::Text("-".to_owned()))),
        ("I k sha256%3Ax", set("sha256:x")),
        (&format!("I k sha256:{hex}"), Change::Set(Value::Digest([0xaa; 32]))),
    ] {
        let journal = parse(&format!("{line}\n"));
        assert_eq!(journal.operations()[0].intents[0].change, expect, "{line}");
    }
}

#[test]
fn garbage_is_refused_with_line_offset_text_and_what_is_expected() {
    check_fault("I a b\nhello\n", "line 2 (byte 6), `hello`: expected a line that begins with");
    check_fault("\n", "begins with");
    check_fault("i a b\n", "begins with");
    check_fault("I key\n", "expected `I key value`, or to delete the key `I key -`: fields");
    check_fault("I key two words\n", "%20");
    check_fault("I  value\n", "the key is empty");
    check_fault("I # k = v\n", "the id is empty");
    check_fault("I #1 k v\n", "expected `I #id key op value`");
    check_fault("I #1 k * v\n", "expected `=`, `-`, `+` or `>>`");
    check_fault("I #1 k - v\n", "expected `I #id key -`");
    check_fault("I #1 k + v\n", "decimal number");
    check_fault("I #1 k >> -\n", "%2D");
    check_fault("I k %zz\n", "hexadecimal");
    check_fault("I k %FF\n", "not UTF-8");
    check_fault("I k sha256:12\n", "64 hexadecimal digits");
    check_fault("I k a\tb\n", "%09");
    check_fault("I k a\r\n", "%0D");
    check_fault("I k a\0b\n", "%00");
    check_fault("F k\n", "begins with `#`");
    check_fault("R x\n", "number of the restart");
    check_fault("R 0\n", "number of the restart");
    check_fault("A\n", "begins with");
    check_fault("A \n", "the key is empty");
    assert!(Journal::parse(b"I k \xff\n").is_err());
}

#[test]
fn an_acknowledgement_needs_its_intent() {
    check_fault("A k\n", "key k was never intended");
    check_fault("A #1\n", "#1 was never intended");
    check_fault("F #1\n", "#1 was never intended");
    check_fault("I #1 k = v\nA k\n", "key k was never intended");
    check_fault("I #1 k = v\nF #1\nA #1\n", "both acknowledged and failed");
    check_fault("I #1 k = v\nA #1\nF #1\n", "both acknowledged and failed");
    check_fault("I #1 k = v\nA #1\nI #1 k = w\n", "one operation only");
}

#[test]
fn a_key_is_a_text_a_sum_or_a_list() {
    check_fault("I #1 k + 1\nI #2 k >> 1\n", "both `+` and `>>`");
    check_fault("I #1 k + 1\nI k text\n", "decimal number");
    check_fault("I k text\nI #1 k >> 1\n", "JSON array");
    parse("I k 5\nI #1 k + 1\nI k -\n");
    parse("I k [\"a\",1]\nI #1 k >> b\n");
}

#[test]
fn an_error_shows_a_bounded_and_escaped_part_of_the_line() {
    let error =
        Journal::parse(format!("\u{1b}{}\n", "x".repeat(1_000)).as_bytes()).expect_err("bad");
    assert!(error.text.starts_with("\\u{1b}xxx") && error.text.len() < 80, "{}", error.text);
    let long = format!("I k {}\n", "x".repeat(4_092));
    check_fault(&long, "4,097 bytes".replace(',', "").as_str());
    parse(&format!("I k {}\n", "x".repeat(4_091)));
}

#[test]
fn a_line_without_its_newline_was_never_written() {
    let journal = parse("I a 1\nA a\nI b \u{e9}");
    assert_eq!((journal.lines().len(), journal.unsealed), (2, Some(10)));
    let mut sealed = b"I a 1\nA a\nI b \xc3".to_vec();
    sealed.extend_from_slice(SEAL);
    sealed.extend_from_slice(b"R 1\nI a 2\n");
    let journal = Journal::parse(&sealed).expect("sealed");
    assert_eq!((journal.lines().len(), journal.unsealed), (4, None));
    assert_eq!(journal.lines()[2].entry, Entry::Restart { number: 1 });
}

#[test]
fn acknowledgements_are_counted_once_each_up_to_a_length() {
    let journal = parse("I a 1\nI a 2\nA a\nA! a\nI #1 b = 1\nI #2 b = 2\nA #1 #2\n");
    let ends: Vec<u64> = journal.lines().iter().map(|line| line.end).collect();
    let counts: Vec<u64> = ends.iter().map(|end| journal.acknowledged(*end)).collect();
    assert_eq!(counts, [0, 0, 1, 1, 1, 1, 3]);
    assert_eq!(journal.acknowledged(0), 0);
    assert_eq!(journal.acknowledged(ends[2] - 1), 0);
    assert_eq!(journal.operations()[0].acknowledged, None, "only the latest intent is meant");
    assert_eq!(journal.operations()[1].durable, Some(ends[3]));
}

#[test]
fn only_lines_that_matter_change_what_is_pending() {
    let journal = parse("I a 1\nR 1\nD a x\nA a\nA a\nA! a\nA! a\nI #1 a = 2\nF #1\nF #1\n");
    let pending: Vec<Pending> =
        journal.lines().iter().map(|line| journal.pending(line.end)).collect();
    let changed: Vec<bool> = pending.windows(2).map(|pair| pair[0] != pair[1]).collect();
    assert_eq!(changed, [false, true, true, false, true, false, true, true, false]);
    assert_ne!(journal.pending(0), pending[0]);
}

fn arbitrary_line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[IAFDR]!? [#a-c%2D=+> -]{0,12}",
        "(I a|A a|I #1 a [=+] [0-9]|A!? #1|F #1|D a x|R 1)",
        ".{0,20}",
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in any::<Vec<u8>>()) {
        let _ = Journal::parse(&bytes);
    }

    #[test]
    fn nothing_like_a_journal_makes_the_parser_panic(
        lines in proptest::collection::vec(arbitrary_line(), 0..8)
    ) {
        let _ = Journal::parse((lines.join("\n") + "\n").as_bytes());
    }

    #[test]
    fn an_encoded_intent_reads_back(key in ".{1,20}", value in any::<String>()) {
        let field = match encode(&value).as_str() {
            "-" => "%2D".to_owned(),
            field => field.replace("sha256:", "sha256%3A"),
        };
        let text = format!("I {} {field}\n", encode(&key).replace('#', "%23"));
        prop_assume!(text.len() <= LINE_BYTES_MAX);
        let journal = parse(&text);
        prop_assert_eq!(&journal.operations()[0].intents[0].key, &key);
        prop_assert_eq!(&journal.operations()[0].intents[0].change, &set(&value));
    }

    #[test]
    fn a_journal_cut_anywhere_reads_as_its_complete_lines(cut in 0usize..60) {
        let whole = b"I a 1\nA a\nI #1 b = 2\nI #1 c + 4\nA! #1\nI #2 b -\nF #2\nA a\n";
        let cut = cut.min(whole.len());
        let journal = Journal::parse(&whole[..cut]).expect("a prefix");
        let complete = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
        prop_assert_eq!(journal.lines().len(), complete);
    }
}
