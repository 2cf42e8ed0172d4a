"""What an application may say about itself to Killpoint. One file; copy it or put it on the path.

Every function does nothing when the program does not run under Killpoint, raises nothing, and never
blocks: what cannot be said at once is not said, and unsaid() counts it.
"""

import os
import socket

_MESSAGE_BYTES_MAX = 4096
# No lock guards them: a signal handler may interrupt any call and make one of its own.
_unsaid = 0
_socket = None
_journal = None
# No value; None is one that the application gave, by mistake.
_WITHOUT = object()


def ready():
    """Ready to work. The supervisor stops waiting for it."""
    _say("READY=1")


def heartbeat():
    """Still at work. Call it more often than the watchdog's time-out (WATCHDOG_USEC)."""
    _say("WATCHDOG=1")


def checkpoint(sequence):
    """The checkpoint of this number is on disk: call it after the file was synced. Numbers grow."""
    _say_number("X_KILLPOINT_CHECKPOINT", sequence)


def oplog_flushed(sequence):
    """The operation log is on disk up to the operation of this number."""
    _say_number("X_KILLPOINT_OPLOG", sequence)


def shutdown():
    """About to end, by itself."""
    _say("STOPPING=1")


def intent(key, value):
    """About to set key to value. Before the save."""
    _append("I", key, value)


def intent_to_delete(key):
    """About to delete key. Before the deletion."""
    _append("I", key, _WITHOUT, " -")


def ack(key):
    """The latest intent of key survives a kill from now on. After the save."""
    _append("A", key, _WITHOUT)


def draft(key, value):
    """Unsaved work: promises nothing; its restoration is counted."""
    _append("D", key, value)


def is_supervised():
    """Whether the program runs under a supervisor of Killpoint."""
    return bool(os.environ.get("KILLPOINT_NOTIFY_SOCKET"))


def unsaid():
    """How often something could not be said: nobody listened, or there was no room."""
    return _unsaid


def _count_unsaid():
    global _unsaid
    _unsaid += 1


def _say_number(name, sequence):
    if isinstance(sequence, int) and 0 <= sequence < 1 << 64:
        _say("%s=%d" % (name, sequence))
    elif is_supervised():
        _count_unsaid()


def _say(message):
    path = os.environ.get("KILLPOINT_NOTIFY_SOCKET")
    if not path:
        return
    try:
        _send(message.encode(), path)
    except Exception:
        _count_unsaid()


def _send(data, path):
    global _socket
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    kept = _socket
    if _is_ours(kept):
        sender = socket.socket(socket.AF_UNIX, kind, 0, kept[0])
    else:
        sender = socket.socket(socket.AF_UNIX, kind)
        _socket = _remember(sender.fileno())
    try:
        sender.sendto(data, path)
    finally:
        # Only the number is kept: nobody closes it when it means something else by then.
        sender.detach()


def _append(word, key, value, rest=""):
    path = os.environ.get("KILLPOINT_JOURNAL")
    if not path:
        return
    try:
        line = _line(word, key, value, rest)
        # One call, so that lines of several processes never mix; a part of one is no line.
        if line is None or os.write(_opened_journal(path), line) != len(line):
            _count_unsaid()
    except Exception:
        _count_unsaid()


def _line(word, key, value, rest):
    if key is None or value is None:
        return None
    key, text = str(key), "" if value is _WITHOUT else str(value)
    # What is too long as it is, is longer encoded: no work is done for it.
    if key == "" or len(key) + len(text) > _MESSAGE_BYTES_MAX:
        return None
    line = word + " " + _encode_key(key) + rest
    if value is not _WITHOUT:
        line += " " + _encode_value(text)
    data = (line + "\n").encode()
    return data if len(data) <= _MESSAGE_BYTES_MAX else None


def _opened_journal(path):
    global _journal
    kept = _journal
    if not _is_ours(kept):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        # Two threads that open it at once keep one; the other stays open, and does no harm.
        kept = _journal = _remember(os.open(path, flags, 0o644))
    return kept[0]


def _remember(number):
    status = os.fstat(number)
    return number, status.st_dev, status.st_ino


def _is_ours(kept):
    """Whether a number that was kept still means what it meant: who becomes a daemon closes all of them,
    and opens others under the same numbers."""
    if kept is None:
        return False
    try:
        return _remember(kept[0]) == kept
    except OSError:
        return False


def _encode(text):
    # White space as Rust and Unicode have it, control characters, and the percent sign.
    def must(character):
        point = ord(character)
        return (
            character == "%"
            or point < 0x21
            or 0x7F <= point <= 0xA0
            or point in (0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
            or 0x2000 <= point <= 0x200A
        )

    return "".join(
        "".join("%%%02X" % byte for byte in character.encode()) if must(character) else character
        for character in text
    )


def _encode_key(text):
    return "%23" + _encode(text[1:]) if text.startswith("#") else _encode(text)


def _encode_value(text):
    if text.startswith("sha256:"):
        return "sha256%3A" + _encode(text[7:])
    return "%2D" if text == "-" else _encode(text)
