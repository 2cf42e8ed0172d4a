//! What can be carried out here, the folder of the run, and how it begins.

use super::options::Options;
use super::problem::{CampaignError, fail};
use super::tell;
use super::world::take_snapshots;
use crate::asserter::invariants::check_expression;
use crate::collector::cores;
use crate::job::Job;
use crate::journalist::Journalist;
use crate::own_paths::{self, OwnPaths};
use crate::processes::numbers_of_users;
use crate::recover::announce_tool;
use crate::store::RunFolder;
use killpoint_engine::regular_file;
use killpoint_engine::spawn::find_program;
use killpoint_model::Profile;
use killpoint_model::Scenario;
use killpoint_model::event::Event;
use killpoint_model::fault::Fault;
use killpoint_model::invariant::Invariant;
use killpoint_model::plan::{Plan, PlannedTrial};
use killpoint_model::report::{NotCovered, Setting};
use killpoint_model::scenario::Dump;
use killpoint_model::trial::TrialEvent;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// The file with the plan.
const PLAN: &str = "plan.json";
/// The file with the options.
const SETUP: &str = "campaign.json";
/// Version of that file.
const SETUP_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct SetupFile {
    version: u32,
    options: Options,
}

/// Whether everything in a plan can be done by this version: before anything is touched.
pub(super) fn check(plan: &Plan, options: &Options) -> Result<(), CampaignError> {
    plan.verify()?;
    if let Some(only) = options.only
        && plan.trials.iter().all(|trial| trial.ordinal != only)
    {
        return Err(CampaignError::NoTrial(only, plan.trials.len()));
    }
    check_programs(plan, options)?;
    let whom =
        plan.scenario.faults.iter().flat_map(|rule| rule.who.select.iter().chain(&rule.who.never));
    numbers_of_users(whom.chain(plan.scenario.target.roles.iter().map(|(_, selector)| selector)))?;
    for invariant in &plan.scenario.invariants {
        if let Invariant::Expression(it) = invariant {
            check_expression(&it.cel).map_err(CampaignError::Expression)?;
        }
    }
    check_collect(plan, options)?;
    let own = own_states(&plan.scenario, options);
    own_paths::check(&own, &options.out).map_err(CampaignError::State)?;
    for path in own {
        if path.exists() && !path.is_dir() {
            let error = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(fail("take as a state directory", &path)(error));
        }
    }
    Ok(())
}

/// Whether the programs are there: a target that cannot be started proves nothing, and an activity that
/// cannot be run would be no fault at all.
fn check_programs(plan: &Plan, options: &Options) -> Result<(), CampaignError> {
    let path = std::env::var_os("PATH");
    let check = |whose: &dyn Fn() -> String, command: &[String]| {
        let Some(program) = command.first().filter(|it| !it.contains('{')) else {
            return Ok(());
        };
        find_program(program.as_ref(), path.as_deref(), &options.directory)
            .map(drop)
            .map_err(|source| CampaignError::Program { whose: whose(), source })
    };
    let scenario = &plan.scenario;
    for (name, process) in &scenario.target.supervision(scenario.seed).processes {
        // One that has a working directory or a PATH of its own may find it there.
        if process.directory.is_none() && !process.environment.contains_key("PATH") {
            check(&|| format!("the process `{name}`"), &process.command)?;
        }
    }
    if let Some(workload) = &scenario.workload {
        check(&|| "the workload".to_owned(), &workload.command)?;
    }
    for rule in &scenario.faults {
        let Fault::Activities(activities) = &rule.r#do else { continue };
        for activity in activities.method.iter().chain(&activities.rollbacks) {
            check(&|| format!("the activity `{}`", activity.name), &activity.run)?;
        }
    }
    Ok(())
}

/// The state directories where they are, whole paths.
pub(super) fn own_states(scenario: &Scenario, options: &Options) -> Vec<PathBuf> {
    let declared = scenario.target.state.iter().map(|state| options.directory.join(state));
    declared.map(|path| path.canonicalize().unwrap_or(path)).collect()
}

