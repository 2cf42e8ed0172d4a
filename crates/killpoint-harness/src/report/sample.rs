//! Reports for the tests of every output: one for each result, a hostile one and long ones.

mod campaign;

pub use campaign::campaign;

use killpoint_model::event::{Event, PlannedCount, TimelineRow};
use killpoint_model::report::{
    Confirmation, Drafts, FileChange, Finding, Look, NotCovered, Report, Setting, Shrunk,
    TimelinePoint,
};
use killpoint_model::{
    Address, Class, CrashModel, Judgement, Outcome, Phase, Profile, Reason, Verdict,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Compares a text with the file of this name in `tests/snapshots`. With `KILLPOINT_BLESS=1` in
/// the environment the file is written instead.
pub fn check_snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("KILLPOINT_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a file in a directory")).expect("mkdir");
        std::fs::write(&path, text).expect("a snapshot can be written");
        return;
    }
    let expect = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; bless it", path.display()));
    assert!(text == expect, "{name} differs; KILLPOINT_BLESS=1 accepts this:\n{text}");
}

/// A report for each result, by name.
pub fn all() -> Vec<(&'static str, Report)> {
    vec![
        ("pass", pass()),
        ("violated", violated()),
        ("unknown", unknown()),
        ("vacuous", ended(Outcome::Vacuous, "no operation of the target lies in data/")),
        (
            "baseline-failed",
            ended(
                Outcome::BaselineFailed,
                "with no fault injected the checker exited with 1: no such table: notes",
            ),
        ),
        ("interrupted", interrupted()),
    ]
}

/// Reads an address that is known to be one.
pub fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

fn setting() -> Setting {
    Setting {
        command: ["./save.py", "--store", "json", "--title", "a note"].map(str::to_owned).to_vec(),
        state: vec!["data".to_owned()],
        models: vec![CrashModel::Kill, CrashModel::TornWrite],
        profile: Profile::Ext4,
        acks: "kill".to_owned(),
        scope: "tree".to_owned(),
        driver: None,
        roles: vec!["worker: cmdline:--type=worker".to_owned()],
        oracle: "built-in".to_owned(),
        mechanism: "ptrace with seccomp, the default".to_owned(),
        containment: "Landlock signal scope, private mount namespace".to_owned(),
        seed: "cc8-v1:42".to_owned(),
        jobs: 2,
    }
}

fn shrunk() -> Shrunk {
    Shrunk {
        steps: ["open notes.json", "save a note"].map(str::to_owned).to_vec(),
        of: 20,
        trials: 31,
        is_minimal: true,
        address: address("write(notes.json)#1"),
    }
}

fn started() -> Event {
    Event::RunStarted {
        run: "7f3a".to_owned(),
        killpoint: "0.1.0".to_owned(),
        started: "2026-03-14T09:26:53Z".to_owned(),
        commit: Some("1f0c5d2e9b".to_owned()),
        job_url: None,
        setting: Box::new(setting()),
    }
}

/// Saves of a note: five in place (wrong), with the temporary file of the right way after them.
const CALLS: [(&str, &str, u64); 22] = [
    ("open(notes.json, create)#1", "openat", 0),
    ("write(notes.json)#1", "write", 0),
    ("open(notes.json, truncate)#1", "openat", 1),
    ("write(notes.json)#2", "write", 1),
    ("open(notes.json, truncate)#2", "openat", 2),
    ("write(notes.json)#3", "write", 2),
    ("open(notes.json, truncate)#3", "openat", 3),
    ("write(notes.json)#4", "write", 3),
    ("open(notes.json, truncate)#4", "openat", 4),
    ("write(notes.json)#5", "write", 4),
    ("mkdir(objects)#1", "mkdir", 5),
    ("open(objects/<new1>, create)#1", "openat", 5),
    ("write(objects/<new1>)#1", "pwrite64", 5),
    ("write(objects/<new1>)#2", "pwrite64", 5),
    ("fsync(objects/<new1>)#1", "fsync", 5),
    ("rename(objects/<new1>, objects/a)#1", "renameat2", 5),
    ("fsync(objects)#1", "fsync", 5),
    ("open(index.db, create)#1", "openat", 6),
    ("write(index.db)#1", "pwrite64", 6),
    ("fdatasync(index.db)#1", "fdatasync", 6),
    ("chmod(index.db)#1", "fchmod", 6),
    ("unlink(objects/a)#1", "unlinkat", 6),
];

fn rows() -> Vec<TimelineRow> {
    (1..)
        .zip(CALLS)
        .map(|(ordinal, (text, call, acknowledged))| TimelineRow {
            ordinal,
            address: address(text),
            shown: text.replace("<new1>", "tmp_obj_k2Xq"),
            call: call.to_owned(),
            process: if ordinal > 17 { 2 } else { 1 },
            phase: if ordinal < 3 { Phase::Start } else { Phase::Work },
            result: if call == "unlinkat" { -2 } else { 3 },
            acknowledged,
        })
        .collect()
}

