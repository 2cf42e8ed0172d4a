//! The seccomp program: which system calls stop, which are answered, which run on.
//!
//! Pure but for installing. Calls that can change files stop, by `RET_TRACE` or `RET_USER_NOTIF`;
//! what changes files without our seeing it (io_uring, AIO contexts, other architectures' calls) is
//! answered ENOSYS, so that programs take their ordinary path instead.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

const AUDIT_ARCH_X86_64: u32 = 0xC000_003E;
const X32_BIT: u32 = 0x4000_0000;

/// Offsets into `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

/// How a call stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Its thread tells its tracer.
    Trace,
    /// Its thread waits for the answer of whoever holds the filter's listener.
    Notify,
}

/// When a call stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Always.
    Stop,
    /// If the low word of this argument has any of these bits.
    StopIfAny(u32, u32),
    /// If the low word of this argument is one of these values.
    StopIfOneOf(u32, &'static [u32]),
    /// Never runs: answered ENOSYS.
    Refuse,
}

const OPEN_CHANGES: u32 = (libc::O_CREAT | libc::O_TRUNC) as u32 | 0o20_000_000; // and __O_TMPFILE
/// `FICLONE`, `FICLONERANGE`.
pub(crate) const FICLONE: u32 = 0x4004_9409;
pub(crate) const FICLONERANGE: u32 = 0x4020_940D;
const CLONE_REQUESTS: &[u32] = &[FICLONE, FICLONERANGE];

/// Calls by which a thread becomes somebody else: who does calls for it must know.
const IDENTITY: [i64; 9] = [
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
];

/// Whether a call may set the limit of a process's files' sizes, which whoever writes for it would
/// have to keep. Such calls stop under [`Stop::Notify`] only, and change no file.
pub(crate) fn limits_file_size(number: i64) -> bool {
    FILE_SIZE_LIMITS.iter().any(|(call, _)| *call == number)
}

/// Whether a thread becomes somebody else by this call. Such calls stop under [`Stop::Notify`] only,
/// and change no file.
pub(crate) fn changes_identity(number: i64) -> bool {
    IDENTITY.contains(&number)
}

/// The calls that set a limit, and which of their arguments says what is limited.
const FILE_SIZE_LIMITS: [(i64, u32); 2] = [(libc::SYS_setrlimit, 0), (libc::SYS_prlimit64, 1)];
const FILE_SIZE: &[u32] = &[libc::RLIMIT_FSIZE];

fn rules(stop: Stop) -> Vec<(i64, Rule)> {
    use Rule::{Refuse, Stop as Always, StopIfAny, StopIfOneOf};
    let mut rules = vec![
        // The most frequent first: the program is searched in order.
        (libc::SYS_write, Always),
        (libc::SYS_pwrite64, Always),
        (libc::SYS_openat, StopIfAny(2, OPEN_CHANGES)),
        (libc::SYS_open, StopIfAny(1, OPEN_CHANGES)),
        (libc::SYS_mmap, StopIfAny(3, libc::MAP_SHARED as u32)),
        (libc::SYS_ioctl, StopIfOneOf(1, CLONE_REQUESTS)),
    ];
    rules.extend(
        [
            libc::SYS_writev,
            libc::SYS_pwritev,
            libc::SYS_pwritev2,
            libc::SYS_sendfile,
            libc::SYS_copy_file_range,
            libc::SYS_splice,
            libc::SYS_creat,
            libc::SYS_openat2,
            libc::SYS_rename,
            libc::SYS_renameat,
            libc::SYS_renameat2,
            libc::SYS_link,
            libc::SYS_linkat,
            libc::SYS_symlink,
            libc::SYS_symlinkat,
            libc::SYS_unlink,
            libc::SYS_unlinkat,
            libc::SYS_mkdir,
            libc::SYS_mkdirat,
            libc::SYS_rmdir,
            libc::SYS_mknod,
            libc::SYS_mknodat,
            libc::SYS_bind,
            libc::SYS_connect,
            libc::SYS_truncate,
            libc::SYS_ftruncate,
            libc::SYS_fallocate,
            libc::SYS_chmod,
            libc::SYS_fchmod,
            libc::SYS_fchmodat,
            libc::SYS_fchmodat2,
            libc::SYS_chown,
            libc::SYS_lchown,
            libc::SYS_fchown,
            libc::SYS_fchownat,
            libc::SYS_utime,
            libc::SYS_utimes,
            libc::SYS_utimensat,
            libc::SYS_futimesat,
            libc::SYS_setxattr,
            libc::SYS_lsetxattr,
            libc::SYS_fsetxattr,
            libc::SYS_removexattr,
            libc::SYS_lremovexattr,
            libc::SYS_fremovexattr,
            libc::SYS_fsync,
            libc::SYS_fdatasync,
            libc::SYS_sync,
            libc::SYS_syncfs,
            libc::SYS_sync_file_range,
            libc::SYS_msync,
        ]
        .map(|number| (number, Always)),
    );
    rules.extend(
        [
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
            libc::SYS_io_setup,
            libc::SYS_io_submit,
            // Newer than what this harness reads: setxattrat, removexattrat, file_setattr.
            463,
            466,
            469,
        ]
        .map(|number| (number, Refuse)),
    );
    if stop == Stop::Notify {
        rules.extend(IDENTITY.map(|number| (number, Always)));
        rules.extend(
            FILE_SIZE_LIMITS.map(|(number, argument)| (number, StopIfOneOf(argument, FILE_SIZE))),
        );
    }
    rules
}

