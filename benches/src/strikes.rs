//! How long a strike takes: from the decision to the signal in the kernel, to the death that is seen
//! through the pidfd; and from a halt to the inverse of every fault being accepted.

use crate::Effort;
use crate::measure::quantile;
use crate::table::{Goal, Row, Table, short};
use anyhow::{Context, Result, ensure};
use killpoint_engine::identity::{self, Identity};
use killpoint_harness::injector::{Act, Gate, Injector};
use killpoint_harness::store::RunFolder;
use killpoint_model::signal::Signal;
use killpoint_model::strike::Effect;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Most that an abort may take, milliseconds.
const ABORT_MS_MAX: f64 = 100.0;

/// A process that does nothing.
fn sleeper() -> Result<(Child, Identity)> {
    let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn()?;
    let identity = identity::status(i32::try_from(child.id())?)?.identity;
    Ok((child, identity))
}

/// Adds the rows.
///
/// # Errors
/// If a strike does not do what it should.
pub fn run(effort: Effort, table: &mut Table) -> Result<()> {
    let count = effort.choose(50, 1_000);
    let directory = tempfile::tempdir()?;
    let folder = RunFolder::create(directory.path())?;
    let mut injector = Injector::start(folder.path())?;
    let gate = Gate::launched(Identity::current()?);

    let (mut sent, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (mut child, process) = sleeper()?;
        let decided = Instant::now();
        let permit = gate.permit(process)?;
        let struck = injector.strike(permit, &Act::Signal(Signal::KILL), decided)?;
        child.wait()?;
        let step = struck.steps.first().context("a step")?;
        ensure!(matches!(step.effect, Effect::Ended { .. }), "{step:?}");
        sent.push(step.done_after_us as f64 / 1_000.0);
        seen.push(step.seen_after_us as f64 / 1_000.0);
    }
    add(table, &format!("{count} kills: decision to signal sent"), &sent, Goal::None);
    add(table, &format!("{count} kills: decision to death seen"), &seen, Goal::None);

    let (rounds, suspended) = (effort.choose(5, 50), 10);
    let mut aborts = Vec::new();
    for _ in 0..rounds {
        let mut sleepers = Vec::new();
        for _ in 0..suspended {
            let (child, process) = sleeper()?;
            let act = Act::Suspend { duration: None };
            injector.strike(gate.permit(process)?, &act, Instant::now())?;
            sleepers.push(child);
        }
        let lifted = injector.rollback();
        ensure!(lifted.len() == suspended, "{lifted:?}");
        aborts.extend(lifted.iter().map(|lifted| lifted.done_after_us as f64 / 1_000.0));
        for mut child in sleepers {
            child.kill()?;
            child.wait()?;
        }
    }
    let what = format!("halt to the inverse accepted, {suspended} suspended processes at once");
    add(table, &what, &aborts, Goal::AtMost(ABORT_MS_MAX));
    Ok(())
}

fn add(table: &mut Table, what: &str, milliseconds: &[f64], goal: Goal) {
    let at = |part| short(quantile(milliseconds, part));
    table.add(&Row {
        benchmark: "h",
        what: format!("{what}: p50, p95, p99, max"),
        ours: format!("{}, {}, {}, {} ms", at(0.5), at(0.95), at(0.99), at(1.0)),
        against: "-".to_owned(),
        figure: quantile(milliseconds, 0.99),
        unit: " ms",
        goal,
    });
}
