//! Paths, and what the names of files tell of what they are for.

/// A path's number in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PathId(pub(super) u32);

/// The last component of a path.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, last)| last)
}

/// The path of the directory, empty for the state directory itself.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A path from its directory and its last component.
pub(super) fn join(directory: &str, name: &str) -> String {
    match directory {
        "" | "." => name.to_owned(),
        directory => format!("{directory}/{name}"),
    }
}

/// What a file is for, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing special: data.
    Data,
    /// A log that is replayed or rolled back when the store is opened.
    Journal,
    /// A lock or the number of a process.
    Lock,
    /// A name for the time being, or nothing that anybody needs.
    Temporary,
    /// An old copy, kept for a person or for the next start.
    Backup,
    /// What is built anew from other files, whatever it holds: the shared memory of SQLite.
    Rebuilt,
}

impl Role {
    /// Judges a path by its last component.
    pub(super) fn of(path: &str) -> Role {
        const JOURNAL: [&str; 5] = ["-journal", "-wal", ".wal", ".log", ".journal"];
        const TEMPORARY: [&str; 7] =
            [".tmp", ".temp", ".part", ".new", ".generating", ".swp", ".partial"];
        const BACKUP: [&str; 5] = [".bak", ".old", ".orig", ".backup", "~"];
        let name = file_name(path);
        let lower = name.to_ascii_lowercase();
        if lower.ends_with("-shm") {
            Role::Rebuilt
        } else if is_lock(name, &lower) {
            Role::Lock
        } else if matches!(name, "LOG" | "LOG.old") {
            // What LevelDB and its descendants tell people; nothing reads it.
            Role::Temporary
        } else if TEMPORARY.iter().any(|end| lower.ends_with(end)) || lower.contains(".tmp") {
            Role::Temporary
        } else if BACKUP.iter().any(|end| lower.ends_with(end)) {
            Role::Backup
        } else if JOURNAL.iter().any(|end| lower.ends_with(end))
            || lower.split(['.', '-', '_']).any(|word| matches!(word, "undo" | "redo" | "wal"))
        {
            Role::Journal
        } else {
            Role::Data
        }
    }
}

fn is_lock(name: &str, lower: &str) -> bool {
    let at = name.find("Lock").or_else(|| {
        lower.match_indices("lock").map(|(index, _)| index).find(|index| {
            // Not in a clock, a block or an unlocked: a word of its own.
            *index == 0 || !lower.as_bytes()[index - 1].is_ascii_alphabetic()
        })
    });
    at.is_some() || lower.ends_with(".pid") || lower.ends_with(".lck")
}

/// A path with the parts that differ from one save to the next written as `*`, so that the files
/// of one defect have one name.
pub(super) fn generalised(path: &str) -> String {
    let mut parent = "";
    let parts =
        path.split('/').map(|part| generalised_part(std::mem::replace(&mut parent, part), part));
    parts.collect::<Vec<_>>().join("/")
}

fn generalised_part(parent: &str, part: &str) -> String {
    let is_hex = part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_hash = is_hex && part.len() >= 16;
    let has_digit = part.bytes().any(|byte| byte.is_ascii_digit());
    let is_fan_out = is_hex && part.len() == 2 && (has_digit || parent == "objects");
    if is_hash || is_fan_out {
        return "*".to_owned();
    }
    // Random parts of temporary names, process ids, times and running numbers.
    let words = part.split_inclusive(['.', '-', '_']);
    words.map(generalised_word).collect()
}

fn generalised_word(word: &str) -> String {
    let body = word.trim_end_matches(['.', '-', '_']);
    let plain = without_escapes(body);
    let digits = plain.bytes().filter(u8::is_ascii_digit).count();
    let varies = digits >= 3 || (digits >= 1 && digits == body.len());
    // A `*` of the name itself stands for nothing else.
    if varies { format!("*{}", &word[body.len()..]) } else { word.replace('*', "%2A") }
}

/// A text without the signs that addresses write `%XX`: their digits are none of the name.
fn without_escapes(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.get(2..).unwrap_or_default())
}

/// The file names of temporary files of one directory as one pattern: `store/*.tmp`.
pub(super) fn temporary_pattern(path: &str) -> String {
    let name = file_name(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let is_word = !extension.is_empty() && extension.bytes().all(|b| b.is_ascii_alphabetic());
    let last = if is_word { format!("*.{extension}") } else { "*".to_owned() };
    join(&generalised(parent(path)), &last)
}
