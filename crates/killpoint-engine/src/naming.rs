//! Names of the files of a state while it is recorded, and the addresses made from them.
//!
//! Fed with what the recorder saw, and with the time. A name that was not there at the start and that
//! not every recording knows (random and process-id parts), or that tells the time, is written as
//! `<newN>`: the N-th such name born in its directory. Names that all recordings share are written as
//! they are, so that threads that race to create their files shift nothing either.

mod times;

use killpoint_model::address::{escape, role_suffix, shape};
use killpoint_model::operation::{FileId, Name, OperationKind};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use times::Times;

/// Most directories below one another that are followed.
const DEPTH_MAX: usize = 1_000;

/// A path in an address, and as it really is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// As an address has it.
    pub(crate) path: Arc<str>,
    /// As a person knows it.
    pub(crate) shown: Arc<str>,
}

impl Label {
    /// A label that is written alike in addresses and for people.
    pub(crate) fn alike(text: &str) -> Self {
        let text = Arc::from(text);
        Label { path: Arc::clone(&text), shown: text }
    }
}

/// Which names are written as they are.
#[derive(Debug)]
enum Fixed {
    /// Those that do not tell the time.
    Timeless(Times),
    /// Those that every recording before had.
    Recorded(BTreeSet<String>),
}

/// The directories of the state.
#[derive(Debug)]
pub(crate) struct Namespace {
    entries: HashMap<FileId, BTreeMap<Vec<u8>, FileId>>,
    names: HashMap<FileId, BTreeSet<Name>>,
    roots: HashMap<FileId, String>,
    aliases: HashMap<Name, u64>,
    births: HashMap<FileId, u64>,
    named: BTreeSet<String>,
    fixed: Fixed,
    /// Names that were asked for and are not written as they are.
    varying: BTreeSet<String>,
    ordinals: HashMap<String, u64>,
    /// The label that was last asked for, as long as no name has changed: most calls come in rows.
    recent: Option<(FileId, Label)>,
}

impl Namespace {
    /// A state whose roots are shown with these prefixes (empty for a single one). `stable` holds
    /// the names that stand in every recording before; none while there is no such recording.
    pub(crate) fn new(roots: Vec<(FileId, String)>, stable: Option<BTreeSet<String>>) -> Self {
        let fixed = match stable {
            Some(stable) => Fixed::Recorded(stable),
            None => Fixed::Timeless(Times::from_now()),
        };
        Namespace {
            entries: HashMap::new(),
            names: HashMap::new(),
            roots: roots.into_iter().collect(),
            aliases: HashMap::new(),
            births: HashMap::new(),
            named: BTreeSet::new(),
            fixed,
            varying: BTreeSet::new(),
            ordinals: HashMap::new(),
            recent: None,
        }
    }

    /// Whether a name is written as it is.
    fn is_fixed(&self, shown: &str) -> bool {
        match &self.fixed {
            Fixed::Recorded(stable) => stable.contains(shown),
            Fixed::Timeless(times) => {
                self.named.contains(shown)
                    || !(self.varying.contains(shown) || times.are_told_by(shown))
            }
        }
    }

    /// Adds a name that was there at the start.
    pub(crate) fn add_initial(&mut self, name: Name, file: FileId) {
        self.recent = None;
        self.entries.entry(name.directory).or_default().insert(name.bytes.clone(), file);
        self.names.entry(file).or_default().insert(name);
    }

    /// Adds a name that was born now.
    pub(crate) fn add(&mut self, name: Name, file: FileId) {
        self.birth(&name);
        self.add_initial(name, file);
    }

    fn birth(&mut self, name: &Name) {
        let shown = self.shown_name(name);
        let is_fixed = self.is_fixed(&shown);
        self.note(&shown, is_fixed);
        if !is_fixed {
            let next = self.births.entry(name.directory).or_insert(0);
            *next += 1;
            self.aliases.insert(name.clone(), *next);
        } else {
            self.aliases.remove(name);
        }
    }

    /// Removes a name.
    pub(crate) fn remove(&mut self, name: &Name) {
        self.recent = None;
        if let Some(file) =
            self.entries.get_mut(&name.directory).and_then(|e| e.remove(&name.bytes))
            && let Some(names) = self.names.get_mut(&file)
        {
            names.remove(name);
        }
        self.aliases.remove(name);
    }

    /// The file that a name stands for.
    pub(crate) fn look_up(&self, name: &Name) -> Option<FileId> {
        self.entries.get(&name.directory)?.get(&name.bytes).copied()
    }

    /// The entries of a directory.
    pub(crate) fn children(&self, directory: FileId) -> Vec<(Name, FileId)> {
        self.entries.get(&directory).map_or_else(Vec::new, |entries| {
            entries
                .iter()
                .map(|(bytes, file)| (Name { directory, bytes: bytes.clone() }, *file))
                .collect()
        })
    }