fn recorded(recording: u32) -> Event {
    Event::Recorded {
        recording,
        operations: 22,
        acknowledged: 6,
        drafts: 2,
        outside: 131,
        digest: "00".to_owned(),
    }
}

fn planned() -> Event {
    Event::Planned {
        points: 22,
        unstable: 0,
        order_varies: false,
        models: vec![
            (CrashModel::Kill, PlannedCount { points: 22, states: 22 }),
            (CrashModel::TornWrite, PlannedCount { points: 5, states: 12 }),
            (CrashModel::Data, PlannedCount { points: 23, states: 23 }),
        ],
        bounds: vec![
            "every crash point of the recorded interleavings".to_owned(),
            "torn-write: the first, a middle and the last multiple of 4,096 within each write"
                .to_owned(),
            "pairs of faults are not covered".to_owned(),
        ],
    }
}

/// The distinct states under `kill`, `torn-write` and `data`; `worst` stands at every wrong point.
fn judged(worst: &Judgement) -> Vec<Event> {
    let wrong = vec![4, 6, 8, 10];
    let held: Vec<u64> = (1..=22).filter(|ordinal| !wrong.contains(ordinal)).collect();
    let judge = |trial, at, judgement: &Judgement| Event::Judged {
        trial,
        state: format!("{trial:064x}"),
        at,
        judgement: judgement.clone(),
        output: String::new(),
        look: Look::First,
        litter: Vec::new(),
        unjudged: Vec::new(),
    };
    vec![
        judge(1, vec![(CrashModel::Kill, held)], &Judgement::held()),
        judge(2, vec![(CrashModel::Kill, wrong)], worst),
        judge(3, vec![(CrashModel::TornWrite, vec![2, 4, 13, 14])], &Judgement::held()),
        judge(4, vec![(CrashModel::TornWrite, vec![14])], worst),
        judge(5, vec![(CrashModel::Data, (1..=20).collect())], &Judgement::held()),
        judge(6, vec![(CrashModel::Data, vec![21, 22, 23])], worst),
    ]
}

fn counts(violated: [u64; 3], unknown: [u64; 3]) -> Vec<Event> {
    [CrashModel::Kill, CrashModel::TornWrite, CrashModel::Data]
        .into_iter()
        .zip(violated.into_iter().zip(unknown))
        .map(|(model, (violated, unknown))| Event::PointVerdicts { model, violated, unknown })
        .collect()
}

fn stages() -> Vec<Event> {
    [("recorded", 0.213), ("judged", 12.44), ("confirmed", 185.0)]
        .map(|(name, seconds)| Event::Stage { name: name.to_owned(), seconds })
        .to_vec()
}

fn struck(agreed: u32) -> Vec<Event> {
    (1..=agreed)
        .map(|attempt| Event::Struck {
            address: address("write(notes.json)#2"),
            attempt,
            agreed: true,
            reason: None,
            detail: String::new(),
        })
        .collect()
}

fn report(worst: &Judgement, violated: [u64; 3], unknown: [u64; 3], rest: Vec<Event>) -> Report {
    let mut events = vec![started(), recorded(1), recorded(2)];
    events.push(Event::Timeline { rows: rows(), omitted: 0 });
    events.push(planned());
    events.extend(judged(worst));
    events.extend(counts(violated, unknown));
    events.extend(struck(10));
    events.extend([Event::SecondCheck { held: true }, Event::SecondCheck { held: true }]);
    events.extend(stages());
    events.extend(rest);
    Report::from_events(&events)
}

/// A run in which everything holds.
pub fn pass() -> Report {
    let end = Event::RunEnded { result: Outcome::Pass, explanation: String::new() };
    report(&Judgement::held(), [0; 3], [0; 3], vec![end])
}

/// A run with three findings, one known finding, something unknown and something not covered.
pub fn violated() -> Report {
    let worst = Judgement::violated(Class::Lost, "notes.json is empty");
    let found = |finding| Event::Found { finding: Box::new(finding), known: false };
    let rest = vec![
        found(acked_not_durable()),
        found(lost()),
        found(torn()),
        Event::Found { finding: Box::new(known()), known: true },
        Event::Unknown {
            reason: Reason::NoOracle,
            detail: "thumbnails.bin: no built-in rule knows this format; --check CMD does"
                .to_owned(),
        },
        Event::NotCovered(NotCovered {
            file: "cache-shm".to_owned(),
            reason: "a writable shared mapping; crashes between its stores are not seen".to_owned(),
            needed: false,
        }),
        Event::Note { text: "core dumps were switched off for the target".to_owned() },
        Event::RunEnded { result: Outcome::Violated, explanation: String::new() },
    ];
    report(&worst, [4, 1, 3], [0; 3], rest)
}

