#!/usr/bin/env python3
"""Right: four processes append lines to one file, each line by one write and synced before it is acknowledged."""

import json
import multiprocessing
import os
import sys

PROCESSES = 4
LINES = 5


def append(path, text):
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, text.encode())
    return descriptor


def work(state, journal, worker):
    for number in range(LINES):
        key, value = f"line-{worker}-{number}", f"written-by-{worker}"
        os.close(append(journal, f"I {key} {value}\n"))
        descriptor = append(state + "/shared.log", f"{key}={value}\n")
        os.fsync(descriptor)
        os.close(descriptor)
        os.close(append(journal, f"A! {key}\n"))


def check(state):
    """A line that a crash cut short was never written."""
    try:
        with open(state + "/shared.log", encoding="utf-8") as log:
            lines = log.read().split("\n")[:-1]
    except FileNotFoundError:
        lines = []
    print(json.dumps(dict(line.split("=", 1) for line in lines)))


def main():
    is_check = "check" in sys.argv[1:2]
    state = os.environ.get("KILLPOINT_STATE") or sys.argv[-1]
    os.makedirs(state, exist_ok=True)
    if is_check:
        check(state)
        return
    # The log's name is durable before anything is promised.
    os.close(append(state + "/shared.log", ""))
    directory = os.open(state, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    journal = os.environ.get("KILLPOINT_JOURNAL", os.devnull)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(state, journal, number)) for number in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.exit(any(worker.exitcode for worker in workers))


main()
