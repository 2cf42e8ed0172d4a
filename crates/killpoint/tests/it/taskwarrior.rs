//! A program from Debian, as an ordinary user runs it: no variable, no wrapper, no state directory named.

use crate::support::{Explored, World, explored, is_root, succeed};
use killpoint_model::{CrashModel, Outcome};
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Stdio};

const NOBODY: u32 = 65_534;

/// Prints every task with its status, as any script might.
const CHECK: &str = r#"task export | python3 -c '
import json, sys
print(json.dumps({task["description"]: task["status"] for task in json.load(sys.stdin)}))'"#;

/// A home with three tasks in it, of a user who is not root.
struct Home {
    world: World,
}

impl Home {
    fn new() -> Home {
        let home = Home { world: World::new() };
        fs::write(home.world.join(".taskrc"), "confirmation=off\nnews.version=2.6.0\n")
            .expect("written");
        fs::copy(env!("CARGO_BIN_EXE_killpoint"), home.world.join("killpoint")).expect("copied");
        if is_root() {
            for name in ["", ".taskrc"] {
                chown(home.world.join(name), Some(NOBODY), Some(NOBODY)).expect("root may");
            }
        }
        for task in ["bread", "milk", "butter"] {
            succeed(home.command(Path::new("task")).args(["add", task]));
        }
        home
    }

    /// A program with the environment of a fresh login.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        if is_root() {
            let user = NOBODY.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
        }
        command.arg(program).current_dir(self.world.path()).stdin(Stdio::null()).env_clear();
        command.env("HOME", self.world.path()).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command
    }

    fn explore(&self, flags: &[&str]) -> Explored {
        let mut command = self.command(&self.world.join("killpoint"));
        command.args(["explore", "--format", "json"]).args(flags).args(["--", "task", "1", "done"]);
        explored(&mut command)
    }
}

fn is_version_2() -> bool {
    let output = Command::new("task").arg("--version").stdin(Stdio::null()).output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let is_version_2 = version.as_ref().is_ok_and(|text| text.starts_with("2."));
    if !is_version_2 {
        println!("skipped: taskwarrior 2 is not installed ({version:?})");
    }
    is_version_2
}

#[test]
fn a_task_that_a_kill_loses_is_found_without_naming_its_state() {
    if !is_version_2() {
        return;
    }
    let home = Home::new();
    let explored = home.explore(&["--intent", "bread completed", "--check", CHECK]);
    explored.expect(Outcome::Violated);
    assert!(explored.violated(CrashModel::Kill) >= 1, "{}", explored.summary());
    let state = &explored.report.setting.as_ref().expect("a setting").state;
    assert_eq!(state, &[home.world.join(".task").display().to_string()]);
}
