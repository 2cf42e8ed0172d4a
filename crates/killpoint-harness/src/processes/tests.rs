//! Selection over real processes, each started and ended by its test.

use super::*;
use killpoint_model::selector::Pick;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

/// A shell with three children, one of which has a child of its own.
struct Family {
    shell: Child,
    root: Identity,
}

/// The numbers are the seconds that they sleep: `sleep 1001` and so on.
const SCRIPT: &str = "sleep 1001 & sleep 1002 & sh -c 'sleep 1003 & wait' & wait";

impl Family {
    fn start() -> Self {
        Self::of(Command::new("sh").args(["-c", SCRIPT]).env("FAMILY", "a=b"), 4)
    }

    fn of(command: &mut Command, descendants: usize) -> Self {
        let shell = command.spawn().expect("a shell");
        let root = identity_of(shell.id());
        let family = Family { shell, root };
        // Each process is its program's copy until it executes its own.
        let is_whole = |found: &[Found]| {
            found.len() == descendants && found.iter().filter(|it| it.comm == "sleep").count() >= 3
        };
        while !is_whole(&family.find(&Who::default()).chosen) {
            std::thread::yield_now();
        }
        family
    }

    fn find(&self, who: &Who) -> Selection {
        self.find_with(&[("outer", "cmdline:^sh -c sleep 1003")], who, 1)
    }

    fn find_with(&self, roles: &[(&str, &str)], who: &Who, seed: u64) -> Selection {
        let finder = Finder::open(parse(roles)).expect("/proc");
        finder.find(who, Within::Below(self.root), Seed(seed)).expect("a search")
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        for found in self.find(&Who::default()).chosen {
            let _ = found.identity.kill();
        }
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn parse(roles: &[(&str, &str)]) -> Roles {
    let mut parsed = Roles::default();
    for (name, selector) in roles {
        parsed.add(name, selector.parse().expect(selector)).expect(name);
    }
    parsed
}

fn identity_of(pid: u32) -> Identity {
    identity::status(i32::try_from(pid).expect("small")).expect("it runs").identity
}

fn select(selector: &str) -> Who {
    Who { select: Some(selector.parse().expect(selector)), ..Who::default() }
}

fn commands(found: &[Found]) -> Vec<String> {
    let command = |found: &Found| {
        let bytes = std::fs::read(format!("/proc/{}/cmdline", found.identity.pid)).expect("alive");
        String::from_utf8(bytes).expect("text").replace('\0', " ").trim_end().to_owned()
    };
    found.iter().map(command).collect()
}

#[test]
fn every_question_is_answered_by_the_processes_themselves() {
    let family = Family::start();
    let own = rustix::process::geteuid().as_raw();
    for (selector, expected) in [
        ("cmdline:^sleep 100[12]$".to_owned(), 2),
        ("comm:sleep".to_owned(), 3),
        ("executable:sleep".to_owned(), 3),
        ("environment:FAMILY".to_owned(), 4),
        ("environment:FAMILY=a=b".to_owned(), 4),
        ("environment:FAMILY=a".to_owned(), 0),
        (format!("user:{own}"), 4),
        ("user:65533".to_owned(), 0),
        ("depth:1".to_owned(), 3),
        ("depth:2".to_owned(), 1),
        ("cgroup:/".to_owned(), 4),
        ("cgroup:/no/such/group".to_owned(), 0),
        (format!("pid:{}", family.root.pid), 0),
        (format!("children-of:pid:{}", family.root.pid), 3),
        ("children-of:cmdline:^sh -c sleep 1003".to_owned(), 1),
        ("port:9".to_owned(), 0),
    ] {
        let selection = family.find(&select(&selector));
        let found = commands(&selection.chosen);
        assert_eq!(found.len(), expected, "{selector}: {found:?}");
        assert_eq!(selection.denied, 0, "{selector}");
    }
}

#[test]
fn a_user_is_found_by_name() {
    let family = Family::start();
    let own = rustix::process::geteuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").expect("users");
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(own)).then_some(name)
    });
    let Some(name) = name else {
        println!("skipped: this user has no name");
        return;
    };
    assert_eq!(family.find(&select(&format!("user:{name}"))).chosen.len(), 4);
    let finder = Finder::open(Roles::default()).expect("/proc");
    let unknown = finder.check(&select("user:no-such-user"), Within::Machine);
    assert!(matches!(unknown, Err(FindError::UnknownUser(_))), "{unknown:?}");
}

#[test]
fn a_listening_port_is_found_by_who_holds_its_socket() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let mut child = Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .spawn()
        .expect("sleep");
    let finder = Finder::open(Roles::default()).expect("/proc");
    let who = select(&format!("port:{port}"));
    let within = Within::Below(identity_of(std::process::id()));
    let selection = finder.find(&who, within, Seed(1)).expect("a search");
    let everywhere = finder.find(&who, Within::Machine, Seed(1)).expect("a search");
    child.kill().expect("alive");
    child.wait().expect("ended");
    let found: Vec<u32> =
        selection.chosen.iter().map(|found| found.identity.pid.cast_unsigned()).collect();
    assert_eq!(found, [child.id()]);
    assert_eq!(everywhere.chosen.len(), 1);
}

#[test]
fn newest_and_oldest_follow_the_order_of_birth() {
    let family = Family::start();
    let mut born = family.find(&Who::default()).chosen;
    assert!(born.is_sorted_by_key(super::born));
    for (age, expected) in [(Age::Oldest, born.remove(0)), (Age::Newest, born.pop().expect("one"))]
    {
        let selection = family.find(&Who { age: Some(age), ..Who::default() });
        assert_eq!(selection.chosen, [expected]);
        assert_eq!(selection.matched, 4);
    }
}

