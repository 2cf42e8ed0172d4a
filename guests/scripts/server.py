#!/usr/bin/env python3
"""A server that keeps what it is told in a log, and folds the log into a snapshot when it is asked to end (SIGTERM).

`careful` replaces the snapshot before it empties the log: right. `careless` empties the log before: wrong, in its
shutdown alone. Called with `drive` before that, it is the client that drives the server."""

import json
import os
import signal
import socket
import sys
import time

SETTINGS = [("colour", "blue"), ("size", "large"), ("colour", "green"), ("shape", "round")]
CONNECTS = 500


def append(path, text):
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, text.encode())
    return descriptor


def sync_directory(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def load(state):
    """The snapshot and, over it, the whole lines of the log."""
    store = {}
    if os.path.exists(state + "/snapshot"):
        with open(state + "/snapshot", encoding="utf-8") as snapshot:
            store = json.load(snapshot)
    if os.path.exists(state + "/log"):
        with open(state + "/log", encoding="utf-8") as log:
            store.update(line.split("=", 1) for line in log.read().split("\n")[:-1])
    return store


def save_snapshot(state, store):
    with open(state + "/snapshot.tmp", "w", encoding="utf-8") as snapshot:
        json.dump(store, snapshot)
        snapshot.flush()
        os.fsync(snapshot.fileno())
    os.rename(state + "/snapshot.tmp", state + "/snapshot")
    sync_directory(state)


def end(state, careful):
    store = load(state)
    if careful:
        save_snapshot(state, store)
    os.truncate(state + "/log", 0)
    if not careful:
        save_snapshot(state, store)
    sys.exit(0)


def address(state):
    """An abstract socket: another state has another, and none is left behind."""
    return "\0killpoint-guest-server-" + state


def serve(state, careful):
    os.close(append(state + "/log", ""))
    sync_directory(state)
    signal.signal(signal.SIGTERM, lambda *_: end(state, careful))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address(state))
        listener.listen()
        while True:
            client, _ = listener.accept()
            with client, client.makefile("rw") as lines:
                for line in lines:
                    descriptor = append(state + "/log", line)
                    os.fsync(descriptor)
                    os.close(descriptor)
                    lines.write("done\n")
                    lines.flush()


def connect(state):
    """A server takes a moment to listen."""
    for _ in range(CONNECTS):
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(address(state))
            return client
        except ConnectionRefusedError:
            client.close()
            time.sleep(0.01)
    sys.exit("nobody listens")


def drive(state):
    journal = os.environ.get("KILLPOINT_JOURNAL", os.devnull)
    with connect(state) as client, client.makefile("rw") as lines:
        for key, value in SETTINGS:
            os.close(append(journal, f"I {key} {value}\n"))
            lines.write(f"{key}={value}\n")
            lines.flush()
            if lines.readline() != "done\n":
                sys.exit("the server went away")
            os.close(append(journal, f"A! {key}\n"))


def main():
    state = os.environ["KILLPOINT_STATE"]
    mode = sys.argv[1]
    if mode == "check":
        print(json.dumps(load(state)))
    elif mode == "drive":
        drive(state)
    else:
        serve(state, mode == "careful")


main()
