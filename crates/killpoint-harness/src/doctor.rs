//! Doctor: what this machine offers, what that is for, and what to do where it is missing.

use killpoint_engine::arena::{Containment, probe as containment};
use killpoint_engine::probe::{self, Answer, Namespace};
use serde::Serialize;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// Version of `killpoint doctor --format json`.
const EXAMINATION_VERSION: u32 = 1;

/// How much depends on something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Without it nothing can be explored.
    Required,
    /// Without it the target is contained less.
    Containment,
    /// Without it one thing less can be done.
    Optional,
}

/// One thing that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// What it is.
    pub name: &'static str,
    /// How much depends on it.
    pub need: Need,
    /// Whether it is here.
    pub here: bool,
    /// How that was found out: what was seen, or why it does not work.
    pub found: String,
    /// What killpoint cannot do without it; empty where it is here.
    pub without: &'static str,
    /// What to install or to set; empty where it is here.
    pub remedy: &'static str,
}

/// Something that was only read.
#[derive(Clone, Debug, Serialize)]
pub struct Noted {
    /// What it is.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// What it means for killpoint, where that is not plain.
    pub meaning: &'static str,
}

/// All that is known of this machine.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// Version of this format.
    pub version: u32,
    /// Whether `explore` can run.
    pub can_explore: bool,
    /// How `explore` would contain its target here.
    pub containment: String,
    /// What was tried.
    pub tried: Vec<Tried>,
    /// What was read.
    pub noted: Vec<Noted>,
}

const USER_NAMESPACES: &str = "sysctl kernel.unprivileged_userns_clone=1 (Debian), \
     kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), user.max_user_namespaces=10000; in a \
     container run it with --security-opt seccomp=unconfined, or as root with --privileged";
const NO_NAMESPACES: &str = "targets run at another path than their own (--no-namespaces), one at a \
     time, and what they write elsewhere is not undone";

/// One row of the table: name, need, what fails without it, what to do about that.
type Row = (&'static str, Need, Answer, &'static str, &'static str);

/// Tries everything.
///
/// # Errors
/// If no temporary directory can be made to try mounts on.
pub fn examine(here: &Path) -> io::Result<Examination> {
    let directory = tempfile::tempdir()?;
    let mut rows = processes();
    rows.extend(namespaces(directory.path()));
    rows.extend(groups());
    let tried: Vec<Tried> = rows.into_iter().map(tried).collect();
    let missing = |need: Need| tried.iter().any(|it| it.need == need && !it.here);
    let scratch = tempfile::tempdir()?;
    let (chosen, why_weaker) = containment(directory.path(), scratch.path());
    Ok(Examination {
        version: EXAMINATION_VERSION,
        can_explore: !missing(Need::Required),
        containment: containment_text(chosen, why_weaker),
        noted: noted(here),
        tried,
    })
}

fn tried((name, need, answer, without, remedy): Row) -> Tried {
    match answer {
        Ok(found) => Tried { name, need, here: true, found, without: "", remedy: "" },
        Err(found) => Tried { name, need, here: false, found, without, remedy },
    }
}

fn processes() -> Vec<Row> {
    use Need::{Optional, Required};
    vec![
        (
            "ptrace",
            Required,
            probe::ptrace(),
            "no program can be recorded or struck",
            "sysctl kernel.yama.ptrace_scope=1 (or 0); in a container --cap-add SYS_PTRACE",
        ),
        (
            "seccomp filters",
            Required,
            probe::trace(),
            "no program can be recorded or struck",
            "a kernel with CONFIG_SECCOMP_FILTER; gVisor and qemu-user do not have it",
        ),
        (
            "seccomp notification",
            Optional,
            probe::listener(),
            "programs that use ptrace themselves (debuggers, some sandboxes) cannot be recorded",
            "Linux 5.0, and no other listener around killpoint (a container runtime may hold one)",
        ),
        (
            "Landlock signal scope",
            Optional,
            probe::landlock(),
            "the kernel does not keep a target from signalling others of the same user, where it \
             has no PID namespace",
            "Linux 6.12 with `landlock` in the lsm= boot parameter",
        ),
        (
            "pidfd",
            Required,
            probe::pidfd(),
            "processes cannot be told apart from later ones with the same number",
            "Linux 5.3",
        ),
        (
            "pidfd of a thread",
            Optional,
            probe::pidfd_thread(),
            "single threads cannot be held by a handle",
            "Linux 6.9",
        ),
        (
            "pidfd_getfd",
            Optional,
            probe::pidfd_getfd(),
            "descriptors of the target are looked up in /proc, and --mechanism notify does no calls for it",
            "Linux 5.6; in a container run it with --cap-add SYS_PTRACE",
        ),
    ]
}

fn namespaces(directory: &Path) -> Vec<Row> {
    use Need::{Containment, Optional};
    let root = rustix::process::geteuid().is_root();
    let needed = |kind| if kind == Namespace::User && root { Optional } else { Containment };
    let mut rows: Vec<Row> = Namespace::ALL
        .into_iter()
        .map(|kind| {
            let name = match kind {
                Namespace::User => "user namespace",
                Namespace::Mount => "mount namespace",
                Namespace::Pid => "PID namespace",
                Namespace::Ipc => "IPC namespace",
                Namespace::Network => "network namespace",
            };
            (name, needed(kind), probe::namespace(kind), NO_NAMESPACES, USER_NAMESPACES)
        })
        .collect();
    rows.push(("tmpfs", Containment, probe::tmpfs(directory), NO_NAMESPACES, USER_NAMESPACES));
    let overlay_lost = "directories outside the state are not copy-on-write: what a target writes \
                        there stays";
    let overlay_fix = "modprobe overlay; without root Linux 5.11";
    if root {
        let answer = probe::overlay(directory, false);
        rows.push(("overlay", Containment, answer, overlay_lost, overlay_fix));
    }
    let answer = probe::overlay(directory, true);
    let name = "overlay, as a user";
    rows.push((name, if root { Optional } else { Containment }, answer, overlay_lost, overlay_fix));
    rows
}

fn groups() -> Vec<Row> {
    use Need::Optional;
    let without = "a tree is killed process by process, not at once";
    let images = "the power-loss models cannot be compared with images of real file systems; \
                  exploring does not need that";
    vec![
        (
            "cgroup v2",
            Optional,
            probe::cgroup_v2(),
            without,
            "mount cgroup2, and run in a delegated cgroup: systemd-run --user --scope -p Delegate=yes",
        ),
        (
            "cgroup v1 freezer",
            Optional,
            probe::cgroup_v1_freezer(),
            "nothing, where cgroup v2 is here",
            "not needed",
        ),
        (
            "loop devices",
            Optional,
            probe::loop_device(&["ext4", "xfs", "btrfs"]),
            images,
            "root, modprobe loop, apt-get install e2fsprogs xfsprogs btrfs-progs",
        ),
    ]
}

fn noted(here: &Path) -> Vec<Noted> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut noted = vec![
        Noted { name: "processors", value: processors.to_string(), meaning: "judges side by side" },
        Noted {
            name: "file system here",
            value: probe::file_system(here).unwrap_or_else(|why| why),
            meaning: "choose the profile of power loss by where the data will lie (--profile)",
        },
    ];
    let settings = [
        ("kernel/yama/ptrace_scope", "2 and 3 forbid recording without root"),
        ("kernel/unprivileged_userns_clone", "0 forbids user namespaces without root"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1 forbids user namespaces to programs without a profile",
        ),
        ("user/max_user_namespaces", "0 forbids user namespaces"),
    ];
    for (name, meaning) in settings {
        let value = probe::setting(name).unwrap_or_else(|| "not there".to_owned());
        noted.push(Noted { name, value, meaning });
    }
    noted
}