/// That copies of the state are mounted over its own paths; why they cannot be.
pub(super) type Mounts = Result<(), String>;

/// Whether copies of the state can be mounted over its own paths, if there is any, and else why not.
pub(super) fn can_mount(plan: &Plan, options: &Options, folder: &RunFolder) -> Mounts {
    let states = own_states(&plan.scenario, options);
    if states.is_empty() {
        return Ok(());
    }
    for path in states {
        if !path.is_dir() {
            return Err(format!("{} is not there yet", path.display()));
        }
    }
    match OwnPaths::problem(&options.supervisor, folder.path()) {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}

/// Whether what is to be collected can be.
fn check_collect(plan: &Plan, options: &Options) -> Result<(), CampaignError> {
    let collect = &plan.scenario.collect;
    let needs_dumps = |dump: &Dump| matches!(dump, Dump::BeforeKill | Dump::Crashes);
    if cfg!(not(feature = "dumps")) && collect.dump.all().iter().any(needs_dumps) {
        return Err(CampaignError::NotSupported {
            what: "a dump of `before-kill` or `crashes`".to_owned(),
            instead: "build with `--features dumps`, or leave it out",
        });
    }
    if cfg!(not(feature = "screenshots")) && collect.screenshots.are_wanted() {
        return Err(CampaignError::NotSupported {
            what: "`collect.screenshots`".to_owned(),
            instead: "build with `--features screenshots`, or leave it out",
        });
    }
    let place = if collect.cores { cores::place() } else { return Ok(()) };
    for process in plan.scenario.target.supervision(plan.scenario.seed).processes.values() {
        let program = process.command.first().map_or("", String::as_str);
        let directory = options.directory.join(process.directory.as_deref().unwrap_or(""));
        // A name with a number in it is that of nobody yet.
        let of = |pid| place.of(cores::Process { pid, program, directory: &directory });
        if let Some(path) = of(0).filter(|path| Some(path) == of(1).as_ref() && path.exists()) {
            return Err(CampaignError::CoreInTheWay(path));
        }
    }
    Ok(())
}

/// Makes the folder of the run, with the plan in it and the state as it is now, or as an earlier run
/// found it.
pub(super) fn make_folder(
    plan: &Plan,
    options: &Options,
    earlier: Option<&RunFolder>,
) -> Result<RunFolder, CampaignError> {
    let folder = RunFolder::create(&options.out.join("runs"))?;
    announce_tool(&folder)?;
    let text = serde_json::to_string_pretty(plan).expect("a plan is plain data") + "\n";
    folder.write(PLAN, text.as_bytes())?;
    // A plan names no directory of a machine; whoever carries it out again from here needs it.
    folder.write("directory", format!("{}\n", options.directory.display()).as_bytes())?;
    take_snapshots(&plan.scenario, &options.directory, earlier, &folder)?;
    // Last: with it the run can be resumed.
    let setup = SetupFile { version: SETUP_VERSION, options: options.clone() };
    let text = serde_json::to_string_pretty(&setup).expect("plain data") + "\n";
    folder.write(SETUP, text.as_bytes())?;
    Ok(folder)
}

/// The options and the plan of an earlier run.
pub(super) fn read_folder(folder: &RunFolder) -> Result<(Options, Plan), CampaignError> {
    fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, CampaignError> {
        let bytes = regular_file::read(path).map_err(fail("read", path))?;
        serde_json::from_slice(&bytes).map_err(|error| CampaignError::Malformed {
            path: path.to_owned(),
            problem: error.to_string(),
        })
    }
    let path = folder.join(SETUP);
    let setup: SetupFile = read(&path)?;
    if setup.version != SETUP_VERSION {
        let problem = format!("version {} is not {SETUP_VERSION}", setup.version);
        return Err(CampaignError::Malformed { path, problem });
    }
    let plan: Plan = read(&folder.join(PLAN))?;
    plan.verify()?;
    Ok((setup.options, plan))
}

/// Whether the folder is that of a run of a scenario.
pub fn is_campaign(folder: &RunFolder) -> bool {
    folder.join(SETUP).exists()
}

/// The trials that are asked for.
pub(super) fn planned<'a>(plan: &'a Plan, options: &Options) -> Vec<&'a PlannedTrial> {
    let is_asked_for = |trial: &&PlannedTrial| options.only.is_none_or(|it| trial.ordinal == it);
    plan.trials.iter().filter(is_asked_for).collect()
}

