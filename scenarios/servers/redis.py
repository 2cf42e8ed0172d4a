"""redis-server: `drive PORT SECONDS` writes and notes what was acknowledged; `check` starts a server on the state
in KILLPOINT_STATE, behind a Unix socket, and prints what it holds."""

import os
import socket
import sys

import acked


class Client:
    """The protocol of Redis, as much as is needed of it."""

    def __init__(self, family, address):
        self.socket = socket.socket(family)
        self.socket.settimeout(acked.ANSWER_S_MAX)
        self.socket.connect(address)
        self.answers = self.socket.makefile("rb")

    def ask(self, *words):
        words = [word.encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(it), it) for it in words))
        return self.answer()

    def answer(self):
        line = self.answers.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server is gone")
        kind, text = line[:1], line[1:-2]
        if kind == b"-":
            raise OSError(text.decode())
        if kind == b"$":
            length = int(text)
            if length < 0:
                return None
            whole = self.answers.read(length + 2)
            if len(whole) < length + 2:
                raise ConnectionError("the server is gone")
            return whole[:-2].decode()
        if kind == b"*":
            return [self.answer() for _ in range(int(text))]
        return text.decode()


def drive(port, seconds):
    def connect():
        client = Client(socket.AF_INET, ("127.0.0.1", port))
        return lambda key, value: client.ask("SET", key, value)

    acked.drive(connect, seconds)


def check():
    state = os.environ["KILLPOINT_STATE"]
    command = ["redis-server", "--port", "0", "--unixsocket", "{directory}/socket", "--dir", state,
               "--appendonly", "yes", "--save", ""]

    def client(directory):
        return Client(socket.AF_UNIX, os.path.join(directory, "socket"))

    # As long as it reads its file it answers LOADING, an error.
    with acked.serving(command, lambda directory: client(directory).ask("PING") == "PONG") as directory:
        held = client(directory)
        acked.show({key: held.ask("GET", key) for key in sorted(held.ask("KEYS", "*"))})


if __name__ == "__main__":
    if sys.argv[1] == "drive":
        drive(int(sys.argv[2]), float(sys.argv[3]))
    else:
        check()
