//! Probes of seccomp and Landlock.

use super::{Answer, in_child, last_error, saying};
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::fs::File;
use std::io::{Read, Write};

const FLAG_NEW_LISTENER: u64 = 1 << 3;
const FLAG_WAIT_KILLABLE: u64 = 1 << 5;
const LANDLOCK_VERSION: u32 = 1;
const LANDLOCK_SCOPE_SIGNAL: u64 = 1 << 1;
/// The first Landlock ABI that can forbid signals to outsiders.
const SIGNAL_SCOPE_ABI: i64 = 6;

/// Installs the filter that recordings use in a child, and sees one of its calls stop.
///
/// # Errors
/// Why it does not.
#[expect(unsafe_code, reason = "fork and _exit have no safe form")]
pub fn trace() -> Answer {
    in_child(|| {
        let (gate, opener) = rustix::pipe::pipe().map_err(saying("pipe"))?;
        // SAFETY: this process has a single thread; the child ends by `_exit`.
        match unsafe { fork() }.map_err(saying("fork"))? {
            ForkResult::Child => {
                // Its own copy gone, the gate ends with the parent, and so does the child.
                drop(opener);
                let _ = File::from(gate).read_exact(&mut [0]);
                let code = match crate::filter::install(
                    &crate::filter::program(crate::filter::Stop::Trace),
                    false,
                ) {
                    Ok(()) => i32::from(std::fs::remove_file("").is_ok()),
                    Err(error) => error.raw_os_error().unwrap_or(255),
                };
                // SAFETY: ends the process without running what its parent registered.
                unsafe { libc::_exit(code) }
            }
            ForkResult::Parent { child } => {
                let options = Options::PTRACE_O_TRACESECCOMP | Options::PTRACE_O_EXITKILL;
                ptrace::seize(child, options).map_err(saying("PTRACE_SEIZE"))?;
                File::from(opener).write_all(b"g").map_err(saying("pipe"))?;
                match waitpid(child, None).map_err(saying("waitpid"))? {
                    WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_SECCOMP) => {
                        Ok("a filtered call stopped under ptrace".to_owned())
                    }
                    WaitStatus::Exited(_, 0) => Err("the filtered call did not stop".to_owned()),
                    WaitStatus::Exited(_, code) => {
                        Err(format!("seccomp: {}", std::io::Error::from_raw_os_error(code)))
                    }
                    other => Err(format!("the filtered call gave {other:?}")),
                }
            }
        }
    })
}

/// Installs a filter with a listener (user notification).
///
/// # Errors
/// Why it is refused.
pub fn listener() -> Answer {
    in_child(|| {
        install_listener(FLAG_NEW_LISTENER)?;
        Ok("a listener was opened".to_owned())
    })?;
    match in_child(|| {
        install_listener(FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE)?;
        Ok(String::new())
    }) {
        Ok(_) => Ok("a listener was opened, with WAIT_KILLABLE".to_owned()),
        Err(_) => Ok("a listener was opened, without WAIT_KILLABLE".to_owned()),
    }
}

#[expect(unsafe_code, reason = "prctl and seccomp have no safe wrapper")]
fn install_listener(flags: u64) -> Result<(), String> {
    let allow = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    };
    let program = libc::sock_fprog { len: 1, filter: std::ptr::from_ref(&allow).cast_mut() };
    no_new_privileges()?;
    // SAFETY: `program` and its one statement live for the call; the kernel copies them.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            std::ptr::from_ref(&program),
        )
    };
    if listener < 0 { Err(last_error("seccomp")) } else { Ok(()) }
}

#[expect(unsafe_code, reason = "prctl has no safe wrapper")]
fn no_new_privileges() -> Result<(), String> {
    // SAFETY: PR_SET_NO_NEW_PRIVS takes integers only.
    match unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(last_error("PR_SET_NO_NEW_PRIVS")),
    }
}

/// Asks for the Landlock ABI and, where it can, forbids a child to signal outsiders and sees that it
/// no longer can.
///
/// # Errors
/// Why it does not.
#[expect(unsafe_code, reason = "Landlock has no safe wrapper here")]
pub fn landlock() -> Answer {
    in_child(|| {
        // SAFETY: with the version flag the call takes no memory.
        let abi = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                std::ptr::null::<u8>(),
                0_usize,
                LANDLOCK_VERSION,
            )
        };
        match abi {
            ..0 => Err(last_error("landlock_create_ruleset")),
            SIGNAL_SCOPE_ABI.. => {
                forbid_signals()?;
                Ok(format!("ABI {abi}, and a child could be forbidden to signal its parent"))
            }
            _ => Err(format!("ABI {abi}: signal scopes came with ABI {SIGNAL_SCOPE_ABI}")),
        }
    })
}

/// Restricts this process to signals inside its own domain, and tries one to its parent.
#[expect(unsafe_code, reason = "Landlock has no safe wrapper here")]
fn forbid_signals() -> Result<(), String> {
    // handled_access_fs, handled_access_net, scoped.
    let attributes: [u64; 3] = [0, 0, LANDLOCK_SCOPE_SIGNAL];
    no_new_privileges()?;
    // SAFETY: the attributes live for the call, and their size is told; the rest are integers.
    let status = unsafe {
        let ruleset = libc::syscall(
            libc::SYS_landlock_create_ruleset,
            attributes.as_ptr(),
            std::mem::size_of_val(&attributes),
            0,
        );
        libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0)
    };
    if status != 0 {
        return Err(last_error("landlock_restrict_self"));
    }
    match nix::sys::signal::kill(nix::unistd::getppid(), None) {
        Err(nix::errno::Errno::EPERM) => Ok(()),
        other => Err(format!("a signal to an outsider was not refused: {other:?}")),
    }
}
