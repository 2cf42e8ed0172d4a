#!/usr/bin/env python3
"""A stream checker for a store of notes: one JSON object in notes.json, key to text.

Killpoint starts it once for each judge and hands it one crash state after another:

    {"state": "/home/me/data", "id": 1}            a line on standard input
    {"id": 1, "store": {"title": "hello"}}         a line on standard output
    {"id": 2, "error": "notes.json: ..."}          or this, where the store does not open

`read_store` is the only part that knows the store: put your program's own opening code there.
"""

import json
import pathlib
import sys


def read_store(state):
    """Opens the store as the program would at its next start; raises where the program would refuse."""
    path = state / "notes.json"
    if not path.exists():
        return {}  # the program begins with an empty store
    with path.open(encoding="utf-8") as file:  # closed again: the next state takes this one's place
        return json.load(file)


def main():
    for line in sys.stdin:
        question = json.loads(line)
        answer = {"id": question["id"]}
        try:
            answer["store"] = read_store(pathlib.Path(question["state"]))
        except Exception as error:  # whatever it is, the store does not open
            answer["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
