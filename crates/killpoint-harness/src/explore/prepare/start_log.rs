//! How the log of a run begins: how the run was set up, in words.

use crate::asserter::checker::Checker;
use crate::environment::local::Local;
use crate::explore::options::Options;
use crate::explore::problem::ExploreError;
use crate::job::Job;
use crate::journalist::Journalist;
use killpoint_engine::arena::Containment;
use killpoint_engine::record::{Mechanism, REFUSED_CALLS};
use killpoint_model::Roles;
use killpoint_model::event::Event;
use killpoint_model::report::{NotCovered, Setting};
use std::ffi::OsStr;

/// Tells who started what, and how it is contained.
pub(super) fn start_log(
    options: &Options,
    local: &Local,
    journalist: &mut Journalist,
    why_weaker: Option<String>,
) -> Result<(), ExploreError> {
    let text = |value: &OsStr| value.to_string_lossy().into_owned();
    let job = Job::of(|name| {
        let found = options.environment.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| text(value))
    });
    let setting = Setting {
        command: options.command.iter().map(|part| text(part)).collect(),
        driver: options.driver.clone(),
        state: local.roots.iter().map(|root| root.path.display().to_string()).collect(),
        models: options.models.clone(),
        profile: options.profile,
        acks: if options.acks_survive_power_loss { "power-loss" } else { "kill" }.to_owned(),
        scope: options.scope.name().to_owned(),
        roles: role_texts(&options.roles),
        oracle: match &local.checker {
            Checker::Command(command) | Checker::Stream(command) => command.clone(),
            Checker::BuiltIn => "built-in".to_owned(),
        },
        mechanism: mechanism_text(local),
        containment: containment_text(local.containment),
        seed: options.seed.to_string(),
        jobs: u32::try_from(options.jobs_in(local.containment)).unwrap_or(u32::MAX),
    };
    journalist.begin_run(local.folder.id(), job, setting)?;
    if local.containment == Containment::Redirect {
        journalist.tell(Event::NotCovered(NotCovered {
            file: "*".to_owned(),
            reason: format!(
                "no namespaces ({}): the state is a copy at another path, and what the command \
                 writes elsewhere is not contained",
                why_weaker.unwrap_or_default()
            ),
            needed: false,
        }))?;
    }
    Ok(())
}

fn role_texts(roles: &Roles) -> Vec<String> {
    roles.iter().map(|(name, selector)| format!("{name}: {selector}")).collect()
}

fn mechanism_text(local: &Local) -> String {
    let mut text = match local.mechanism {
        Mechanism::Ptrace => {
            "ptrace with a seccomp filter (the default: the target itself does every call)"
        }
        Mechanism::Notify => {
            "seccomp user notification (asked for: cheap outside the state, leaves ptrace to the \
             target; writes on descriptors are done for it, other calls on the state behind a fence)"
        }
    }
    .to_owned();
    if let Some(processor) = local.pin {
        text.push_str(&format!(", harness and target together on processor {processor}"));
    }
    text.push_str(&format!("; answered ENOSYS: {REFUSED_CALLS}"));
    if local.mechanism == Mechanism::Notify && local.containment == Containment::Redirect {
        text.push_str(
            "; without a PID namespace only the command's first process dies with the harness",
        );
    }
    text
}

fn containment_text(containment: Containment) -> String {
    match containment {
        Containment::Namespaces { user: false } => {
            "mount, PID, IPC, network and UTS namespaces".to_owned()
        }
        Containment::Namespaces { user: true } => {
            "user, mount, PID, IPC, network and UTS namespaces".to_owned()
        }
        Containment::Redirect => "none: the state is a copy at another path".to_owned(),
    }
}
