#!/usr/bin/env python3
"""The one-shot checker for save-notes.py: prints what data/notes.json holds, as one JSON object."""

import json
import os

try:
    with open("data/notes.json", encoding="utf-8") as file:
        print(json.dumps(json.load(file)))  # raises where it cannot be read: the verdict is `unopenable`
except FileNotFoundError:
    print("{}")