/// The first events.
pub(super) fn begin(
    plan: &Plan,
    options: &Options,
    folder: &RunFolder,
    mounts: &Mounts,
) -> Result<Journalist, CampaignError> {
    let mut journalist = Journalist::start(folder)?;
    introduce(plan, options, folder, mounts, &mut journalist)?;
    Ok(journalist)
}

/// What the run is about.
pub(super) fn introduce(
    plan: &Plan,
    options: &Options,
    folder: &RunFolder,
    mounts: &Mounts,
    journalist: &mut Journalist,
) -> Result<(), CampaignError> {
    let scenario = &plan.scenario;
    let supervision = scenario.target.supervision(scenario.seed);
    let commands = supervision.processes.values().map(|process| process.command.join(" "));
    let job = Job::here();
    let setting = Setting {
        command: commands.collect(),
        state: scenario.target.state.clone(),
        models: Vec::new(),
        profile: Profile::Ext4,
        acks: "kill".to_owned(),
        scope: "as each fault says".to_owned(),
        driver: scenario.workload.as_ref().map(|workload| workload.command.join(" ")),
        roles: scenario.target.roles.iter().map(|(name, it)| format!("{name}: {it}")).collect(),
        oracle: scenario.invariants.iter().map(Invariant::kind).collect::<Vec<_>>().join(", "),
        mechanism: "signals, under killpoint's supervisor".to_owned(),
        containment: match mounts {
            _ if scenario.target.state.is_empty() => "each trial has an empty KILLPOINT_STATE",
            Ok(()) => {
                "each trial works on copies of the state directories, mounted over their own paths"
            }
            Err(_) => "each trial works on copies of the state directories",
        }
        .to_owned(),
        seed: plan.seed.clone(),
        jobs: 1,
    };
    journalist.begin_run(folder.id(), job, setting)?;
    journalist.tell(Event::NotCovered(NotCovered {
        file: "*".to_owned(),
        reason: match mounts {
            Err(why) => format!(
                "the target sees its state at another path (KILLPOINT_STATE, {{state}}) since copies \
                 cannot be mounted over its own ({why}); what it writes elsewhere is neither \
                 contained nor judged"
            ),
            Ok(()) => "what the target writes outside of its state is neither contained nor judged"
                .to_owned(),
        },
        needed: false,
    }))?;
    let gaps =
        [super::crashes::gaps(scenario), super::pictures::gap(&scenario.collect.screenshots)];
    for reason in gaps.into_iter().flatten() {
        let gap = NotCovered { file: "*".to_owned(), reason, needed: false };
        journalist.tell(Event::NotCovered(gap))?;
    }
    if scenario.invariants.is_empty() && !scenario.is_of_anothers_target() {
        journalist.tell(Event::NotCovered(NotCovered {
            file: "*".to_owned(),
            reason: "no invariant is asked for: only whether the target comes back was judged"
                .to_owned(),
            needed: false,
        }))?;
    }
    let planned = planned(plan, options);
    let mut remarks = options.course.remarks();
    if let Some(only) = options.only {
        remarks.push(format!("only trial {only} of the {} of the plan", plan.trials.len()));
    }
    if let Some(replayed) = &options.replayed {
        let run = &replayed.run;
        remarks.push(format!("struck at the positions that run {run} recorded, not at its times"));
    }
    remarks.extend(plan.remarks());
    tell(
        journalist,
        TrialEvent::Planned {
            title: scenario.title.clone(),
            digest: plan.digest.clone(),
            trials: planned.len() as u64,
            strikes: planned.iter().map(|trial| trial.strikes.len() as u64).sum(),
            rounds: options.course.known_rounds(),
            remarks,
        },
    )
}
