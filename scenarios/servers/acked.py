"""What the drivers and checkers of the servers share: a workload that notes in the ack journal what it was
promised, and servers that are started for the time of one reading.

Standard library only. Everything is bounded: a driver by the seconds that it is given, a reading by READY_S_MAX.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

# The keys are written over and over, so that an older value that comes back is seen as well as a missing one.
KEYS = 16
# Between two writes: the journal stays short enough to be judged at once.
PAUSE_S = 0.001
# After a server did not answer.
RETRY_S = 0.01
# A server that is started for a reading must be ready by then, and down again by then.
READY_S_MAX = 20
STOP_S_MAX = 10
# A client waits for an answer no longer than that: what was not answered is undecided.
ANSWER_S_MAX = 5
# When the time is over and the server is down, its return is waited for so long.
RETURN_S_MAX = 20


def drive(connect, seconds):
    """Writes until the time is over, and once more after that. `connect()` returns a function that sets a key to a value and returns when
    that is acknowledged; either raises OSError when the server is gone. What was not acknowledged stays
    undecided: it is not tried again."""
    journal = os.open(os.environ["KILLPOINT_JOURNAL"], os.O_WRONLY | os.O_APPEND)
    until = time.monotonic() + seconds
    put, number, acknowledged = None, 0, False
    # Whoever has the last word is there again: a server that recovers is not stopped in the middle of it.
    while time.monotonic() < until or (not acknowledged and time.monotonic() < until + RETURN_S_MAX):
        try:
            put = put or connect()
        except OSError:
            time.sleep(RETRY_S)
            continue
        number += 1
        key, value = f"key-{number % KEYS:02}", f"value-{number}"
        os.write(journal, f"I {key} {value}\n".encode())
        acknowledged = False
        try:
            put(key, value)
        except OSError:
            put = None
            continue
        os.write(journal, f"A {key}\n".encode())
        acknowledged = True
        time.sleep(PAUSE_S)
    if not acknowledged:
        sys.exit("the server does not acknowledge anything any more")


@contextlib.contextmanager
def serving(command, is_ready, user=None):
    """Starts a server in a directory of its own for the time of one reading; `is_ready(directory)` may raise OSError."""
    with tempfile.TemporaryDirectory() as directory:
        if user is not None:
            os.chown(directory, user.pw_uid, user.pw_gid)
        with open(os.path.join(directory, "words"), "w+b") as words:
            server = subprocess.Popen(
                [word.replace("{directory}", directory) for word in command],
                stdin=subprocess.DEVNULL, stdout=words, stderr=words, **becoming(user))
            try:
                until = time.monotonic() + READY_S_MAX
                while not answers(is_ready, directory):
                    if server.poll() is not None or time.monotonic() > until:
                        words.seek(0)
                        sys.exit("the server does not start: " + words.read()[-2000:].decode(errors="replace"))
                    time.sleep(RETRY_S)
                yield directory
            finally:
                end(server)


def answers(is_ready, directory):
    try:
        return is_ready(directory)
    except OSError:
        return False


def end(server):
    if server.poll() is None:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def becoming(user):
    """The arguments of Popen that start it as that user."""
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def show(store):
    """What a checker prints."""
    print(json.dumps(store))