fn containment_text(chosen: Containment, why_weaker: Option<String>) -> String {
    match chosen {
        Containment::Namespaces { user: false } => {
            "mount, PID, IPC, network and UTS namespaces, made by root".to_owned()
        }
        Containment::Namespaces { user: true } => {
            "mount, PID, IPC, network and UTS namespaces inside a user namespace".to_owned()
        }
        Containment::Redirect => {
            let why = why_weaker.unwrap_or_default();
            format!("weaker: the state is a copy at another path ({why})")
        }
    }
}

/// The examination for people.
pub fn page(examination: &Examination) -> String {
    let mut text = String::new();
    for it in &examination.tried {
        let mark = if it.here { "yes" } else { "NO " };
        let _ = writeln!(text, "  {mark}  {:<24} {}", it.name, it.found);
        if !it.here {
            let need = match it.need {
                Need::Required => "REQUIRED: ",
                Need::Containment | Need::Optional => "",
            };
            let _ = writeln!(text, "       without it   {need}{}", it.without);
            let _ = writeln!(text, "       to mend it   {}", it.remedy);
        }
    }
    text.push('\n');
    for it in &examination.noted {
        let _ = writeln!(text, "       {:<46} {:<10} {}", it.name, it.value, it.meaning);
    }
    let verdict = match examination.can_explore {
        true => "killpoint explore can run here.",
        false => "killpoint explore CANNOT run here: see what is REQUIRED above.",
    };
    let _ = writeln!(text, "\n  Containment: {}", examination.containment);
    let _ = writeln!(text, "  {verdict}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_says_what_is_lost_and_how_to_mend_it() {
        let missing = tried(("x", Need::Required, Err("no".to_owned()), "lost", "mend"));
        let examination = Examination {
            version: EXAMINATION_VERSION,
            can_explore: false,
            containment: String::new(),
            tried: vec![missing],
            noted: Vec::new(),
        };
        let page = page(&examination);
        assert!(page.contains("NO   x") && page.contains("REQUIRED: lost"), "{page}");
        assert!(page.contains("mend") && page.contains("CANNOT"), "{page}");
    }
}
