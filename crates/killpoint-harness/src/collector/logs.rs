//! The lines that a process printed around its death: its last ones, and the first of its next life.

use killpoint_model::crash::LogLines;
use killpoint_model::lifecycle::Stream;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Last lines of a life that are kept.
const LAST_LINES_MAX: usize = 20;
/// First lines of the next life that are kept.
const FIRST_LINES_MAX: usize = 5;
/// Bytes of a file that are looked at for them.
const BYTES_MAX: u64 = 16 << 10;
/// Characters of a line that are kept.
const CHARACTERS_MAX: usize = 300;

/// The lines around the end of a life, from the files `NAME.LIFE.STREAM` of this directory.
pub fn around(output: &Path, process: &str, life: u32) -> Vec<LogLines> {
    let streams = [(Stream::Output, "stdout"), (Stream::Error, "stderr")];
    let lives = [(life, true), (life + 1, false)];
    let mut all = Vec::new();
    for (life, are_last) in lives {
        for (stream, name) in streams {
            let path = output.join(format!("{process}.{life}.{name}"));
            let lines = if are_last { last_lines(&path) } else { first_lines(&path) };
            if !lines.is_empty() {
                all.push(LogLines { life, stream, lines });
            }
        }
    }
    all
}

fn last_lines(path: &Path) -> Vec<String> {
    let Ok(mut file) = File::open(path) else { return Vec::new() };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let start = length.saturating_sub(BYTES_MAX);
    if file.seek(SeekFrom::Start(start)).is_err() {
        return Vec::new();
    }
    let text = read(file);
    // The first one may be the end of a longer line.
    let whole = if start > 0 { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
    let lines: Vec<&str> = whole.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES_MAX)..].iter().map(|line| cut(line)).collect()
}

fn first_lines(path: &Path) -> Vec<String> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    read(file).lines().take(FIRST_LINES_MAX).map(cut).collect()
}

fn read(file: File) -> String {
    let mut bytes = Vec::new();
    let _ = file.take(BYTES_MAX).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_last_lines_of_a_life_and_the_first_of_the_next_are_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: String| {
            fs::write(directory.path().join(name), text).expect("written");
        };
        let numbered = |count| (1..=count).map(|it| format!("line {it}\n")).collect::<String>();
        write("app.1.stdout", numbered(10_000));
        write("app.1.stderr", "x".repeat(1_000));
        write("app.2.stdout", numbered(50));
        let lines = around(directory.path(), "app", 1);
        let [output, error, next] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(output.lines.len(), LAST_LINES_MAX);
        assert_eq!(output.lines.last().map(String::as_str), Some("line 10000"));
        assert_eq!(error.lines[0].chars().count(), CHARACTERS_MAX + 3);
        assert_eq!((next.life, next.lines.len()), (2, FIRST_LINES_MAX));
        assert!(around(directory.path(), "other", 1).is_empty());
    }
}