    /// How many names a file has.
    pub(crate) fn names_of(&self, file: FileId) -> usize {
        self.names.get(&file).map_or(0, BTreeSet::len) + usize::from(self.roots.contains_key(&file))
    }

    /// Keeps a name that was born or that a call gave.
    fn note(&mut self, shown: &str, is_fixed: bool) {
        let set = if is_fixed { &mut self.named } else { &mut self.varying };
        set.insert(shown.to_owned());
    }

    /// Every name that was born or that a call gave, and that is written as it is. A name that calls in
    /// vain try to give birth to is one, too: it must be written alike in every recording.
    pub(crate) fn named(&self) -> &BTreeSet<String> {
        &self.named
    }

    /// Where a file is by the first of its names: its root, and the path below it; none if it has no
    /// name any more.
    pub(crate) fn path_of(&self, file: FileId) -> Option<(FileId, PathBuf)> {
        let mut parts = Vec::new();
        let mut at = file;
        while !self.roots.contains_key(&at) {
            let name = self.names.get(&at)?.first()?;
            parts.push(OsStr::from_bytes(&name.bytes));
            at = name.directory;
            if parts.len() > DEPTH_MAX {
                return None;
            }
        }
        Some((at, parts.iter().rev().collect()))
    }

    /// The label of a file by the first of its names; none if it has none.
    pub(crate) fn label(&mut self, file: FileId) -> Option<Label> {
        if let Some((recent, label)) = &self.recent
            && *recent == file
        {
            return Some(label.clone());
        }
        let label = self.label_anew(file)?;
        self.recent = Some((file, label.clone()));
        Some(label)
    }

    fn label_anew(&self, file: FileId) -> Option<Label> {
        if let Some(prefix) = self.roots.get(&file) {
            let text = if prefix.is_empty() { ".".to_owned() } else { prefix.clone() };
            return Some(Label::alike(&text));
        }
        let name = self.names.get(&file)?.first()?;
        Some(self.label_of_name(name))
    }

    /// The label of a name, whether or not something stands there.
    pub(crate) fn label_of_name(&self, name: &Name) -> Label {
        let (mut path, mut shown) = self.directory_prefix(name.directory, 0);
        match self.aliases.get(name) {
            Some(ordinal) => path.push_str(&format!("<new{ordinal}>")),
            None if self.is_unstable_to_come(name) => {
                // It will be born by this very call.
                let next = self.births.get(&name.directory).copied().unwrap_or(0) + 1;
                path.push_str(&format!("<new{next}>"));
            }
            None => path.push_str(&escape(&name.bytes)),
        }
        shown.push_str(&escape(&name.bytes));
        Label { path: path.into(), shown: shown.into() }
    }

    fn is_unstable_to_come(&self, name: &Name) -> bool {
        self.look_up(name).is_none() && !self.is_fixed(&self.shown_name(name))
    }

    fn shown_name(&self, name: &Name) -> String {
        let (_, mut shown) = self.directory_prefix(name.directory, 0);
        shown.push_str(&escape(&name.bytes));
        shown
    }

    /// What stands before a name in this directory: in an address, and shown.
    fn directory_prefix(&self, directory: FileId, depth: usize) -> (String, String) {
        if let Some(prefix) = self.roots.get(&directory) {
            let text = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
            return (text.clone(), text);
        }
        let name = self.names.get(&directory).and_then(BTreeSet::first);
        let Some(name) = name.filter(|_| depth < DEPTH_MAX) else {
            return ("<gone>/".to_owned(), "<gone>/".to_owned());
        };
        let (mut path, mut shown) = self.directory_prefix(name.directory, depth + 1);
        match self.aliases.get(name) {
            Some(ordinal) => path.push_str(&format!("<new{ordinal}>/")),
            None => path.push_str(&format!("{}/", escape(&name.bytes))),
        }
        shown.push_str(&format!("{}/", escape(&name.bytes)));
        (path, shown)
    }

