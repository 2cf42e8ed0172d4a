//! The envelope of a crash: its event, and its minidump as an attachment.

use super::redact;
use killpoint_model::crash::{Crash, Stack};
use killpoint_model::lifecycle::Exit;
use killpoint_model::report::Report;
use sentry_types::Uuid;
use sentry_types::protocol::v7::{
    Attachment, AttachmentType, Breadcrumb, Envelope, Event, Exception, Frame, Level, Stacktrace,
};
use std::borrow::Cow;
use std::time::SystemTime;

/// Longest value of a tag that receivers take.
const TAG_CHARACTERS_MAX: usize = 200;
/// Longest line of a log that goes with an event.
const LINE_CHARACTERS_MAX: usize = 1_000;
/// Most lines of logs, the last.
const LINES_MAX: usize = 100;

/// The id of the event of a crash: the same whenever it is uploaded, so that a receiver has it once.
pub(super) fn event_id(crash: &Crash) -> Uuid {
    let digest = blake3::hash(crash.id.as_bytes());
    let first = digest.as_bytes().first_chunk().expect("a digest has 32 bytes");
    uuid_of(*first)
}

/// As one of version 4, which some receivers insist on.
fn uuid_of(mut bytes: [u8; 16]) -> Uuid {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    Uuid::from_bytes(bytes)
}

/// The envelope as it is sent.
pub(super) fn bytes(crash: &Crash, report: &Report, dump: Option<Vec<u8>>) -> Vec<u8> {
    let mut envelope = Envelope::new();
    envelope.add_item(event(crash, report));
    if let Some(buffer) = dump {
        envelope.add_item(Attachment {
            buffer,
            filename: format!("{}.dmp", crash.id),
            content_type: Some("application/x-dmp".to_owned()),
            ty: Some(AttachmentType::Minidump),
        });
    }
    let mut bytes = Vec::new();
    envelope.to_writer(&mut bytes).expect("writing to memory does not fail");
    bytes
}

fn event(crash: &Crash, report: &Report) -> Event<'static> {
    let time: Option<jiff::Timestamp> = crash.time.parse().ok();
    let mut event = Event {
        event_id: event_id(crash),
        level: Level::Fatal,
        platform: "native".into(),
        logger: Some("killpoint".to_owned()),
        timestamp: time.map_or_else(SystemTime::now, SystemTime::from),
        release: crash.commit.clone().map(Cow::Owned),
        exception: vec![Exception {
            ty: kind(crash),
            value: Some(what(crash)),
            stacktrace: crash.stack.as_ref().map(stacktrace),
            ..Exception::default()
        }]
        .into(),
        breadcrumbs: breadcrumbs(crash).into(),
        ..Event::default()
    };
    for (name, value) in tags(crash) {
        let value: String = redact(&value).chars().take(TAG_CHARACTERS_MAX).collect();
        event.tags.insert(format!("killpoint.{name}"), value);
    }
    if let Some(signature) = crash.stack.as_ref().and_then(Stack::signature) {
        event.fingerprint = vec!["killpoint".into(), Cow::Owned(signature)].into();
    }
    // The page of the job, whole: as a tag it may be too long to lead anywhere.
    let job = crash.job_url.iter().map(|url| ("job", redact(url)));
    let seed = report.setting.iter().map(|setting| ("seed", setting.seed.clone()));
    for (name, value) in job.chain(seed) {
        event.extra.insert(name.to_owned(), value.into());
    }
    event
}

/// The name that events of one kind are shown by.
fn kind(crash: &Crash) -> String {
    match (&crash.stack, crash.exit) {
        (Some(stack), _) if !stack.reason.is_empty() => redact(&stack.reason),
        (_, Some(Exit::Signal { number, .. })) => format!("signal {number}"),
        (_, Some(Exit::Status(status))) => format!("exit status {status}"),
        (_, None) => crash.end.to_string(),
    }
}

fn what(crash: &Crash) -> String {
    let by = match crash.strike {
        Some(strike) => format!("by strike {strike}"),
        None => "by itself".to_owned(),
    };
    redact(&format!("{} ended ({}) {by} in trial {}", crash.who(), crash.end, crash.trial))
}

fn tags(crash: &Crash) -> Vec<(&'static str, String)> {
    let mut tags = vec![
        ("crash", crash.id.clone()),
        ("run", crash.run.clone()),
        ("trial", crash.trial.to_string()),
        ("process", crash.process.clone()),
        ("life", crash.life.to_string()),
        ("end", crash.end.to_string()),
    ];
    let role = crash.below.as_ref().and_then(|below| below.role.clone());
    tags.extend(role.map(|role| ("role", role)));
    tags.extend(crash.strike.map(|strike| ("strike", strike.to_string())));
    tags.extend(crash.checkpoint.as_ref().map(|it| ("checkpoint", it.sequence.to_string())));
    tags.extend(crash.commit.clone().map(|commit| ("commit", commit)));
    tags.extend(crash.job_url.clone().map(|url| ("job", url)));
    tags
}

/// The outermost frame first, as Sentry has it.
fn stacktrace(stack: &Stack) -> Stacktrace {
    let frame = |frame: &killpoint_model::crash::Frame| {
        let (file, line) = match frame.source.as_deref().map(|source| source.rsplit_once(':')) {
            Some(Some((file, line))) => (Some(file.to_owned()), line.parse().ok()),
            _ => (frame.source.clone(), None),
        };
        Frame {
            function: frame.function.clone(),
            package: Some(frame.module.clone()),
            filename: file.map(|file| redact(&file)),
            lineno: line,
            in_app: Some(frame.in_application),
            ..Frame::default()
        }
    };
    let frames = stack.frames.iter().rev().map(frame).collect();
    Stacktrace { frames, ..Stacktrace::default() }
}

/// What it printed last, without secrets.
fn breadcrumbs(crash: &Crash) -> Vec<Breadcrumb> {
    let own = crash.log.iter().filter(|log| log.life == crash.life);
    let mut lines: Vec<Breadcrumb> = own
        .flat_map(|log| log.lines.iter().map(move |line| (log.stream, line)))
        .map(|(stream, line)| {
            let line: String = redact(line).chars().take(LINE_CHARACTERS_MAX).collect();
            let category = serde_json::to_value(stream).ok();
            Breadcrumb {
                category: category.and_then(|it| it.as_str().map(str::to_owned)),
                message: Some(line),
                ..Breadcrumb::default()
            }
        })
        .collect();
    lines.drain(..lines.len().saturating_sub(LINES_MAX));
    lines
}
