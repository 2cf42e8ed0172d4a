//! The shape of the code: imports point down, purity and `unsafe` stay where they belong, and ARCHITECTURE.md knows every
//! module.

use crate::support::repository;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of each room of the harness that it may import, itself apart.
const HARNESS: &[(&str, &[&str])] = &[
    ("lib", &[]),
    ("asserter", &["numbers", "own_paths"]),
    ("own_paths", &[]),
    (
        "attach",
        &[
            "asserter",
            "injector",
            "interrupt",
            "job",
            "journalist",
            "numbers",
            "own_paths",
            "processes",
            "recover",
            "report",
            "store",
        ],
    ),
    ("collector", &["processes"]),
    ("comparison", &["report"]),
    ("triage", &["numbers", "report", "store"]),
    ("numbers", &[]),
    ("scenario", &["asserter"]),
    ("store", &[]),
    ("journalist", &["job", "store"]),
    ("baseline", &[]),
    ("diagnose", &[]),
    ("difference", &[]),
    ("doctor", &[]),
    ("interrupt", &[]),
    ("job", &[]),
    ("upload", &["store"]),
    ("processes", &[]),
    ("injector", &["own_paths", "processes", "recover"]),
    ("target", &[]),
    ("report", &["numbers", "store"]),
    ("recover", &["store"]),
    ("environment", &["asserter", "store", "interrupt"]),
    ("interceptor", &[]),
    (
        "campaign",
        &[
            "asserter",
            "baseline",
            "collector",
            "difference",
            "injector",
            "interceptor",
            "interrupt",
            "job",
            "journalist",
            "numbers",
            "own_paths",
            "processes",
            "recover",
            "report",
            "store",
        ],
    ),
    (
        "explore",
        &[
            "asserter",
            "baseline",
            "store",
            "diagnose",
            "difference",
            "environment",
            "interrupt",
            "job",
            "journalist",
            "numbers",
            "own_paths",
            "recover",
            "report",
        ],
    ),
];

/// What the crate of nouns must not know.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::sync",
    "Instant",
    "SystemTime",
];

/// Every Rust file below a directory, with its text.
fn sources(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a readable directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a readable file");
                found.insert(path, text);
            }
        }
    }
    assert!(!found.is_empty(), "{}", directory.display());
    found
}

fn crate_sources(name: &str) -> BTreeMap<PathBuf, String> {
    sources(&repository().join("crates").join(name).join("src"))
}

fn crates() -> Vec<String> {
    let entries = fs::read_dir(repository().join("crates")).expect("the crates");
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("a name");
    entries.map(|entry| name(entry.expect("an entry"))).collect()
}

/// The module at the top of its crate that a file belongs to.
fn room(crate_name: &str, path: &Path) -> String {
    let source = repository().join("crates").join(crate_name).join("src");
    let below = path.strip_prefix(source).expect("a file of the crate");
    let first = below.components().next().expect("a name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules that a text names behind a prefix such as `crate::`, comments apart.
fn imports(text: &str, prefix: &str) -> BTreeSet<String> {
    let code: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut found = BTreeSet::new();
    for (position, word) in code.match_indices(prefix) {
        let is_part_of_a_name =
            code[..position].ends_with(|last: char| last.is_alphanumeric() || last == '_');
        let rest = &code[position + word.len()..];
        if is_part_of_a_name {
            continue;
        }
        let identifier = |text: &str| -> String {
            text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        match rest.strip_prefix('{') {
            Some(group) => {
                let group = &group[..group.find("};").unwrap_or(group.len())];
                let mut depth = 0;
                let mut start = 0;
                for (index, character) in group.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            found.insert(identifier(&group[start..index]));
                            start = index + 1;
                        }
                        _ => {}
                    }
                }
                found.insert(identifier(&group[start..]));
            }
            None => {
                found.insert(identifier(rest));
            }
        }
    }
    found.remove("");
    found
}

/// The modules at the top of a crate, and those that each of them imports.
fn graph(crate_name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // What the tests of a room import is not what the room imports.
    let is_test = |path: &Path| {
        path.components().any(|part| part.as_os_str() == "tests.rs" || part.as_os_str() == "tests")
    };
    let sources = crate_sources(crate_name).into_iter();
    for (path, text) in sources
        .filter(|(path, _)| !is_test(path.strip_prefix(repository()).expect("in the repository")))
    {
        graph.entry(room(crate_name, &path)).or_default().extend(imports(&text, "crate::"));
    }
    let rooms: BTreeSet<String> = graph.keys().cloned().collect();
    for (room, imports) in &mut graph {
        imports.retain(|import| import != room && rooms.contains(import));
    }
    graph
}

#[test]
fn imports_are_read_off_plain_and_grouped_paths() {
    let text = "use crate::one::Thing;\n// crate::comment\nuse crate::{two::{A, B}, three};\n\
                let x = crate::four::call(); other_crate::five();";
    let found: Vec<String> = imports(text, "crate::").into_iter().collect();
    assert_eq!(found, ["four", "one", "three", "two"]);
}