    /// Gives the next address of this shape, as a text, counted within the role of the process. To
    /// be called once for each call, at its entry.
    pub(crate) fn address(
        &mut self,
        kind: OperationKind,
        labels: &[Label],
        role: Option<&str>,
    ) -> String {
        for Label { shown, .. } in labels {
            if !self.named.contains(&**shown) && !self.varying.contains(&**shown) {
                let is_fixed = self.is_fixed(shown);
                self.note(shown, is_fixed);
            }
        }
        let paths: Vec<&str> = labels.iter().map(|label| &*label.path).collect();
        let role = role_suffix(role);
        let mut text = shape(kind, &paths);
        let length = text.len();
        text.push_str(&role);
        let ordinal = match self.ordinals.get_mut(&text) {
            Some(ordinal) => ordinal,
            None => self.ordinals.entry(text.clone()).or_insert(0),
        };
        *ordinal += 1;
        text.truncate(length);
        write!(text, "#{ordinal}{role}").expect("a String takes every text");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(directory: u64, text: &str) -> Name {
        Name { directory: FileId(directory), bytes: text.as_bytes().to_vec() }
    }

    #[test]
    fn a_name_that_not_every_recording_knows_is_written_by_its_birth() {
        let stable = BTreeSet::from(["kept".to_owned()]);
        let mut names = Namespace::new(vec![(FileId(1), String::new())], Some(stable));
        names.add_initial(name(1, "old"), FileId(2));
        assert_eq!(&*names.label_of_name(&name(1, "tmp.x81")).path, "<new1>");
        names.add(name(1, "tmp.x81"), FileId(3));
        names.add(name(1, "kept"), FileId(4));
        names.add(name(1, "tmp.q07"), FileId(5));
        let paths = [2, 3, 4, 5].map(|file| names.label(FileId(file)).unwrap().path);
        assert_eq!(paths, ["old", "<new1>", "kept", "<new2>"].map(Arc::from));
        assert_eq!(&*names.label(FileId(5)).unwrap().shown, "tmp.q07");
    }

    #[test]
    fn a_name_that_is_never_born_is_written_alike_in_every_recording() {
        let initial = || vec![(FileId(1), String::new())];
        let attempt = |names: &mut Namespace| {
            let label = names.label_of_name(&name(1, "refused"));
            names.address(OperationKind::Mkdir, &[label], None)
        };
        let mut first = Namespace::new(initial(), None);
        assert_eq!(attempt(&mut first), "mkdir(refused)#1");
        let mut second = Namespace::new(initial(), Some(first.named().clone()));
        assert_eq!(attempt(&mut second), "mkdir(refused)#1");
        assert_eq!(first.named(), second.named());
    }

    #[test]
    fn a_name_that_tells_the_time_is_written_by_its_birth_in_the_first_recording() {
        let mut names = Namespace::new(vec![(FileId(1), String::new())], None);
        let today = jiff::Timestamp::now().strftime("log-%Y-%m-%d").to_string();
        let (log, other) = (name(1, &today), name(1, "other"));
        assert_eq!(&*names.label_of_name(&log).path, "<new1>", "to come");
        names.add(log.clone(), FileId(2));
        names.add(other, FileId(3));
        let label = names.label(FileId(2)).expect("named");
        assert_eq!((&*label.path, &*label.shown), ("<new1>", &*today));
        names.address(OperationKind::Write, &[label], None);
        assert_eq!(names.named(), &BTreeSet::from(["other".to_owned()]));
    }

    #[test]
    fn a_directory_of_an_unstable_name_gives_its_alias_to_what_lies_in_it() {
        let mut names = Namespace::new(vec![(FileId(1), String::new())], Some(BTreeSet::new()));
        names.add(name(1, "d-1234"), FileId(2));
        names.add(name(2, "file"), FileId(3));
        assert_eq!(&*names.label(FileId(3)).unwrap().path, "<new1>/<new1>");
        names.remove(&name(1, "d-1234"));
        names.add(name(1, "final"), FileId(2));
        assert_eq!(&*names.label(FileId(3)).unwrap().path, "<new2>/<new1>");
    }

    #[test]
    fn a_file_is_found_by_its_first_name_as_long_as_it_has_one() {
        let mut space = Namespace::new(vec![(FileId(0), String::new())], None);
        space.add(name(0, "d"), FileId(1));
        space.add(name(1, "f"), FileId(2));
        assert_eq!(space.path_of(FileId(2)), Some((FileId(0), "d/f".into())));
        assert_eq!(space.path_of(FileId(0)), Some((FileId(0), "".into())));
        space.remove(&name(1, "f"));
        assert_eq!(space.path_of(FileId(2)), None);
    }

    #[test]
    fn equal_operations_on_equal_paths_are_counted_from_one() {
        let mut names = Namespace::new(vec![(FileId(1), String::new())], None);
        names.add(name(1, "a"), FileId(2));
        let (root, label) = (names.label(FileId(1)).unwrap(), names.label(FileId(2)).unwrap());
        let mut next = |kind, label: &Label| names.address(kind, std::slice::from_ref(label), None);
        assert_eq!(next(OperationKind::Write, &label), "write(a)#1");
        assert_eq!(next(OperationKind::Write, &label), "write(a)#2");
        assert_eq!(next(OperationKind::Fsync, &root), "fsync(.)#1");
    }

    #[test]
    fn equal_operations_are_counted_within_a_role() {
        let mut names = Namespace::new(vec![(FileId(1), String::new())], None);
        names.add(name(1, "a"), FileId(2));
        let label = names.label(FileId(2)).unwrap();
        let addresses = [None, Some("worker"), Some("worker"), None, Some("main")]
            .map(|role| names.address(OperationKind::Write, std::slice::from_ref(&label), role));
        let expected = [
            "write(a)#1",
            "write(a)#1@worker",
            "write(a)#2@worker",
            "write(a)#2",
            "write(a)#1@main",
        ];
        assert_eq!(addresses, expected);
    }
}
