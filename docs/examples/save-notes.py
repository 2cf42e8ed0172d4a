#!/usr/bin/env python3
"""A workload for the examples: saves three notes in data/notes.json, in place or atomically.

    save-notes.py in-place      wrong: opening for writing empties the file before it is filled again
    save-notes.py atomically    right: a new file, synced, renamed over the old one, the directory synced
"""

import json
import os
import sys

DIRECTORY = "data"
NOTES = os.path.join(DIRECTORY, "notes.json")
journal = os.open(os.environ.get("KILLPOINT_JOURNAL", os.devnull), os.O_WRONLY | os.O_APPEND)


def say(line):
    os.write(journal, (line + "\n").encode())  # one write, one line


def save_in_place(text):
    with open(NOTES, "w") as file:
        file.write(text)


def save_atomically(text):
    with open(NOTES + ".tmp", "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(NOTES + ".tmp", NOTES)
    directory = os.open(DIRECTORY, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


save = {"in-place": save_in_place, "atomically": save_atomically}[sys.argv[1]]
notes = {}
for key, value in [("title", "hello"), ("body", "world"), ("author", "me")]:
    say(f"I {key} {value}")
    notes[key] = value
    save(json.dumps(notes))
    say(f"A {key}")
