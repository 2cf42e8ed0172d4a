//! `report.json`: everything a run has to say, for programs.
//!
//! Keys stand in a fixed order. The document is a [`Report`] (and reads back as one) with the exit
//! code before it; only its timeline is bounded, and `timeline_omitted` counts what is left out;
//! pictures of the screen are named, not shown.

use crate::report::words;
use killpoint_model::report::Report;
use serde::Serialize;

/// Rows of the timeline that `report.json` carries.
pub const TIMELINE_ROWS_MAX: usize = 2_000;

#[derive(Serialize)]
struct Document<'a> {
    exit_code: u8,
    #[serde(flatten)]
    report: &'a Report,
}

/// The text of `report.json`.
pub fn document(report: &Report) -> String {
    let mut report = report.clone();
    if report.timeline.len() > TIMELINE_ROWS_MAX {
        report.timeline_omitted += words::length(&report.timeline[TIMELINE_ROWS_MAX..]);
        report.timeline.truncate(TIMELINE_ROWS_MAX);
    }
    for trial in report.campaign.iter_mut().flat_map(|campaign| &mut campaign.trials) {
        // Programs read the files.
        trial.screenshots.iter_mut().for_each(|picture| picture.preview.clear());
    }
    for (_, seconds) in &mut report.seconds {
        // A fraction read back from the event log may differ in its last bit.
        *seconds = (*seconds * 1_000.0).round() / 1_000.0;
    }
    let document = Document { exit_code: report.result.exit_code(), report: &report };
    let mut text =
        serde_json::to_string_pretty(&document).expect("a report is plain data with text keys");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use serde_json::Value;

    #[test]
    fn the_document_of_each_result_is_as_expected_and_reads_back_as_the_report() {
        for (name, report) in sample::all() {
            let text = document(&report);
            sample::check_snapshot(&format!("json-{name}.json"), &text);
            let read: Report = serde_json::from_str(&text).expect("our own format");
            assert_eq!(read, report);
        }
    }

    #[test]
    fn programs_find_what_they_need_where_it_is_documented() {
        let text = document(&sample::violated());
        let value: Value = serde_json::from_str(&text).expect("valid JSON");
        for pointer in [
            "/result",
            "/exit_code",
            "/points",
            "/states",
            "/models/kill/points",
            "/models/kill/violated",
            "/models/torn-write/unknown",
            "/findings/0/address",
            "/findings/0/model",
            "/findings/0/models/0",
            "/findings/0/class",
            "/findings/0/points",
            "/findings/0/confirmed/hits",
            "/findings/0/confirmed/tries",
            "/findings/0/cause",
            "/findings/0/fix",
            "/findings/0/replay",
            "/not_covered/0/file",
            "/not_covered/0/reason",
        ] {
            assert!(value.pointer(pointer).is_some(), "{pointer} is missing");
        }
    }

    #[test]
    fn a_long_timeline_is_cut_and_what_is_left_out_is_counted() {
        let report = sample::long(TIMELINE_ROWS_MAX + 7);
        let read: Report = serde_json::from_str(&document(&report)).expect("our own format");
        assert_eq!(read.timeline.len(), TIMELINE_ROWS_MAX);
        assert_eq!(read.timeline_omitted, 7);
    }

    #[test]
    fn the_same_report_gives_the_same_bytes() {
        assert_eq!(document(&sample::violated()), document(&sample::violated()));
    }
}