/// A run in which two states could not be judged and recovery needs what is not covered.
pub fn unknown() -> Report {
    let worst = Judgement::unknown(Reason::JudgeFailed, "the checker exited with 127: not found");
    let rest = vec![
        Event::NotCovered(NotCovered {
            file: "lock.mdb".to_owned(),
            reason: "changed by process 4711 outside of the tree".to_owned(),
            needed: true,
        }),
        Event::RunEnded {
            result: Outcome::Unknown,
            explanation: "The checker could not be run on 3 states.".to_owned(),
        },
    ];
    report(&worst, [0; 3], [4, 1, 3], rest)
}

/// A run that ended before anything was judged.
fn ended(result: Outcome, explanation: &str) -> Report {
    Report::from_events(&[
        started(),
        Event::Stage { name: "baseline".to_owned(), seconds: 0.3 },
        Event::RunEnded { result, explanation: explanation.to_owned() },
    ])
}

/// A log that breaks off after the first finding.
fn interrupted() -> Report {
    let mut events = vec![started(), recorded(1)];
    events.push(Event::Timeline { rows: rows(), omitted: 0 });
    events.push(planned());
    events.push(Event::Stage { name: "recorded".to_owned(), seconds: 0.2 });
    let worst = Judgement::violated(Class::Lost, "notes.json is empty");
    events.extend(judged(&worst).into_iter().take(2));
    events.push(Event::Found { finding: Box::new(lost()), known: false });
    Report::from_events(&events)
}

fn finding(number: u32, at: &str, ordinal: u64, model: CrashModel, class: Class) -> Finding {
    Finding {
        number,
        address: address(at),
        ordinal,
        shown: at.to_owned(),
        model,
        models: vec![model],
        class,
        judged: class,
        points: 1,
        points_of: 1,
        phases: vec![Phase::Work],
        detail: String::new(),
        variant: String::new(),
        confirmed: Confirmation { hits: 5, tries: 5 },
        confirmed_live: model == CrashModel::Kill,
        cause: String::new(),
        fix: String::new(),
        holds_before: None,
        holds_after: None,
        drafts: Drafts { seen: 1, open: 1, restored: u64::from(number % 2) },
        shrunk: (number == 2).then(shrunk),
        replay: format!("killpoint replay 7f3a/{number}"),
        output: String::new(),
        files: Vec::new(),
        contradicted: false,
        look: Look::First,
    }
}

fn lost() -> Finding {
    Finding {
        models: vec![CrashModel::Kill, CrashModel::TornWrite],
        points: 4,
        points_of: 22,
        phases: vec![Phase::Start, Phase::Work],
        detail: "notes.json is empty afterwards; 5 acknowledged notes (88,895 bytes) are gone."
            .to_owned(),
        cause: "open(notes.json, truncate)#1 empties it before this write fills it again."
            .to_owned(),
        fix: "write notes.json.tmp, fsync it, rename it over notes.json, fsync data/".to_owned(),
        holds_before: Some(address("open(notes.json, truncate)#1")),
        holds_after: Some(address("open(notes.json, truncate)#2")),
        files: vec![FileChange {
            path: "notes.json".to_owned(),
            size_before: Some(88_895),
            size_after: Some(0),
            difference: ["-[", "-  {\"id\": 1, \"text\": \"buy <milk>\"},", "-  … 4 more", "-]"]
                .map(str::to_owned)
                .to_vec(),
        }],
        contradicted: false,
        look: Look::First,
        ..finding(2, "write(notes.json)#2", 4, CrashModel::Kill, Class::Lost)
    }
}

fn torn() -> Finding {
    Finding {
        shown: "write(objects/tmp_obj_k2Xq)#2".to_owned(),
        points: 1,
        points_of: 5,
        phases: vec![Phase::Shutdown],
        detail: "objects/tmp_obj_k2Xq ends after 4,096 of 9,000 bytes and is shown as complete."
            .to_owned(),
        variant: "cut at the first boundary, byte 4,096 of the file".to_owned(),
        cause: "The index names the object before fsync(objects/<new1>)#1 is called.".to_owned(),
        fix: "add the object to the index after its rename and its fsync".to_owned(),
        holds_before: Some(address("write(objects/<new1>)#1")),
        output: "checking objects\nobject 1: expected 9,000 bytes, found 4,096\n".to_owned(),
        files: vec![FileChange {
            path: "objects/tmp_obj_k2Xq".to_owned(),
            size_before: None,
            size_after: Some(4_096),
            difference: [
                " 00000ff0  41 41 41 41 41 41 41 41  |AAAAAAAA|",
                "+00000ff8  42 42 42 42 42 42 42 42  |BBBBBBBB|",
            ]
            .map(str::to_owned)
            .to_vec(),
        }],
        contradicted: false,
        look: Look::First,
        ..finding(3, "write(objects/<new1>)#2", 14, CrashModel::TornWrite, Class::Torn)
    }
}

