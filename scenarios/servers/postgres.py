"""PostgreSQL: `serve PORT OPTION...` makes a database in KILLPOINT_STATE where there is none and becomes the server;
`drive PORT SECONDS` writes and notes what was acknowledged; `check` starts a server on the state, behind a Unix
socket, and prints what it holds.

PostgreSQL refuses to run as root: root becomes the user `postgres` first (or whom POSTGRES_USER names)."""

import glob
import json
import os
import pwd
import socket
import struct
import subprocess
import sys

import acked

DATABASE_USER = "killpoint"
# One call instead of one for each file: what is on disk when a recovery begins is the same.
OPTIONS = ["-c", "recovery_init_sync_method=syncfs"]


def program(name):
    """Debian keeps them out of PATH; the newest version counts."""
    found = glob.glob(f"/usr/lib/postgresql/*/bin/{name}")
    return max(found, key=lambda path: float(path.split("/")[4])) if found else name


def user():
    return pwd.getpwnam(os.environ.get("POSTGRES_USER", "postgres")) if os.getuid() == 0 else None


class Client:
    """The protocol of PostgreSQL, version 3, simple queries only."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), acked.ANSWER_S_MAX)
        self.input = self.socket.makefile("rb")
        words = f"user\0{DATABASE_USER}\0database\0postgres\0\0".encode()
        self.socket.sendall(struct.pack("!II", len(words) + 8, 3 << 16) + words)
        self.until_ready()

    def ask(self, query):
        words = query.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!I", len(words) + 4) + words)
        self.until_ready()

    def until_ready(self):
        problem = None
        while True:
            head = self.input.read(5)
            if len(head) < 5:
                raise ConnectionError("the server is gone")
            kind, length = struct.unpack("!cI", head)
            words = self.input.read(length - 4)
            if kind == b"E":
                problem = words.replace(b"\0", b" ").decode(errors="replace")
                # After an error of the start, or before it dies, nothing more may come.
                if b"FATAL" in words or b"PANIC" in words:
                    raise OSError(problem)
            elif kind == b"Z":
                if problem is not None:
                    raise OSError(problem)
                return


def serve(port, options):
    state, postgres = os.environ["KILLPOINT_STATE"], user()
    if postgres is not None:
        os.chown(state, postgres.pw_uid, postgres.pw_gid)
        os.initgroups(postgres.pw_name, postgres.pw_gid)
        os.setgid(postgres.pw_gid)
        os.setuid(postgres.pw_uid)
    os.chmod(state, 0o700)
    if not os.path.exists(os.path.join(state, "PG_VERSION")):
        make = [program("initdb"), "--no-sync", "--auth=trust", "--locale=C", "--encoding=UTF8",
                f"--username={DATABASE_USER}", state]
        subprocess.run(make, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        alone = [program("postgres"), "--single", "-D", state, "postgres"]
        subprocess.run(alone, check=True, stdout=subprocess.DEVNULL,
                       input=b"CREATE TABLE notes (key text PRIMARY KEY, value text NOT NULL)\n")
    os.execv(program("postgres"), ["postgres", "-D", state, "-p", str(port), "-c", "listen_addresses=127.0.0.1",
                                   "-c", "unix_socket_directories=", *OPTIONS, *options])


def drive(port, seconds):
    def connect():
        client = Client(port)
        return lambda key, value: client.ask(
            f"INSERT INTO notes VALUES ('{key}', '{value}') ON CONFLICT (key) DO UPDATE SET value = '{value}'")

    acked.drive(connect, seconds)


def check():
    state, postgres = os.environ["KILLPOINT_STATE"], user()
    if not os.path.exists(os.path.join(state, "PG_VERSION")):
        return acked.show({})
    command = [program("postgres"), "-D", state, "-c", "listen_addresses=",
               "-c", "unix_socket_directories={directory}", *OPTIONS]

    def ask(directory, query):
        psql = ["psql", "--no-psqlrc", "-At", "-h", directory, "-U", DATABASE_USER, "-d", "postgres", "-c", query]
        return subprocess.run(psql, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    with acked.serving(command, lambda directory: ask(directory, "SELECT 1").returncode == 0, postgres) as directory:
        held = ask(directory, "SELECT coalesce(json_object_agg(key, value), '{}') FROM notes")
        if held.returncode != 0:
            sys.exit("the server does not answer: " + held.stderr)
        acked.show(json.loads(held.stdout))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]), sys.argv[3:])
    elif sys.argv[1] == "drive":
        drive(int(sys.argv[2]), float(sys.argv[3]))
    else:
        check()
