#!/usr/bin/env python3
"""Records what SQLite does to its files, as the text that the oracle's tests replay.

usage: record.py MODE [PAGE_SIZE] > MODE.txt        (needs strace)

A line is `create N path`, `write N offset hex`, `resize N size`, `unlink N path` or `sync N`; N is
the file. In the hex `zK.` stands for K zero bytes. `begin` ends what is there at the beginning.
"""
import os, re, sqlite3, subprocess, sys, tempfile


def work(directory, mode, page_size):
    connection = sqlite3.connect(os.path.join(directory, "notes.db"), isolation_level=None)
    connection.execute(f"pragma page_size={page_size}")
    connection.execute("create table note(id integer primary key, text)")
    connection.execute("create table word(word primary key, note) without rowid")
    connection.execute("create index by_text on note(text)")
    save(connection, range(1, 12))
    connection.close()
    open(os.path.join(directory, "begin"), "w").close()
    connection = sqlite3.connect(os.path.join(directory, "notes.db"), isolation_level=None)
    connection.execute(f"pragma journal_mode={mode}")
    connection.execute("pragma cache_size=4")
    save(connection, range(12, 20))
    save(connection, range(20, 24))
    connection.execute("update note set text=text||'!' where id%3=0")
    connection.execute("begin")
    connection.execute("delete from note where id<9")
    connection.execute("update word set note=-1 where note<9")
    connection.execute("commit")
    connection.execute("create table mark(x)")
    save(connection, range(24, 27))
    connection.close()


def save(connection, ids):
    connection.execute("begin")
    for number in ids:
        connection.execute("insert into note values(?,?)", (number, f"note {number} " * 6))
        connection.execute("insert into word values(?,?)", (f"word{number * 7919 % 1000}", number))
    connection.execute("commit")


def packed(data):
    parts = re.split(rb"(\0{8,})", data)
    return "".join(f"z{len(part)}." if part.startswith(b"\0" * 8) else part.hex() for part in parts)


def record(mode, page_size):
    with tempfile.TemporaryDirectory() as directory, tempfile.NamedTemporaryFile("r") as log:
        calls = "openat,pwrite64,write,ftruncate,unlink,fsync,fdatasync"
        subprocess.run(["strace", "-y", "-xx", "-s", "9999999", "-e", "trace=" + calls, "-o", log.name,
                        sys.executable, __file__, "--work", directory, mode, str(page_size)], check=True)
        numbers, live = {}, {}
        def plain(text):
            return re.sub(r"\\x(..)", lambda match: chr(int(match.group(1), 16)), text)
        for line in log:
            call, _, rest = line.partition("(")
            if " = -1 " in rest or "= ?" in rest:
                continue
            if call in ("openat", "unlink"):
                path = plain(re.search(r'"([^"]*)"', rest).group(1))
            else:
                path = plain(re.match(r"\d+<([^>]*)>", rest).group(1)) if re.match(r"\d+<", rest) else ""
            if not path.startswith(directory + "/"):
                continue
            name = path[len(directory) + 1:]
            if call == "openat":
                if name == "begin":
                    print("begin")
                elif "O_CREAT" in rest and name not in live:
                    live[name] = len(numbers) + 1
                    numbers[live[name]] = name
                    print("create", live[name], name)
            elif name not in live:
                continue
            elif call == "pwrite64":
                data, _, offset = re.search(r'"([^"]*)", (\d+), (\d+)\)', rest).groups()
                print("write", live[name], offset, packed(bytes.fromhex(data.replace("\\x", ""))))
            elif call == "write":
                sys.exit("a write without an offset")
            elif call == "ftruncate":
                print("resize", live[name], re.search(r", (\d+)\)", rest).group(1))
            elif call == "unlink":
                print("unlink", live.pop(name), name)
            else:
                print("sync", live[name])


if sys.argv[1] == "--work":
    work(sys.argv[2], sys.argv[3], sys.argv[4])
else:
    record(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 512)
