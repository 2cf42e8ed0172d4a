//! What one trial collects while it goes on: samples of what the target uses, dumps, snapshots,
//! pictures of the screen.

use super::options::Options;
use super::pictures::Pictures;
use super::problem::{CampaignError, fail};
use super::snapshots::Snapshots;
use super::state::State;
use super::strike::Living;
use super::supervisor::Supervisor;
use super::world::World;
use crate::collector::cores::{self, Place};
use crate::collector::resources::Sampler;
#[cfg(feature = "dumps")]
use crate::collector::watch::{Line, Watch};
#[cfg(feature = "dumps")]
use crate::injector::Dumper;
use crate::own_paths::OwnPaths;
use killpoint_engine::identity;
use killpoint_model::Scenario;
use killpoint_model::lifecycle::{Exit, Lifecycle, Record};
use killpoint_model::resources::ResourceSeries;
use killpoint_model::scenario::Dump;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// What is collected.
#[derive(Debug)]
pub(super) struct Collecting {
    /// Where dumps go.
    pub(super) dumps: PathBuf,
    /// Whether what a strike kills is dumped.
    pub(super) dumps_before_kill: bool,
    /// Copies of the state.
    pub(super) snapshots: Snapshots,
    /// Pictures of the screen.
    pub(super) pictures: Pictures,
    /// Cores that were taken away, by process and life, and their lengths.
    pub(super) cores: BTreeMap<(String, u32), (PathBuf, u64)>,
    sampler: Option<Sampler>,
    #[cfg(feature = "dumps")]
    watch: Option<Watch>,
    cores_at: Option<Place>,
    /// Where what the target sees really is.
    own_paths: OwnPaths,
}

impl Collecting {
    /// Begins, before the target is started.
    pub(super) fn start(
        scenario: &Scenario,
        world: &World,
        is_display_silent: bool,
    ) -> Result<Self, CampaignError> {
        let collect = &scenario.collect;
        let dumps = world.folder.join("dumps");
        if !collect.dump.is_none() || collect.cores {
            fs::create_dir_all(&dumps).map_err(fail("make the directory", &dumps))?;
        }
        let interval = collect.samples.duration();
        Ok(Collecting {
            dumps,
            dumps_before_kill: collect.dump.all().contains(&Dump::BeforeKill),
            snapshots: Snapshots::new(&world.folder, collect.snapshots),
            pictures: Pictures::start(&collect.screenshots, &world.folder, is_display_silent),
            cores: BTreeMap::new(),
            sampler: (!interval.is_zero()).then(|| Sampler::start(interval)),
            #[cfg(feature = "dumps")]
            watch: None,
            cores_at: collect.cores.then(cores::place),
            own_paths: world.own_paths.clone(),
        })
    }

    /// Follows the supervisor, which waits for it where crashes are to be dumped.
    #[cfg_attr(not(feature = "dumps"), expect(unused_variables, reason = "only dumps need it"))]
    pub(super) fn follow(
        &mut self,
        scenario: &Scenario,
        options: &Options,
        world: &World,
        supervisor: &Supervisor,
    ) -> Result<(), CampaignError> {
        #[cfg(feature = "dumps")]
        if let (true, Some(pid)) =
            (scenario.collect.dump.all().contains(&Dump::Crashes), supervisor.pid())
        {
            let (words, roles) = (world.folder.join("watch.txt"), world.folder.join("roles.json"));
            let text = serde_json::to_string_pretty(&scenario.target.roles).expect("plain data");
            fs::write(&roles, text).map_err(fail("write", &roles))?;
            let watch = Watch::start(&options.supervisor, pid, &roles, &self.dumps, &words);
            self.watch = Some(watch.map_err(fail("start the watch for crashes", &words))?);
        }
        Ok(())
    }

    /// Takes in what the supervisor told: who has which name, and whether there is a core.
    pub(super) fn take(&mut self, record: &Record, state: &State, living: &Living<'_>) {
        let is_new = matches!(
            record.event,
            Lifecycle::SupervisorStarted { .. }
                | Lifecycle::Started { .. }
                | Lifecycle::MainChanged { .. }
        );
        let root = state.supervisor.and_then(|pid| identity::status(pid).ok());
        if let (true, Some(sampler), Some(root)) = (is_new, &self.sampler, root) {
            sampler.look_below(root.identity, living.roles());
        }
        if let Lifecycle::Ended { exit: Some(Exit::Signal { core: true, .. }), .. } = record.event {
            self.take_core(state);
        }
    }

    /// At once: the next core may be written to the same place.
    fn take_core(&mut self, state: &State) {
        let (Some(place), Some(death)) = (&self.cores_at, state.deaths.last()) else { return };
        let Some(executed) = state.processes.get(&death.process) else { return };
        let (name, life) = (death.process.clone(), death.life);
        let to = self.dumps.join(format!("{name}.{life}.core"));
        let process = cores::Process {
            pid: death.pid,
            program: &executed.program,
            directory: &self.own_paths.real(&executed.directory),
        };
        if let Ok(Some(bytes)) = place.take(process, &to) {
            self.cores.insert((name, life), (to, bytes));
        }
    }

    /// Ends the samples.
    pub(super) fn resources(&mut self) -> Vec<ResourceSeries> {
        self.sampler.take().map(Sampler::end).unwrap_or_default()
    }

    /// Who dumps what a strike kills, if the watch is the only one who can.
    #[cfg(feature = "dumps")]
    pub(super) fn dumper(&mut self) -> Option<Dumper> {
        let mut asker = self.watch.as_mut()?.asker()?;
        Some(Dumper(Box::new(move |pid, path| asker.dump_and_kill(pid, path))))
    }

    /// Ends the watch: what it saw, and why it could not watch, if it could not.
    #[cfg(feature = "dumps")]
    pub(super) fn seen(&mut self) -> (Vec<Line>, Option<String>) {
        self.watch.take().map(Watch::end).unwrap_or_default()
    }
}
