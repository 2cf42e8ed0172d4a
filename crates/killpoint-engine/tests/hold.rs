//! A call that is held: what becomes of it when somebody decides, and when nobody does.

use killpoint_engine::arena::{self, Arena, Plan};
use killpoint_engine::record::hold::{Decision, Met, Overseer, Setup, follow};
use killpoint_engine::record::{Output, Root};
use killpoint_engine::recording::Exit;
use killpoint_engine::spawn::{Launch, find_program, null};
use killpoint_model::Roles;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

/// One write, whose result is the exit status.
const PROGRAM: &str = "import os, sys
file = os.open(os.environ['KILLPOINT_STATE'] + '/note', os.O_CREAT | os.O_WRONLY)
try:
    os._exit(os.write(file, b'abcdef'))
except OSError as error:
    os._exit(100 + error.errno)
";

/// Decides once, at the only write; never where there is nothing to decide.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Scripted {
    decision: Option<Decision>,
    met: Vec<Met>,
    returned: Vec<i64>,
    expired: u32,
}

impl Overseer for Scripted {
    fn met(&mut self, call: &Met) -> bool {
        self.met.push(call.clone());
        call.address == "write(note)#1"
    }

    fn decision(&mut self) -> Option<Decision> {
        self.decision.take()
    }

    fn returned(&mut self, result: i64) {
        self.returned.push(result);
    }

    fn expired(&mut self) {
        self.expired += 1;
    }

    fn tick(&mut self) -> bool {
        false
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Held {
    exit: Exit,
    overseer: Scripted,
    note: String,
}

fn hold(decision: Option<Decision>, arena: &Arena) -> Result<Held, Box<dyn Error>> {
    fs::create_dir(arena.in_scratch("state"))?;
    let state = arena.shown("state");
    let journal = arena.in_scratch("journal");
    fs::write(&journal, b"")?;
    let mut environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    environment.push(("KILLPOINT_STATE".into(), state.clone().into()));
    let directory = PathBuf::from("/");
    let path = std::env::var_os("PATH");
    let program = find_program("python3".as_ref(), path.as_deref(), &directory)?;
    let arguments = ["python3", "-c", PROGRAM].map(OsString::from).to_vec();
    let setup = Setup {
        launch: Launch { program, arguments, environment, directory },
        roots: vec![Root { path: state.clone(), prefix: String::new() }],
        journal,
        stable: None,
        roles: Roles::default(),
        timeout: Duration::from_secs(60),
        hold_max: Duration::from_millis(200),
        threads_max: 100,
    };
    let sink = || File::options().write(true).open("/dev/null").map(OwnedFd::from);
    let output = Output { input: null()?, output: sink()?, error: sink()? };
    let mut overseer = Scripted { decision, ..Scripted::default() };
    let followed = follow(setup, output, &mut overseer)?;
    let note = fs::read_to_string(state.join("note"))?;
    Ok(Held { exit: followed.exit, overseer, note })
}

fn held(decision: Option<Decision>) -> Held {
    let folder = tempfile::tempdir().expect("a directory");
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch).expect("a directory");
    let plan = Plan {
        containment: arena::probe(folder.path(), &scratch).0,
        run: folder.path().to_owned(),
        scratch,
        scratch_bytes: 1 << 30,
        views: Vec::new(),
        process_ids_above: 0,
        host_name: None,
    };
    let mut worker = arena::start(&plan, |arena, channel| {
        let found = hold(decision, arena).map_err(|error| format!("{error:?}"));
        let _ = channel.send(&found);
    })
    .expect("a worker");
    let received = worker.channel().receive(Some(Duration::from_secs(120))).expect("an answer");
    let found: Result<Held, String> = received.expect_message().expect("an answer in time");
    found.unwrap_or_else(|error| panic!("{decision:?}: {error}"))
}

#[test]
fn a_held_call_ends_as_it_was_decided_and_goes_on_where_nobody_decides() {
    let table = [
        (Some(Decision::Carry), 6, "abcdef", vec![], 0),
        (Some(Decision::Fail(libc::ENOSPC)), 100 + libc::ENOSPC, "", vec![-28], 0),
        (Some(Decision::Short(2)), 2, "ab", vec![2], 0),
        // It is another call by then, and nobody holds that.
        (Some(Decision::Again), 6, "abcdef", vec![], 0),
        (None, 6, "abcdef", vec![], 1),
    ];
    for (decision, status, note, returned, expired) in table {
        let held = held(decision);
        assert_eq!(held.exit, Exit::Status(status), "{decision:?}: {held:?}");
        assert_eq!(held.note, note, "{decision:?}: {held:?}");
        assert_eq!(held.overseer.returned, returned, "{decision:?}: {held:?}");
        assert_eq!(held.overseer.expired, expired, "{decision:?}: {held:?}");
        let lengths = held.overseer.met.iter().filter_map(|call| call.length);
        let again = usize::from(matches!(decision, Some(Decision::Again)));
        assert_eq!(lengths.collect::<Vec<_>>(), vec![6; 1 + again], "{decision:?}: {held:?}");
    }
}
