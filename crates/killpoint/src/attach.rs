//! `killpoint roulette --pid` and `--cgroup`: processes that somebody else started.

use crate::arguments::{Format, Roulette};
use crate::failure::Failure;
use crate::live::Live;
use crate::{interrupt, output, upkeep};
use anyhow::anyhow;
use killpoint_harness::attach::{self, AttachError, Named, Options};
use killpoint_harness::store::RunFolder;
use killpoint_model::Outcome;
use killpoint_model::invariant::{CommandEnds, Invariant, ProbeAnswers, Tolerance, USUAL_TIMEOUT};
use killpoint_model::scenario::FaultRule;
use killpoint_model::selector::{Pick, Who};
use killpoint_model::supervision::Probe;
use killpoint_model::trigger::Trigger;

impl From<AttachError> for Failure {
    fn from(error: AttachError) -> Self {
        let outcome = error.outcome();
        Failure { error: error.into(), outcome }
    }
}

/// Who is named on the command line, if somebody is: then nothing is launched.
///
/// # Errors
/// If it is something that is not attached to yet.
pub fn named(flags: &Roulette) -> Result<Option<Named>, Failure> {
    if let Some(unit) = &flags.unit {
        return Err(anyhow!(
            "--unit: units are not attached to yet: give the control group, --cgroup \"$(systemctl show \
             --property ControlGroup --value {unit})\""
        )
        .into());
    }
    if let Some(container) = &flags.container {
        return Err(anyhow!(
            "--container: containers are not attached to yet: give --cgroup the group of its first process, \
             as /proc/PID/cgroup names it (docker inspect --format '{{{{.State.Pid}}}}' {container})"
        )
        .into());
    }
    Ok(match &flags.cgroup {
        Some(path) => Some(Named::Cgroup(path.clone())),
        None if flags.pid.is_empty() => None,
        None => Some(Named::Pids(flags.pid.clone())),
    })
}

/// `killpoint roulette` on processes that are running already.
///
/// # Errors
/// If the machine, a process or the allowlist does not permit it.
pub fn roulette(flags: &Roulette, named: Named) -> Result<Outcome, Failure> {
    for (is_given, flag) in [
        (!flags.state.is_empty(), "--state"),
        (flags.driver.is_some(), "--driver"),
        (!flags.role.is_empty(), "--role"),
    ] {
        if is_given {
            let why = "belongs to a program that is launched: leave it out with --pid and --cgroup";
            return Err(anyhow!("{flag} {why}").into());
        }
    }
    let mut invariants = Vec::new();
    match &flags.ready {
        Some(Probe::Notify | Probe::LogLine(_)) => {
            let why = "--ready: of processes that were running only file:PATH, socket:ADDRESS and \
                       http://ADDRESS can be asked";
            return Err(anyhow!(why).into());
        }
        Some(by) => invariants.push(Invariant::ProbeAnswers(ProbeAnswers {
            judge: Vec::new(),
            by: by.clone(),
            timeout: flags.recovery,
        })),
        None => {}
    }
    invariants.extend(flags.check.iter().map(|line| {
        Invariant::CommandEnds(CommandEnds {
            judge: Vec::new(),
            name: None,
            run: ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
            timeout: USUAL_TIMEOUT,
            tolerance: Tolerance::default(),
        })
    }));
    let here = std::env::current_dir()?;
    let options = Options {
        named,
        allowlist: flags.allowlist.as_ref().map(|path| here.join(path)),
        machine: flags.environment_file.as_ref().map(|path| here.join(path)),
        unleash: flags.unleash,
        rule: FaultRule {
            name: Some("roulette".to_owned()),
            when: Trigger::Interval(flags.every),
            r#do: flags.fault.clone(),
            who: Who { pick: Pick::One, ..Who::default() },
            trials: 1,
            duration: Some(flags.duration),
        },
        seed: flags.seed,
        invariants,
        recovery: flags.recovery,
        out: here.join(&flags.out),
        directory: here,
        keep: flags.keep,
        interrupt: interrupt::listen()?,
    };
    upkeep::mention_interrupted(&options.out);
    let mut progress = Live::new(flags.format == Format::Human);
    let ended = attach::run(&options, &mut |step| progress.show(step));
    progress.clear();
    let ended = ended?;
    output::report(&ended.report, &ended.folder, flags.format)?;
    Ok(ended.report.result)
}

/// Refuses to go on with an attached run, or to show it again.
///
/// # Errors
/// If it is one.
pub fn refuse(folder: &RunFolder) -> Result<(), Failure> {
    if attach::is_attached(folder) {
        let why = "was attached to processes that somebody else started, which are others by now: it is \
                   neither resumed nor replayed, begin anew";
        return Err(anyhow!("run {} {why}", folder.id()).into());
    }
    Ok(())
}