fn acked_not_durable() -> Finding {
    Finding {
        models: vec![CrashModel::Data, CrashModel::DirLost],
        points: 3,
        points_of: 23,
        phases: vec![Phase::Work],
        detail: "6 saves were acknowledged as surviving a power cut; the last one is gone."
            .to_owned(),
        cause: "fdatasync(index.db)#1 makes the contents durable, but nothing syncs data/, whose \
                entry for the new file is still in memory when the acknowledgement is written."
            .to_owned(),
        fix: "fsync data/ after creating index.db".to_owned(),
        holds_before: Some(address("fdatasync(index.db)#1")),
        confirmed: Confirmation { hits: 19, tries: 20 },
        ..finding(1, "chmod(index.db)#1", 21, CrashModel::Data, Class::AckedNotDurable)
    }
}

fn known() -> Finding {
    Finding {
        detail: "thumbnails are drawn again".to_owned(),
        ..finding(4, "unlink(objects/a)#1", 22, CrashModel::Kill, Class::RecoverableByHand)
    }
}

/// A violated run with this many findings.
pub fn many_findings(number: u32) -> Report {
    let mut report = violated();
    report.findings = (1..=number).map(|number| Finding { number, ..lost() }).collect();
    for finding in &mut report.findings {
        finding.replay = format!("killpoint replay 7f3a/{}", finding.number);
    }
    report
}

/// A report whose every text was written by an enemy.
pub fn hostile() -> Report {
    const BAD: &str =
        "</pre><script>alert(1)</script>\x1b[2J\x07\u{202e}\u{fffe}\" onload='x' &amp;";
    let mut report = violated();
    report.explanation = BAD.to_owned();
    report.job_url = Some("javascript:alert(1)".to_owned());
    report.commit = Some(BAD.to_owned());
    report.notes.push(BAD.to_owned());
    report.bounds.push(BAD.to_owned());
    report.seconds.push((BAD.to_owned(), 1.0));
    report.not_covered[0].file = BAD.to_owned();
    report.not_covered[0].reason = BAD.to_owned();
    report.unknown[0].detail = BAD.to_owned();
    let setting = report.setting.as_mut().expect("the run was started");
    setting.command.push(BAD.to_owned());
    setting.state.push(BAD.to_owned());
    setting.oracle = BAD.to_owned();
    let finding = &mut report.findings[0];
    for text in [&mut finding.detail, &mut finding.cause, &mut finding.fix, &mut finding.shown] {
        *text = BAD.to_owned();
    }
    finding.output = BAD.to_owned();
    finding.variant = BAD.to_owned();
    finding.replay = format!("killpoint replay {BAD}");
    finding.address = Address::Call {
        kind: killpoint_model::OperationKind::Write,
        paths: vec![BAD.to_owned()],
        ordinal: 1,
        role: Some(BAD.to_owned()),
    };
    finding.holds_before = Some(finding.address.clone());
    finding.holds_after = Some(finding.address.clone());
    finding.files = vec![FileChange {
        path: BAD.to_owned(),
        size_before: None,
        size_after: Some(1),
        difference: vec![format!("+{BAD}")],
    }];
    report.timeline[0].row.shown = BAD.to_owned();
    report.timeline[0].row.call = BAD.to_owned();
    report
}

/// A violated run of this many operations, of which every hundredth breaks.
pub fn long(operations: usize) -> Report {
    let mut report = violated();
    let operations = u64::try_from(operations).expect("a length fits 64 bits");
    report.operations = operations;
    report.timeline = (1..=operations)
        .map(|ordinal| TimelinePoint {
            row: TimelineRow {
                ordinal,
                address: address(&format!("write(notes.db-wal)#{ordinal}")),
                shown: format!("write(notes.db-wal)#{ordinal}"),
                call: "pwrite64".to_owned(),
                process: 1,
                result: 4_096,
                acknowledged: ordinal / 8,
                phase: Phase::Work,
            },
            verdicts: BTreeMap::from([
                (CrashModel::Kill, Verdict::Held),
                (
                    CrashModel::Data,
                    if ordinal % 100 == 0 {
                        Verdict::Violated(Class::Lost)
                    } else if ordinal % 170 == 0 {
                        Verdict::Unknown(Reason::NoOracle)
                    } else {
                        Verdict::Held
                    },
                ),
            ]),
        })
        .collect();
    report
}