/// The calls that are answered ENOSYS, by name, for the report.
pub const REFUSED: &str = "io_uring, AIO contexts (io_setup), 32-bit and x32 calls";

const fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

const fn jump(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// Builds the program.
pub(crate) fn program(stop: Stop) -> Vec<libc::sock_filter> {
    let allow = statement(RETURN, libc::SECCOMP_RET_ALLOW);
    let halt = match stop {
        Stop::Trace => statement(RETURN, libc::SECCOMP_RET_TRACE),
        Stop::Notify => statement(RETURN, libc::SECCOMP_RET_USER_NOTIF),
    };
    let refuse = statement(RETURN, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
    let mut code = vec![
        statement(LOAD, ARCHITECTURE),
        jump(EQUAL, AUDIT_ARCH_X86_64, 1, 0),
        refuse,
        statement(LOAD, NUMBER),
        jump(AT_LEAST, X32_BIT, 0, 1),
        refuse,
    ];
    for (number, rule) in rules(stop) {
        let number = u32::try_from(number).expect("system call numbers are small");
        match rule {
            Rule::Stop => code.extend([jump(EQUAL, number, 0, 1), halt]),
            Rule::Refuse => code.extend([jump(EQUAL, number, 0, 1), refuse]),
            Rule::StopIfAny(index, bits) => code.extend([
                jump(EQUAL, number, 0, 4),
                statement(LOAD, argument(index)),
                jump(ANY_BIT, bits, 0, 1),
                halt,
                allow,
            ]),
            Rule::StopIfOneOf(index, values) => {
                let mut rest = vec![statement(LOAD, argument(index))];
                for value in values {
                    rest.extend([jump(EQUAL, *value, 0, 1), halt]);
                }
                rest.push(allow);
                let length = u8::try_from(rest.len()).expect("a rule is short");
                code.push(jump(EQUAL, number, 0, length));
                code.extend(rest);
            }
        }
    }
    code.push(allow);
    code
}

/// Installs the program for the calling thread and all that it will start. The program is built
/// beforehand, since the caller stands between fork and exec.
///
/// # Errors
/// What the kernel says: EINVAL without seccomp, EACCES without the right to install filters.
pub(crate) fn install(program: &[libc::sock_filter], keep_privileges: bool) -> io::Result<()> {
    install_with(program, keep_privileges, 0).map(drop)
}

/// The same for a program of [`Stop::Notify`]; gives the listener.
///
/// Without `WAIT_KILLABLE_RECV` a signal during a call that is done for the thread would end the
/// wait, and the restarted call would be done twice: kernels that lack it (before 5.19) are refused.
///
/// # Errors
/// As [`install`], and EBUSY if a filter with a listener is there already.
#[expect(unsafe_code, reason = "the kernel hands out a descriptor as a number")]
pub(crate) fn install_listener(
    program: &[libc::sock_filter],
    keep_privileges: bool,
) -> io::Result<OwnedFd> {
    let flags =
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let listener = install_with(program, keep_privileges, flags)?;
    // SAFETY: the kernel has just given us this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(listener) })
}

#[expect(unsafe_code, reason = "prctl and seccomp have no safe wrapper")]
fn install_with(
    program: &[libc::sock_filter],
    keep_privileges: bool,
    flags: libc::c_ulong,
) -> io::Result<i32> {
    let description = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: program.as_ptr().cast_mut(),
    };
    if !keep_privileges {
        // SAFETY: PR_SET_NO_NEW_PRIVS takes integers only.
        let status = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: `description` points at `program`, which outlives the call; the kernel copies it.
    let status = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            std::ptr::from_ref(&description),
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(status).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program on one call, as the kernel would.
    fn run(stop: Stop, number: i64, arguments: [u64; 6], architecture: u32) -> u32 {
        let mut data = Vec::new();
        data.extend((number as u32).to_ne_bytes());
        data.extend(architecture.to_ne_bytes());
        data.extend(0_u64.to_ne_bytes());
        for value in arguments {
            data.extend(value.to_ne_bytes());
        }
        let code = program(stop);
        let (mut position, mut accumulator) = (0, 0_u32);
        loop {
            let step = code[position];
            position += 1;
            let taken = match u32::from(step.code) {
                LOAD => {
                    let at = step.k as usize;
                    accumulator = u32::from_ne_bytes(data[at..at + 4].try_into().unwrap());
                    continue;
                }
                EQUAL => accumulator == step.k,
                AT_LEAST => accumulator >= step.k,
                ANY_BIT => accumulator & step.k != 0,
                RETURN => return step.k,
                other => panic!("unknown instruction {other}"),
            };
            position += usize::from(if taken { step.jt } else { step.jf });
        }
    }

    #[test]
    fn every_rule_stops_exactly_the_calls_that_can_change_files() {
        const HALT: u32 = u32::MAX; // stands for either way to stop
        const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
        const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        let at = |index: usize, value: i32| {
            let mut arguments = [0; 6];
            arguments[index] = value as u64;
            arguments
        };
        let cases = [
            (libc::SYS_write, [0; 6], HALT),
            (libc::SYS_read, [0; 6], ALLOW),
            (libc::SYS_openat, at(2, libc::O_RDWR), ALLOW),
            (libc::SYS_openat, at(2, libc::O_RDWR | libc::O_CREAT), HALT),
            (libc::SYS_openat, at(2, libc::O_TMPFILE), HALT),
            (libc::SYS_open, at(1, libc::O_TRUNC), HALT),
            (libc::SYS_mmap, at(3, libc::MAP_PRIVATE), ALLOW),
            (libc::SYS_mmap, at(3, libc::MAP_SHARED), HALT),
            (libc::SYS_ioctl, at(1, FICLONE as i32), HALT),
            (libc::SYS_ioctl, at(1, FICLONERANGE as i32), HALT),
            (libc::SYS_ioctl, at(1, 0x5401), ALLOW),
            (libc::SYS_io_uring_setup, [0; 6], ENOSYS),
            (libc::SYS_msync, [0; 6], HALT),
            (libc::SYS_connect, [0; 6], HALT),
            (i64::from(X32_BIT) + 1, [0; 6], ENOSYS),
        ];
        let ways =
            [(Stop::Trace, libc::SECCOMP_RET_TRACE), (Stop::Notify, libc::SECCOMP_RET_USER_NOTIF)];
        for (stop, halt) in ways {
            for (number, arguments, expected) in cases {
                let expected = if expected == HALT { halt } else { expected };
                let found = run(stop, number, arguments, AUDIT_ARCH_X86_64);
                assert_eq!(found, expected, "call {number} under {stop:?}");
            }
            assert_eq!(run(stop, libc::SYS_write, [0; 6], 0x4000_0003), ENOSYS, "32-bit");
        }
    }

    #[test]
    fn a_limit_of_file_sizes_stops_only_where_calls_are_done_for_the_target() {
        let size = u64::from(libc::RLIMIT_FSIZE);
        for (number, arguments) in [
            (libc::SYS_setrlimit, [size, 0, 0, 0, 0, 0]),
            (libc::SYS_prlimit64, [0, size, 0, 0, 0, 0]),
        ] {
            let run = |stop| run(stop, number, arguments, AUDIT_ARCH_X86_64);
            assert_eq!(run(Stop::Trace), libc::SECCOMP_RET_ALLOW);
            assert_eq!(run(Stop::Notify), libc::SECCOMP_RET_USER_NOTIF);
        }
        let other = [0, u64::from(libc::RLIMIT_NOFILE), 0, 0, 0, 0];
        let found = run(Stop::Notify, libc::SYS_prlimit64, other, AUDIT_ARCH_X86_64);
        assert_eq!(found, libc::SECCOMP_RET_ALLOW);
    }

    #[test]
    fn a_change_of_identity_stops_only_where_calls_are_done_for_the_target() {
        let run = |stop| run(stop, libc::SYS_setuid, [0; 6], AUDIT_ARCH_X86_64);
        assert_eq!(run(Stop::Trace), libc::SECCOMP_RET_ALLOW);
        assert_eq!(run(Stop::Notify), libc::SECCOMP_RET_USER_NOTIF);
    }
}
