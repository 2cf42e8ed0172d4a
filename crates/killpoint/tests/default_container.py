#!/usr/bin/env python3
"""Runs a command as the default settings of a Docker container would let it run. An imitation, no
container engine: it needs root, and makes

- namespaces for mounts, processes, IPC, host name, network and cgroups;
- root without all capabilities but the fourteen that are left to a container;
- a filter that answers EPERM to the calls that the default seccomp profile of moby leaves out without
  CAP_SYS_ADMIN, CAP_SYS_PTRACE and the others that are not among those (and ENOSYS to clone3);
- /proc with the default paths masked or read-only.

    default_container.py COMMAND ARGUMENT...
"""

import ctypes
import os
import platform
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)

# chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw,
# sys_chroot, mknod, audit_write, setfcap
KEPT = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31]
CAPABILITIES_MAX = 64

NEW = {"NS": 0x20000, "CGROUP": 0x02000000, "UTS": 0x04000000, "IPC": 0x08000000,
       "PID": 0x20000000, "NET": 0x40000000}
CLONE_NEW_ANY = 0x7E020000

# By number on x86-64.
REFUSED = {
    "acct": 163, "add_key": 248, "bpf": 321, "clock_settime": 227,
    "delete_module": 176, "fanotify_init": 300, "finit_module": 313, "fsconfig": 431, "fsmount": 432,
    "fsopen": 430, "fspick": 433, "get_mempolicy": 239, "init_module": 175, "io_uring_setup": 425,
    "io_uring_enter": 426, "io_uring_register": 427, "ioperm": 173, "iopl": 172, "kcmp": 312,
    "kexec_file_load": 320, "kexec_load": 246, "keyctl": 250, "lookup_dcookie": 212, "mbind": 237,
    "migrate_pages": 256, "mount": 165, "mount_setattr": 442, "move_mount": 429, "move_pages": 279,
    "nfsservctl": 180, "open_by_handle_at": 304, "open_tree": 428, "perf_event_open": 298,
    "pidfd_getfd": 438, "pivot_root": 155, "process_madvise": 440, "quotactl": 179,
    "quotactl_fd": 443, "reboot": 169, "request_key": 249, "set_mempolicy": 238,
    "setdomainname": 171, "sethostname": 170, "setns": 308, "settimeofday": 164, "swapoff": 168,
    "swapon": 167, "sysfs": 139, "syslog": 103, "umount2": 166, "unshare": 272, "uselib": 134,
    "userfaultfd": 323, "ustat": 136, "vhangup": 153,
}
CLONE, CLONE3, PERSONALITY = 56, 435, 135
PERSONALITIES = [0, 8, 0x20000, 0x20008, 0xFFFFFFFF]

MASKED = ["/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
          "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
          "/proc/scsi", "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE = 16384, 1 << 18


def must(result, what):
    if result != 0:
        error = ctypes.get_errno()
        sys.exit(f"default_container.py: {what}: {os.strerror(error)}")


def mount(source, target, kind, flags):
    encode = lambda text: text.encode() if text else None
    must(libc.mount(encode(source), encode(target), encode(kind), flags, None), f"mount {target}")


def hide():
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for path in filter(os.path.exists, MASKED):
        if os.path.isdir(path):
            mount("tmpfs", path, "tmpfs", MS_RDONLY)
        else:
            mount("/dev/null", path, None, MS_BIND)
    for path in filter(os.path.exists, READ_ONLY):
        mount(path, path, None, MS_BIND | MS_REC)
        flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC
        mount(path, path, None, flags)


def drop():
    PR_CAPBSET_DROP = 24
    for capability in range(CAPABILITIES_MAX):
        if capability not in KEPT:
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    kept = sum(1 << capability for capability in KEPT)
    header = struct.pack("=Ii", 0x20080522, 0)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    data = struct.pack("=6I", low, low, 0, high, high, 0)
    must(libc.capset(header, data), "capset")


def forbid():
    LOAD, EQUAL, ANY, RETURN = 0x20, 0x15, 0x45, 0x06
    ALLOW, ERRNO = 0x7FFF0000, 0x00050000
    statement = lambda code, k, jt=0, jf=0: struct.pack("=HBBI", code, jt, jf, k)
    number, argument = statement(LOAD, 0), statement(LOAD, 16)
    program = [number]
    for refused in filter(None, REFUSED.values()):
        program += [statement(EQUAL, refused, 0, 1), statement(RETURN, ERRNO | 1)]
    program += [statement(EQUAL, CLONE3, 0, 1), statement(RETURN, ERRNO | 38)]
    program += [statement(EQUAL, CLONE, 0, 4), argument, statement(ANY, CLONE_NEW_ANY, 0, 1),
                statement(RETURN, ERRNO | 1), statement(RETURN, ALLOW)]
    choices = [statement(EQUAL, value, len(PERSONALITIES) - index, 0)
               for index, value in enumerate(PERSONALITIES)]
    program += [statement(EQUAL, PERSONALITY, 0, len(choices) + 2), argument, *choices,
                statement(RETURN, ERRNO | 1)]
    program += [statement(RETURN, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(program))
    filter_program = struct.pack("=HxxxxxxQ", len(program), ctypes.addressof(code))
    PR_SET_SECCOMP, MODE_FILTER = 22, 2
    must(libc.prctl(PR_SET_SECCOMP, MODE_FILTER, filter_program, 0, 0), "seccomp")


def main():
    if platform.machine() != "x86_64" or os.geteuid() != 0 or len(sys.argv) < 2:
        sys.exit("usage, as root on x86-64: default_container.py COMMAND ARGUMENT...")
    must(libc.unshare(sum(NEW.values())), "unshare")
    child = os.fork()
    if child == 0:
        hide()
        # The filter first, as root may install one; the capabilities that it takes go afterwards.
        forbid()
        drop()
        os.execvp(sys.argv[1], sys.argv[1:])
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status) & 0xFF)


main()
