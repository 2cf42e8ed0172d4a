"""A guest of the supervisor: what it does is its first argument; `guests/src/supervised.rs` has the table."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../sdk/python"))
import killpoint


def for_ever():
    while True:
        time.sleep(0.05)


def on_term(handler):
    signal.signal(signal.SIGTERM, handler)


def daemon(says_so):
    """Forks twice, with a session of its own and without a parent."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            on_term(lambda *_: os._exit(0))
            if says_so:
                notify("MAINPID=%d" % os.getpid())
                killpoint.ready()
            for_ever()
        os._exit(0)
    os.wait()
    # The daemon speaks before its parent ends.
    time.sleep(0.5 if says_so else 0)
    os._exit(0)


def notify(text):
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
        own.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])


def children(count):
    for _ in range(count):
        if os.fork() == 0:
            for_ever()
    for_ever()


mode = sys.argv[1]
if mode == "finish":
    pass
elif mode == "fail":
    sys.exit(3)
elif mode == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
elif mode == "work":
    on_term(lambda *_: sys.exit(0))
    killpoint.ready()
    sequence = 0
    while True:
        sequence += 1
        killpoint.heartbeat()
        killpoint.checkpoint(sequence)
        killpoint.oplog_flushed(sequence)
        time.sleep(0.05)
elif mode == "ignore-term":
    on_term(signal.SIG_IGN)
    killpoint.ready()
    for_ever()
elif mode == "hang-at-exit":
    on_term(lambda *_: killpoint.shutdown() or for_ever())
    killpoint.ready()
    for_ever()
elif mode == "announce-and-hang":
    on_term(lambda *_: None)
    killpoint.ready()
    killpoint.shutdown()
    for_ever()
elif mode == "announce-and-end":
    killpoint.ready()
    killpoint.shutdown()
elif mode == "double-fork":
    daemon(says_so=False)
elif mode == "double-fork-main-pid":
    daemon(says_so=True)
elif mode == "flood":
    block = b"x" * 65535 + b"\n"
    for _ in range(512):
        os.write(1, block)
elif mode == "flood-for-ever":
    on_term(lambda *_: os._exit(0))
    killpoint.ready()
    while True:
        os.write(1, b"x" * 65535 + b"\n")
elif mode == "closed-pipes":
    os.close(1)
    os.close(2)
    on_term(lambda *_: os._exit(0))
    killpoint.ready()
    for_ever()
elif mode == "never-ready":
    for_ever()
elif mode == "rename":
    with open("/proc/self/comm", "w") as comm:
        comm.write("another-name")
    killpoint.ready()
    time.sleep(1)
elif mode == "rename-for-ever":
    with open("/proc/self/comm", "w") as comm:
        comm.write("another-name")
    killpoint.ready()
    for_ever()
elif mode == "second-life-fails":
    if os.environ["KILLPOINT_LIFE"] != "1":
        sys.exit(3)
    killpoint.ready()
    for_ever()
elif mode == "second-life-never-ready":
    if os.environ["KILLPOINT_LIFE"] == "1":
        killpoint.ready()
    for_ever()
elif mode == "silent":
    killpoint.ready()
    killpoint.heartbeat()
    for_ever()
elif mode == "many-processes":
    children(60)
elif mode == "extend":
    notify("EXTEND_TIMEOUT_USEC=60000000")
    time.sleep(6)
    killpoint.ready()
else:
    sys.exit("unknown mode " + mode)
