#!/usr/bin/env python3
"""strace-enumerate.py CASE_DIR [--max N] [--keep]: the peer to beat.

Enumerates the kill points of a case by running the whole workload again for each of them, under
`strace --inject=CALL:signal=SIGKILL:when=K`. The fault is a SIGKILL at the entry of a call that changes a file in
the state directory; the call itself is not executed. README.md says what a case is.

From the states that the kills leave, two power-loss models are composed:
  prefix  everything after the last fsync, fdatasync or sync is gone, names and contents;
  data    all names are as they were, each file has only the bytes of its own last fsync (never synced: empty).

Writes CASE.results.json and CASE.points.json into $OUT (default: a folder in /dev/shm).
"""

import collections
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

CALLS = (
    "write,pwrite64,writev,pwritev,pwritev2,rename,renameat,renameat2,unlink,unlinkat,ftruncate,truncate,"
    "fsync,fdatasync,sync_file_range,msync,open,openat,creat,link,linkat,symlink,symlinkat,mkdir,mkdirat,"
    "rmdir,fallocate,copy_file_range,sendfile,syncfs,sync"
)
SYNC_CALLS = ("fsync", "fdatasync", "sync", "syncfs")
RELATIVE_PATH_CALLS = ("rename", "unlink", "mkdir", "rmdir", "link")
WORKLOAD_SECONDS_MAX = 40
CHECK_SECONDS_MAX = 30
SETUP_SECONDS_MAX = 60

CASE = os.path.abspath(sys.argv[1])
NAME = os.path.basename(CASE)
POINTS_MAX = int(sys.argv[sys.argv.index("--max") + 1]) if "--max" in sys.argv else 10**9
CONFIG = json.load(open(CASE + "/case.json"))
INTENTS = CONFIG.get("intent", [])
CASES = os.environ.get("CASES", os.path.dirname(os.path.abspath(__file__)))
CASES_ENV = os.environ.get("CASES_ENV", os.path.expanduser("~/.cache/killpoint-cases"))
OUT = os.environ.get("OUT", "/dev/shm/strace-enumerate")

RUN = OUT + "/" + NAME
STATE = RUN + "/st"
JOURNAL = RUN + "/ack"
BASE = RUN + "/base"
BASE_JOURNAL = RUN + "/base-ack"
HOME = RUN + "/home"

ENVIRONMENT = dict(
    os.environ,
    KILLPOINT_STATE=STATE,
    KILLPOINT_JOURNAL=JOURNAL,
    CASE=CASE,
    CASES=CASES,
    CASES_ENV=CASES_ENV,
    NODE_PATH=CASES_ENV + "/node_modules:" + CASES + "/lib",
    PYTHONPATH=CASES + "/lib",
    HOME=HOME,
    UV_THREADPOOL_SIZE="1",
    UV_USE_IO_URING="0",
    PYTHONDONTWRITEBYTECODE="1",
    PYTHONHASHSEED="0",
    LC_ALL="C.UTF-8",
)
ENVIRONMENT.update(CONFIG.get("env", {}))

TRACE_LINE = re.compile(r"^(\d+)\s+(\w+)\((.*)$")
PATH_IN_STATE = re.compile(re.escape(STATE) + r'/([^>"]*)')

Event = collections.namedtuple("Event", "thread call ordinal text")
Kill = collections.namedtuple("Kill", "event journal verdict detail exact digest trace")


def run_command(command, seconds_max):
    return subprocess.run(
        command, env=ENVIRONMENT, cwd=CASE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=seconds_max,
    )


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def read_text(path):
    with open(path) as file:
        return file.read()


def lay_out(source):
    """Makes the state directory a copy of the source."""
    shutil.rmtree(STATE, ignore_errors=True)
    shutil.copytree(source, STATE, symlinks=True)


def keep_state(label):
    shutil.copytree(STATE, snapshot(label), symlinks=True)


def snapshot(label):
    return f"{RUN}/snap/{label}"


def regular_files(root):
    """The paths of all regular files below the root, relative to it, in a stable order."""
    found = []
    for directory, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            path = os.path.join(directory, name)
            if os.path.isfile(path) and not os.path.islink(path):
                found.append(os.path.relpath(path, root))
    return found