#[test]
fn a_seed_picks_the_same_process_again_and_seeds_pick_them_all() {
    let family = Family::start();
    let who = Who { pick: Pick::One, ..select("comm:sleep") };
    let mut picked = BTreeSet::new();
    for seed in 0..40 {
        let first = family.find_with(&[], &who, seed);
        assert_eq!(first, family.find_with(&[], &who, seed));
        assert_eq!((first.chosen.len(), first.matched), (1, 3));
        picked.insert(first.chosen[0].identity);
    }
    assert_eq!(picked.len(), 3);
}

#[test]
fn a_tree_takes_what_descends_and_leaves_what_is_spared() {
    let family = Family::start();
    let roles = [("outer", "cmdline:^sh -c sleep 1003"), ("second", "cmdline:^sleep 1002$")];
    let outer = Who { role: Some("outer".to_owned()), ..Who::default() };
    let alone = family.find_with(&roles, &outer, 1);
    assert_eq!(alone.chosen.len(), 1);
    assert_eq!(alone.chosen[0].role.as_deref(), Some("outer"));
    let tree = family.find_with(&roles, &Who { tree: true, ..outer.clone() }, 1);
    assert_eq!(commands(&tree.chosen)[1..], ["sleep 1003"]);

    // The one in the middle lives, what is below it does not.
    let all = Who { tree: true, sparing: vec!["outer".to_owned()], ..Who::default() };
    let spared = family.find_with(&roles, &all, 1);
    assert_eq!(spared.chosen.len(), 3);
    assert_eq!(spared.spared.len(), 1);
    assert_eq!(spared.spared[0].role.as_deref(), Some("outer"));
    let never = Who { never: vec!["comm:sleep".parse().expect("one")], ..Who::default() };
    assert_eq!(family.find(&never).chosen.len(), 1);
}

#[test]
fn nobody_is_found_who_is_this_process_or_above_it() {
    let finder = Finder::open(Roles::default()).expect("/proc");
    for pid in [std::process::id().cast_signed(), 1] {
        let who = select(&format!("pid:{pid}"));
        let selection = finder.find(&who, Within::Machine, Seed(1)).expect("a search");
        assert_eq!(selection.chosen, []);
        let children = Who { tree: true, ..select(&format!("children-of:pid:{pid}")) };
        let selection = finder.find(&children, Within::Machine, Seed(1)).expect("a search");
        let own = std::process::id().cast_signed();
        assert!(selection.chosen.iter().all(|found| found.identity.pid != own));
    }
}

#[test]
fn the_dead_are_not_found_and_nobody_is_an_answer() {
    let mut child = Command::new("true").spawn().expect("true");
    let identity = identity_of(child.id());
    while identity.is_alive() {
        std::thread::yield_now();
    }
    let finder = Finder::open(Roles::default()).expect("/proc");
    let who = select(&format!("pid:{}", identity.pid));
    let selection = finder.find(&who, Within::Machine, Seed(1)).expect("a search");
    assert_eq!(selection, Selection::default());
    child.wait().expect("ended");
}

#[test]
fn choices_that_mean_nothing_are_refused_before_anything_is_touched() {
    let finder = Finder::open(parse(&[("worker", "comm:w")])).expect("/proc");
    let role = |name: &str| Who { role: Some(name.to_owned()), ..Who::default() };
    let unknown = finder.check(&role("wroker"), Within::Machine).expect_err("no such role");
    assert_eq!(unknown.to_string(), "there is no role `wroker`: there are worker");
    let everybody = finder.check(&Who::default(), Within::Machine);
    assert!(matches!(everybody, Err(FindError::Everybody)));
    let depth = finder.check(&select("children-of:depth:1"), Within::Machine);
    assert!(matches!(depth, Err(FindError::NoDepth)));
    let spared = Who { sparing: vec!["x".to_owned()], ..role("worker") };
    assert!(matches!(finder.check(&spared, Within::Machine), Err(FindError::UnknownRole { .. })));
    let ended = Identity { pid: i32::MAX, start: 1 };
    let below = finder.find(&Who::default(), Within::Below(ended), Seed(1));
    assert!(matches!(below, Err(FindError::Ended(_))), "{below:?}");
}

#[test]
fn the_few_of_a_crowd_are_found_as_those_of_a_small_tree_are() {
    // More than are listed before they are asked, and a stranger who fits beside them.
    let script = format!(
        "for n in $(seq {}); do sleep 2$n & done; sh -c 'sleep 9001 & wait' & wait",
        LISTED_MAX + 50
    );
    let mut command = Command::new("sh");
    let family = Family::of(command.args(["-c", &script]), LISTED_MAX + 52);
    let mut stranger = Command::new("sleep").arg("9001").spawn().expect("sleep");
    let within = Within::Below(family.root);
    let finder = Finder::open(Roles::default()).expect("/proc");
    let who = select("cmdline:^sleep 9001$");
    assert!(finder.listed(&who, within).expect("alive").is_none(), "they are not listed");
    let found = finder.find(&who, within, Seed(1)).expect("a search").chosen;
    let everywhere = finder.find(&who, Within::Below(identity_of(std::process::id())), Seed(1));
    stranger.kill().expect("alive");
    stranger.wait().expect("ended");
    assert_eq!(found.iter().map(|it| it.depth).collect::<Vec<_>>(), [Some(2)]);
    assert_eq!(everywhere.expect("a search").chosen.len(), 2);
}
