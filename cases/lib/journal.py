"""Writes the ack journal: one write(2) per line to a descriptor opened with O_APPEND."""

import functools
import os

STATE = os.environ["KILLPOINT_STATE"]


@functools.cache
def _descriptor():
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    return os.open(os.environ["KILLPOINT_JOURNAL"], flags, 0o644)


def intend(key, value):
    """The key is about to be set to the value; the value `-` deletes it."""
    os.write(_descriptor(), f"I {key} {value}\n".encode())


def acknowledge(key):
    """The latest intent of the key survives a kill from now on."""
    os.write(_descriptor(), f"A {key}\n".encode())