def digest(root):
    total = hashlib.sha1()
    for path in regular_files(root):
        total.update(path.encode() + b"\0" + read_bytes(os.path.join(root, path)))
    return total.hexdigest()


def parse(log):
    """The events of a trace that change the state directory, each with its ordinal among its thread's equal calls."""
    counts = collections.Counter()
    events = []
    with open(log, errors="replace") as lines:
        for line in lines:
            match = TRACE_LINE.match(line)
            if not match:
                continue
            thread, call, text = match.groups()
            counts[thread, call] += 1
            relative = call in RELATIVE_PATH_CALLS and re.match(r'"[^/]', text)
            if STATE not in text and not relative:
                continue
            if call in ("open", "openat") and not re.search(r"O_CREAT|O_TRUNC|O_D?SYNC", text):
                continue
            events.append(Event(thread, call, counts[thread, call], text.strip()))
    return events


def run_workload(victim=None):
    """Runs the workload from the base state, and kills it at the entry of the victim. Gives events, status, output."""
    lay_out(BASE)
    shutil.copyfile(BASE_JOURNAL, JOURNAL)
    with open(JOURNAL, "a") as journal:
        journal.write("".join(line + "\n" for line in INTENTS))
    shutil.rmtree(HOME, ignore_errors=True)
    os.makedirs(HOME)
    log = RUN + "/log"
    if os.path.exists(log):
        os.unlink(log)
    command = ["strace", "-f", "-y", "-s", "48", "-o", log, "-e", "trace=" + CALLS]
    if victim:
        command += ["-e", f"inject={victim.call}:signal=SIGKILL:when={victim.ordinal}"]
    command += ["/bin/bash", "-c", "exec " + CONFIG["workload"]]
    try:
        done = run_command(command, WORKLOAD_SECONDS_MAX)
        status, output = done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired:
        status, output = "timeout", ""
    if INTENTS and status == 0:
        with open(JOURNAL, "a") as journal:
            journal.write("".join(f"A {line.split()[1]}\n" for line in INTENTS))
    return parse(log), status, output


def shape(event):
    """What an event looks like without the parts that vary from run to run."""
    text = event.text.replace(STATE, "$S")
    text = re.split(r"\)?\s+(?:= |<unfinished)", text)[0]
    return event.call + " " + re.sub(r"[0-9a-f]{6,}|\d+", "#", text)[:60]


def history(journal):
    """Key to its last acknowledged value (or None) and the values intended since then."""
    keys = {}
    for line in journal.splitlines():
        parts = line.split(" ", 2)
        if parts[0] == "I":
            keys.setdefault(parts[1], [None, []])[1].append(parts[2])
        elif parts[0] == "A" and parts[1] in keys:
            entry = keys[parts[1]]
            if entry[1]:
                entry[0] = entry[1][-1]
                entry[1] = []
    return keys


