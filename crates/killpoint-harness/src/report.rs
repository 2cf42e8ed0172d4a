//! Draws a report: console, HTML, JSON, JUnit.
//!
//! Each output is a pure function of [`killpoint_model::report::Report`]: no clock, no terminal,
//! no file. What is drawn live and what is drawn again from the event log has the same bytes.

pub mod console;
pub mod html;
pub mod json;
pub mod junit;
pub mod words;

#[cfg(test)]
mod sample;

use killpoint_model::Class;
use killpoint_model::report::{Finding, Report};

/// The findings in the order in which a person should read them: those that any kill shows before
/// those that need a power loss, then the gravest class, the mildest model, the first point.
pub fn by_severity(findings: &[Finding]) -> Vec<&Finding> {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| {
        let model = finding.model;
        (model.is_power_loss(), gravity(finding.class), model, finding.ordinal, finding.number)
    });
    sorted
}

/// How grave a class is; 0 is the gravest: what nobody can bring back comes first.
fn gravity(class: Class) -> u8 {
    match class {
        Class::Lost | Class::AckedNotDurable => 0,
        Class::Bricked => 1,
        Class::Wrong => 2,
        Class::Torn => 3,
        Class::Unopenable => 4,
        Class::Duplicated => 5,
        Class::Extra => 6,
        Class::Hung => 7,
        Class::RecoverableByHand => 8,
        Class::RecoverableByPeer => 9,
        Class::SloMissed => 10,
        Class::RecoveryNotShown => 11,
    }
}

/// Writes every format into the folder of a run.
///
/// # Errors
/// If a file cannot be written.
pub fn write_all(
    folder: &crate::store::RunFolder,
    report: &Report,
) -> Result<(), crate::store::StoreError> {
    folder.write("report.json", json::document(report).as_bytes())?;
    folder.write("report.html", html::page(report).as_bytes())?;
    folder.write("junit.xml", junit::document(report).as_bytes())?;
    Ok(())
}
