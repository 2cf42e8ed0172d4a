//! Reads the stack of a crash off a minidump, with the symbols of the programs on this machine.
//!
//! Dumps may come from the application under test, so nothing in them is believed: every count is bounded, and a
//! dump that cannot be read is an error, not a panic.

use addr2line::Loader;
use killpoint_engine::regular_file;
use killpoint_model::crash::{Frame, Stack};
use minidump::system_info::Cpu;
use minidump::{Minidump, MinidumpModuleList, MinidumpSystemInfo, Module};
use minidump_unwind::StackFrame;
use minidump_unwind::debuginfo::DebugInfoSymbolProvider;
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Largest dump that is read.
const DUMP_BYTES_MAX: u64 = 256 << 20;
/// Most frames of a stack.
const FRAMES_MAX: usize = 64;
/// `ET_EXEC`: a program that is loaded where it was linked to.
const FIXED_PLACE: u16 = 2;

/// Why a dump could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The file cannot be read.
    #[error("cannot read the dump {path}")]
    File {
        /// The dump.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no dump, or none that can be unwound here.
    #[error("{path} is no minidump that can be read here: {problem}")]
    Malformed {
        /// The dump.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// The stack of the thread that crashed, or, where none did, of the first one.
///
/// # Errors
/// If the file cannot be read or is no minidump of an x86-64 program.
pub fn of_dump(path: &Path) -> Result<Stack, StackError> {
    let malformed = |problem: String| StackError::Malformed { path: path.to_owned(), problem };
    let bytes = read(path)?;
    let dump = Minidump::read(bytes).map_err(|error| malformed(error.to_string()))?;
    let system = dump
        .get_stream::<MinidumpSystemInfo>()
        .map_err(|error| malformed(format!("it does not say of which system it is ({error})")))?;
    if system.cpu != Cpu::X86_64 {
        return Err(malformed(format!("it is of another processor ({})", system.cpu)));
    }
    let modules = dump.get_stream::<MinidumpModuleList>().unwrap_or_default();
    let state = pollster::block_on(async {
        let provider = DebugInfoSymbolProvider::new(&system, &modules).await;
        minidump_processor::process_minidump(&dump, &provider).await
    })
    .map_err(|error| malformed(error.to_string()))?;
    let reason = state.exception_info.as_ref().map(|info| info.reason.to_string());
    let thread = state.requesting_thread.unwrap_or(0);
    let frames = state.threads.get(thread).map_or(&[][..], |stack| &stack.frames);
    let mut symbols = Symbols::default();
    let frames = frames.iter().take(FRAMES_MAX).flat_map(|frame| symbols.frames(frame)).collect();
    Ok(Stack { reason: reason.unwrap_or_default(), frames })
}

fn read(path: &Path) -> Result<Vec<u8>, StackError> {
    let no_file = |source| StackError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = regular_file::open(path).map_err(no_file)?;
    file.take(DUMP_BYTES_MAX).read_to_end(&mut bytes).map_err(no_file)?;
    Ok(bytes)
}

/// Programs and libraries that were opened for their symbols; none where that failed.
#[derive(Default)]
struct Symbols {
    loaders: HashMap<String, Option<(Loader, bool)>>,
}

impl Symbols {
    /// A frame of the machine, and those that were inlined into it, the innermost first.
    fn frames(&mut self, frame: &StackFrame) -> Vec<Frame> {
        let Some(module) = &frame.module else {
            return vec![unknown("?", frame.instruction, false)];
        };
        let path = module.code_file().into_owned();
        let offset = frame.instruction.saturating_sub(module.base_address());
        let name = file_name(&path);
        let own = !is_of_the_system(&path);
        let opened = self.loaders.entry(path.clone()).or_insert_with(|| open(&path));
        let Some((loader, is_fixed)) = opened else { return vec![unknown(&name, offset, own)] };
        let probe = if *is_fixed { frame.instruction } else { offset };
        let mut found = inlined(loader, probe, &name, offset, own);
        let symbol = || {
            let symbol = loader.find_symbol(probe)?;
            Some(addr2line::demangle_auto(symbol.into(), None).into_owned())
        };
        match found.last_mut() {
            // Only the outermost has a symbol; line tables alone do not name it.
            Some(outermost) if outermost.function.is_none() => {
                outermost.function = symbol();
                outermost.in_application &= !outermost.is_of_a_run_time();
            }
            Some(_) => {}
            None => {
                let mut only = Frame { function: symbol(), ..unknown(&name, offset, own) };
                only.in_application &= !only.is_of_a_run_time();
                found.push(only);
            }
        }
        found
    }
}

fn unknown(module: &str, offset: u64, in_application: bool) -> Frame {
    Frame { module: module.to_owned(), function: None, source: None, offset, in_application }
}

fn open(path: &str) -> Option<(Loader, bool)> {
    let mut head = [0; 18];
    fs::File::open(path).ok()?.read_exact(&mut head).ok()?;
    let kind = u16::from_le_bytes([head[16], head[17]]);
    Some((Loader::new(path).ok()?, kind == FIXED_PLACE))
}

fn inlined(loader: &Loader, probe: u64, module: &str, offset: u64, own: bool) -> Vec<Frame> {
    let mut found = Vec::new();
    let Ok(mut frames) = loader.find_frames(probe) else { return found };
    while let Ok(Some(frame)) = frames.next() {
        let function = frame
            .function
            .and_then(|function| function.demangle().ok().map(std::borrow::Cow::into_owned));
        let file = frame.location.as_ref().and_then(|location| location.file);
        let line = frame.location.as_ref().and_then(|location| location.line);
        let source = file.map(|file| match line {
            Some(line) => format!("{}:{line}", file_name(file)),
            None => file_name(file),
        });
        let is_compilers_own = file.is_some_and(|file| file.starts_with("/rustc/"));
        let mut frame = Frame { function, source, ..unknown(module, offset, own) };
        frame.in_application &= !is_compilers_own && !frame.is_of_a_run_time();
        found.push(frame);
    }
    found
}

fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// Whether a file of code belongs to the system, not to the application.
fn is_of_the_system(path: &str) -> bool {
    const DIRECTORIES: [&str; 4] = ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"];
    !path.starts_with('/') || DIRECTORIES.iter().any(|directory| path.starts_with(directory))
}