def judge(journal):
    """Opens the store with the checker: a verdict and its detail."""
    try:
        done = run_command(["/bin/bash", "-c", CONFIG["check"]], CHECK_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return "UNOPENABLE", "check timeout"
    output = done.stdout.decode(errors="replace").strip().splitlines()
    if done.returncode:
        return "UNOPENABLE", output[-1][:140] if output else f"rc={done.returncode}"
    try:
        held = json.loads(output[-1])
    except (IndexError, ValueError):
        return "UNOPENABLE", f"bad check output {done.stdout[-100:]!r}"
    keys = history(journal)
    bad = []
    for key, (acknowledged, pending) in keys.items():
        allowed = set(pending) | ({acknowledged} if acknowledged is not None else {"-"})
        value = str(held[key]) if key in held else "-"
        if value not in allowed:
            wanted = "|".join(sorted(choice[:20] for choice in allowed))
            bad.append(f"{key}: want {wanted} got {value[:20]}")
    if bad:
        lost = any(line.endswith("got -") for line in bad)
        return "LOST" if lost else "WRONG", f"{len(bad)} of {len(keys)} keys bad; {bad[0]}"
    extra = [key for key in held if key not in keys]
    return ("EXTRA", str(extra[:3])) if extra else ("OK", "")


def kill_at(index, event):
    trace, status, _ = run_workload(event)
    exact = status not in (0, "timeout") and len(trace) == index + 1 and trace[-1].call == event.call
    keep_state(index)
    journal = read_text(JOURNAL)
    verdict, detail = judge(journal)
    return Kill(event, journal, verdict, detail, exact, digest(snapshot(index)), trace)


class PowerLoss:
    """Follows the events, and knows for each file which bytes its last sync made durable."""

    def __init__(self):
        self.durable = {path: read_bytes(os.path.join(BASE, path)) for path in regular_files(BASE)}
        self.last_sync = None
        self.synchronous_descriptors = set()

    def apply(self, event, event_of_run, before, after, after_label):
        """Takes in an event, with the states before and after it. `event_of_run` is the same one in the run that left
        the state before it, where random names differ."""
        call, text = event.call, event.text
        paths = paths_of(text)
        if call in SYNC_CALLS:
            self.last_sync = os.path.basename(before)
            for path, path_of_run in zip(paths, paths_of(event_of_run.text) if event_of_run else paths):
                source = os.path.join(before, path_of_run)
                if os.path.isfile(source):
                    self.durable[path] = read_bytes(source)
        elif call == "msync":
            self.last_sync = os.path.basename(before)
            for path in regular_files(before):
                self.durable[path] = read_bytes(os.path.join(before, path))
        elif call.startswith("rename") and len(paths) >= 2 and "= -1" not in text:
            old = paths[-2] if len(paths) > 2 else paths[0]
            self.durable[paths[-1]] = self.durable.pop(old, b"")
        elif call.startswith("link") and len(paths) >= 2:
            self.durable[paths[-1]] = self.durable.get(paths[0], b"")
        elif call.startswith("unlink") and paths:
            self.durable.pop(paths[-1], None)
        elif call in ("open", "openat") and paths:
            arguments = PATH_IN_STATE.findall(text.split("= ")[0])
            path = paths[0] if call == "open" or not arguments else arguments[-1]
            if "O_TRUNC" in text or not os.path.exists(os.path.join(before, path)):
                self.durable[path] = b""
            opened = re.search(r"= (\d+)<", text)
            if opened:
                descriptor = (event.thread, opened.group(1))
                if re.search(r"O_D?SYNC", text):
                    self.synchronous_descriptors.add(descriptor)
                else:
                    self.synchronous_descriptors.discard(descriptor)
        elif call in ("ftruncate", "truncate") and paths:
            match = re.search(r", (\d+)", text)
            size = int(match.group(1)) if match else 0
            contents = self.durable.get(paths[0], b"")
            self.durable[paths[0]] = contents[:size] + b"\0" * max(0, size - len(contents))
        elif paths and (event.thread, text.split("<")[0]) in self.synchronous_descriptors:
            self.last_sync = after_label
            source = os.path.join(after, paths[0])
            if os.path.isfile(source):
                self.durable[paths[0]] = read_bytes(source)


def paths_of(text):
    return [re.sub(r" \(deleted\)$", "", path) for path in PATH_IN_STATE.findall(text)]


def judge_power_loss(events, kills, full_journal):
    """The verdicts of both models at every point and at the end."""
    verdicts = {"PLprefix": [], "PLdata": []}
    power = PowerLoss()
    count = len(events)
    for index in range(len(kills) + 1):
        at_end = index == count
        if index == len(kills) and not at_end:
            break
        label = "end" if at_end else str(index)
        journal = full_journal if at_end else kills[index].journal
        if index > 0:
            trace = kills[index - 1].trace
            event_of_run = trace[index - 1] if len(trace) >= index else None
            power.apply(events[index - 1], event_of_run, snapshot(index - 1), snapshot(label), label)

        lay_out(BASE if power.last_sync is None else snapshot(power.last_sync))
        verdicts["PLprefix"].append(judge(journal))

        lay_out(snapshot(label))
        trace = events if at_end else kills[index].trace
        recorded_name = {}
        for recorded, of_run in zip(events[:index], trace[:index]):
            recorded_names = PATH_IN_STATE.findall(recorded.text)
            recorded_name.update(zip(PATH_IN_STATE.findall(of_run.text), recorded_names))
        for path in regular_files(snapshot(label)):
            contents = power.durable.get(recorded_name.get(path, path), power.durable.get(path, b""))
            with open(os.path.join(STATE, path), "wb") as file:
                file.write(contents)
        verdicts["PLdata"].append(judge(journal))
    return verdicts


def stop(message):
    """The case itself is broken: nothing was measured."""
    print(message)
    sys.exit(2)


def main():
    shutil.rmtree(RUN, ignore_errors=True)
    for directory in (RUN + "/snap", HOME, STATE):
        os.makedirs(directory)
    open(JOURNAL, "w").close()
    done = run_command(["/bin/bash", "-c", CONFIG["setup"]], SETUP_SECONDS_MAX)
    if done.returncode:
        stop(f"{NAME} SETUP FAILED {done.stdout.decode()[-800:]}")
    shutil.copytree(STATE, BASE, symlinks=True)
    shutil.copyfile(JOURNAL, BASE_JOURNAL)

    events, status, output = run_workload()
    if status:
        stop(f"{NAME} WORKLOAD FAILED {status} {output[-800:]}")
    keep_state("end")
    full_journal = read_text(JOURNAL)
    baseline = judge(full_journal)
    if baseline[0] != "OK":
        stop(f"{NAME} BASELINE BAD {baseline} {full_journal[-300:]}")
    again, _, _ = run_workload()
    deterministic = [shape(event) for event in events] == [shape(event) for event in again]

    started = time.time()
    kills = [kill_at(index, event) for index, event in enumerate(events[:POINTS_MAX])]
    seconds = time.time() - started
    power_loss = judge_power_loss(events, kills, full_journal)
    report(events, kills, power_loss, full_journal, deterministic, seconds)
    if "--keep" not in sys.argv:
        shutil.rmtree(RUN, ignore_errors=True)


def report(events, kills, power_loss, full_journal, deterministic, seconds):
    failing = [
        dict(n=index + 1, what=shape(kill.event), verdict=kill.verdict, detail=kill.detail)
        for index, kill in enumerate(kills)
        if kill.verdict != "OK"
    ]
    examples = {
        model: next(((index + 1,) + found for index, found in enumerate(verdicts) if found[0] != "OK"), None)
        for model, verdicts in power_loss.items()
    }
    result = dict(
        name=NAME,
        program=CONFIG["program"],
        points=len(events),
        ran=len(kills),
        distinct_states=len({kill.digest for kill in kills}),
        deterministic=deterministic,
        exact=sum(bool(kill.exact) for kill in kills),
        kill=dict(collections.Counter(kill.verdict for kill in kills)),
        PLprefix=dict(collections.Counter(verdict for verdict, _ in power_loss["PLprefix"])),
        PLdata=dict(collections.Counter(verdict for verdict, _ in power_loss["PLdata"])),
        syncs=sum(event.call in SYNC_CALLS or event.call == "msync" for event in events),
        acks=sum(line.startswith("A ") for line in full_journal.splitlines()),
        sec_per_point=round(seconds / max(1, len(kills)), 3),
        failing=failing,
        pl_example=examples,
    )
    points = [
        dict(n=index + 1, sc=event.call, k=event.ordinal, what=shape(event)) for index, event in enumerate(events)
    ]
    with open(f"{OUT}/{NAME}.results.json", "w") as file:
        json.dump(result, file, indent=1)
    with open(f"{OUT}/{NAME}.points.json", "w") as file:
        json.dump(points, file, indent=0)
    print(
        f"{NAME:24s} pts={len(events):4d} distinct={result['distinct_states']:4d} det={deterministic!s:5} "
        f"exact={result['exact']}/{len(kills)} syncs={result['syncs']} kill={result['kill']} "
        f"PLpre={result['PLprefix']} PLdata={result['PLdata']} {result['sec_per_point']}s/pt"
    )
    if failing:
        print("    first kill failure:", failing[0])
    for model, example in examples.items():
        if example:
            print("   ", model, example)


if __name__ == "__main__":
    main()
