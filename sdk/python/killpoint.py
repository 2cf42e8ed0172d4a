"""What an application may say about itself to Killpoint. One file; copy it or put it on the path.

Every function does nothing when the program does not run under Killpoint, raises nothing, and never
blocks: what cannot be said at once is not said, and unsaid() counts it.
"""

import os
import socket
import threading

_MESSAGE_BYTES_MAX = 4096
_lock = threading.Lock()
_unsaid = 0
_socket = None
_journal = None
# A child of a fork must not share what its parent opened, nor a lock that was held meanwhile.
_pid = os.getpid()


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
    _append("I", key, None, " -")


def ack(key):
    """The latest intent of key survives a kill from now on. After the save."""
    _append("A", key, None)


def draft(key, value):
    """Unsaved work: promises nothing; its restoration is counted."""
    _append("D", key, value)


def is_supervised():
    """Whether the program runs under a supervisor of Killpoint."""
    return "KILLPOINT_NOTIFY_SOCKET" in os.environ


def unsaid():
    """How often something could not be said: nobody listened, or there was no room."""
    return _unsaid


def _count_unsaid():
    global _unsaid
    _unsaid += 1


def _after_fork():
    global _lock, _socket, _journal, _pid
    _lock, _socket, _journal, _pid = threading.Lock(), None, None, os.getpid()


def _say_number(name, sequence):
    if isinstance(sequence, int) and 0 <= sequence < 1 << 64:
        _say("%s=%d" % (name, sequence))
    elif is_supervised():
        _count_unsaid()


def _say(message):
    global _socket
    path = os.environ.get("KILLPOINT_NOTIFY_SOCKET")
    if not path:
        return
    try:
        if _pid != os.getpid():
            _after_fork()
        with _lock:
            if _socket is None:
                _socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                _socket.setblocking(False)
            _socket.sendto(message.encode(), path)
    except Exception:
        _count_unsaid()


def _append(word, key, value, rest=""):
    global _journal
    path = os.environ.get("KILLPOINT_JOURNAL")
    if not path:
        return
    try:
        if _pid != os.getpid():
            _after_fork()
        if key == "":
            return _count_unsaid()
        line = word + " " + _encode_key(str(key)) + rest
        if value is not None:
            line += " " + _encode_value(str(value))
        data = (line + "\n").encode()
        if len(data) > _MESSAGE_BYTES_MAX:
            return _count_unsaid()
        with _lock:
            if _journal is None:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
                _journal = os.open(path, flags, 0o644)
            # One call, so that lines of several processes never mix; a part of one is no line.
            if os.write(_journal, data) != len(data):
                _count_unsaid()
    except Exception:
        _count_unsaid()


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