#[test]
fn the_rooms_of_the_harness_import_only_those_below_them() {
    let allowed: BTreeMap<&str, &[&str]> = HARNESS.iter().copied().collect();
    for (room, imports) in graph("killpoint-harness") {
        let allowed = allowed
            .get(room.as_str())
            .unwrap_or_else(|| panic!("say in the table what the new room `{room}` may import"));
        for import in imports {
            assert!(allowed.contains(&import.as_str()), "`{room}` may not import `{import}`");
        }
    }
}

#[test]
fn exploring_knows_of_reports_only_that_they_are_written() {
    for (path, text) in crate_sources("killpoint-harness") {
        if room("killpoint-harness", &path) == "explore" {
            let others = text.replace("crate::report::write_all", "");
            assert!(!others.contains("crate::report"), "{}", path.display());
        }
    }
}

#[test]
fn the_modules_of_the_model_and_of_the_engine_form_no_cycle() {
    for name in ["killpoint-model", "killpoint-engine"] {
        check_acyclic(graph(name));
    }
}

/// The rooms of the harness whose own modules form no cycle. The room itself, which names them all, and
/// their tests are left out.
const WITHOUT_CYCLES: &[&str] = &["attach", "diagnose", "explore"];

#[test]
fn the_modules_of_a_room_form_no_cycle() {
    for room in WITHOUT_CYCLES {
        let directory = repository().join("crates/killpoint-harness/src").join(room);
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (path, text) in sources(&directory) {
            let below = path.strip_prefix(&directory).expect("a file of the room");
            let module = below.components().next().expect("a name").as_os_str().to_string_lossy();
            let module = module.trim_end_matches(".rs").to_owned();
            let mut found = imports(&text, &format!("crate::{room}::"));
            if below.components().count() == 1 {
                found.extend(imports(&text, "super::"));
            }
            if module != "tests" {
                graph.entry(module).or_default().extend(found);
            }
        }
        let modules: BTreeSet<String> = graph.keys().cloned().collect();
        for (module, imports) in &mut graph {
            imports.retain(|import| import != module && modules.contains(import));
        }
        check_acyclic(graph);
    }
}

fn check_acyclic(mut graph: BTreeMap<String, BTreeSet<String>>) {
    while let Some(leaf) =
        graph.iter().find(|(_, imports)| imports.is_empty()).map(|(name, _)| name.clone())
    {
        graph.remove(&leaf);
        for imports in graph.values_mut() {
            imports.remove(&leaf);
        }
    }
    assert!(graph.is_empty(), "these import each other in a circle: {graph:?}");
}

#[test]
fn crates_depend_only_on_those_below_them() {
    let below: &[(&str, &[&str])] = &[
        ("killpoint-model", &[]),
        ("killpoint-sdk", &[]),
        ("killpoint-engine", &["killpoint-model"]),
        ("killpoint-harness", &["killpoint-model", "killpoint-engine"]),
        ("killpoint", &["killpoint-model", "killpoint-engine", "killpoint-harness"]),
    ];
    for (name, allowed) in below {
        let path = repository().join("crates").join(name).join("Cargo.toml");
        let text = fs::read_to_string(path).expect("a manifest");
        let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for line in dependencies.lines().filter(|line| line.starts_with("killpoint")) {
            let dependency = line.split(['.', ' ', '=']).next().expect("a name");
            assert!(allowed.contains(&dependency), "{name} may not depend on {dependency}");
        }
    }
}

#[test]
fn the_crate_of_nouns_has_no_input_output_clock_or_threads() {
    for (path, text) in crate_sources("killpoint-model") {
        for word in IMPURE {
            assert!(!text.contains(word), "{} uses {word}", path.display());
        }
    }
}

#[test]
fn the_engine_is_the_only_crate_with_unsafe_code() {
    for name in crates().into_iter().filter(|name| name != "killpoint-engine") {
        for (path, text) in crate_sources(&name) {
            let is_unsafe = text.lines().any(|line| {
                let line = line.trim_start();
                !line.starts_with("//") && (line.contains("unsafe {") || line.contains("unsafe fn"))
            });
            assert!(!is_unsafe, "{} has unsafe code", path.display());
        }
    }
}

#[test]
fn the_map_names_every_module_that_has_a_directory() {
    let Ok(map) = fs::read_to_string(repository().join("ARCHITECTURE.md")) else {
        println!("skipped: there is no ARCHITECTURE.md yet");
        return;
    };
    for name in crates() {
        assert!(map.contains(&name), "ARCHITECTURE.md does not name the crate {name}");
        for path in crate_sources(&name).into_keys() {
            let module = path.with_extension("");
            if module.is_dir() {
                let module = module.file_name().expect("a name").to_string_lossy();
                assert!(map.contains(&*module), "ARCHITECTURE.md does not name {name}: {module}");
            }
        }
    }
}
