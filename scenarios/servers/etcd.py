"""etcd, one member: `drive PORT SECONDS` writes and notes what was acknowledged; `check` starts a member on the state
in KILLPOINT_STATE, at ports that are free, and prints what it holds."""

import base64
import http.client
import json
import os
import socket
import sys

import acked


class Client:
    """The JSON gateway of the version 3 interface."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=acked.ANSWER_S_MAX)

    def ask(self, path, **fields):
        try:
            self.connection.request("POST", path, json.dumps(fields), {"Content-Type": "application/json"})
            answer = self.connection.getresponse()
            words = answer.read()
        except http.client.HTTPException as problem:
            raise OSError(str(problem)) from problem
        if answer.status != 200:
            raise OSError(words.decode(errors="replace"))
        return json.loads(words)


def coded(text):
    return base64.b64encode(text.encode()).decode()


def plain(text):
    return base64.b64decode(text).decode()


def drive(port, seconds):
    def connect():
        client = Client(port)
        client.connection.connect()
        return lambda key, value: client.ask("/v3/kv/put", key=coded(key), value=coded(value))

    acked.drive(connect, seconds)


def free_port():
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


def check():
    state = os.environ["KILLPOINT_STATE"]
    if not os.path.exists(os.path.join(state, "member")):
        return acked.show({})
    port, peer = free_port(), f"http://127.0.0.1:{free_port()}"
    address = f"http://127.0.0.1:{port}"
    command = ["etcd", "--data-dir", state, "--listen-client-urls", address, "--advertise-client-urls", address,
               "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
               "--heartbeat-interval", "20", "--election-timeout", "200"]

    def every(_):
        # From the first key to the last; a member without a leader answers an error.
        return Client(port).ask("/v3/kv/range", key=base64.b64encode(b"\0").decode(),
                                range_end=base64.b64encode(b"\0").decode())

    with acked.serving(command, lambda directory: "header" in every(directory)) as directory:
        held = every(directory).get("kvs", [])
        acked.show({plain(it["key"]): plain(it.get("value", "")) for it in held})


if __name__ == "__main__":
    if sys.argv[1] == "drive":
        drive(int(sys.argv[2]), float(sys.argv[3]))
    else:
        check()
