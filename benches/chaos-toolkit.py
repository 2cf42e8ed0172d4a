#!/usr/bin/env python3
"""Killpoint beside the Chaos Toolkit, row by row: what each does where things go wrong.

    cargo build --release -p killpoint
    python3 benches/chaos-toolkit.py

Both sides are given the same experiment file and really carry it out; nothing below is written down
beforehand. The Chaos Toolkit is installed from PyPI into a virtual environment below target/. The
processes that are stopped are `sleep`s of this script's own. Prints a Markdown table.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOOLKIT = "chaostoolkit==1.19.*"
REPORTING = "chaostoolkit-reporting==0.18.*"
INSTALL_SECONDS_MAX = 600
RUN_SECONDS_MAX = 120
# How long a process that stands still may take to go on before it is called frozen.
FROZEN_SECONDS = 10
# Beyond what the kernel gives to processes.
NO_PROCESS = 99_999_999
# How long the activity goes on that runs when the deviation is seen.
ACTIVITY_SECONDS = 6

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--killpoint", type=pathlib.Path, help="the binary [target/release, else debug]")
    parser.add_argument("--venv", type=pathlib.Path, default=REPOSITORY / "target" / "chaos-toolkit")
    parser.add_argument("--no-report", action="store_true", help="do not install the reporting plug-in")
    arguments = parser.parse_args()
    killpoint = arguments.killpoint or find_killpoint()
    chaos = install(arguments.venv, not arguments.no_report)
    sides = [Toolkit(chaos), Killpoint(killpoint.resolve())]
    print(f"{sides[0].version()}; {sides[1].version()}; {os.cpu_count()} processors, "
          f"load {os.getloadavg()[0]:.1f}\n")
    print("| what goes wrong | Chaos Toolkit | Killpoint |\n|---|---|---|")
    for row in ROWS:
        observed = []
        for side in sides:
            with tempfile.TemporaryDirectory(prefix="chaos-toolkit-") as directory:
                observed.append(row(side, pathlib.Path(directory)))
        print(f"| {row.__doc__} | {observed[0]} | {observed[1]} |", flush=True)


def find_killpoint():
    for profile in ["release", "debug"]:
        path = REPOSITORY / "target" / profile / "killpoint"
        if path.exists():
            return path
    sys.exit("there is no target/release/killpoint: cargo build --release -p killpoint")


def install(venv, with_reporting):
    """The Chaos Toolkit's command."""
    chaos = venv / "bin" / "chaos"
    if not chaos.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip(venv, TOOLKIT)
    if with_reporting and not any(venv.glob("lib/*/site-packages/chaosreport")):
        try:
            pip(venv, REPORTING)
        except subprocess.SubprocessError:
            print("the reporting plug-in cannot be installed; its row says so", file=sys.stderr)
    return chaos


def pip(venv, what):
    command = [str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", what]
    subprocess.run(command, check=True, timeout=INSTALL_SECONDS_MAX)


class Side:
    """A tool in a directory of its own."""

    def call(self, directory, *words):
        """Runs it to its end."""
        return subprocess.run(
            [str(word) for word in words], cwd=directory, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=RUN_SECONDS_MAX)

    def start(self, directory, *words):
        log = open(directory / "log.txt", "w")
        return subprocess.Popen(
            [str(word) for word in words], cwd=directory, stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True)


class Toolkit(Side):
    name = "Chaos Toolkit"

    def __init__(self, program):
        self.program = program

    def version(self):
        code = ("import importlib.metadata as m; "
                "print(m.version('chaostoolkit'), m.version('chaostoolkit-lib'))")
        python = self.program.parent / "python"
        versions = subprocess.check_output([str(python), "-c", code], text=True).split()
        return f"Chaos Toolkit {versions[0]} (lib {versions[1]})"

    def environment(self):
        return [self.program, "--no-version-check", "--no-log-file"]

    def run_words(self, fail_fast=False):
        words = [*self.environment(), "run", "--journal-path", "journal.json"]
        if fail_fast:
            words += ["--hypothesis-strategy", "continuously", "--hypothesis-frequency", "0.1",
                      "--fail-fast", "--rollback-strategy", "always"]
        return [*words, "experiment.json"]

    def check_words(self):
        return [*self.environment(), "validate", "experiment.json"]

    def verdict(self, directory):
        """What the run says of itself."""
        path = directory / "journal.json"
        if not path.exists():
            return "no journal"
        journal = json.loads(path.read_text())
        runs = [run["status"] for run in journal.get("run", [])]
        return f"journal: {journal.get('status')}, activities {', '.join(runs) or 'none'}"

    def log(self, directory):
        return "journal left" if (directory / "journal.json").exists() else "**no journal**"

    def report_words(self, directory):
        return [*self.environment(), "report", "--export-format=markdown", "journal.json", "report.md"]


class Killpoint(Side):
    name = "Killpoint"

    def __init__(self, program):
        self.program = program

    def version(self):
        return subprocess.check_output([str(self.program), "--version"], text=True).strip()

    def run_words(self, fail_fast=False):
        return [self.program, "run", "experiment.json"]

    def check_words(self):
        return [self.program, "plan", "--check", "experiment.json"]

    def run_folder(self, directory):
        runs = sorted((directory / ".killpoint" / "runs").glob("*"))
        return runs[-1] if runs else None

    def verdict(self, directory):
        folder = self.run_folder(directory)
        if folder is None:
            return "nothing touched"
        output = self.call(directory, self.program, "report", folder, "--format", "json").stdout
        report = json.loads(output)
        trials = report["campaign"]["trials"][1:]
        verdicts = [json.dumps(trial["judgement"]["verdict"]) for trial in trials]
        shown = [" ".join(json.loads(text).values()) if text.startswith("{") else text for text in verdicts]
        return f"report: {report['result']}, trials {', '.join(shown) or 'none'}"

    def log(self, directory):
        folder = self.run_folder(directory)
        if folder is None:
            return "**no log**"
        verified = self.call(directory, self.program, "audit", "verify", folder)
        whole = "chain whole" in verified.stdout
        return "log left, its chain whole" if whole else "**log broken**"

    def report_words(self, directory):
        return [self.program, "report", self.run_folder(directory)]


def shell(kind, name, script, **more):
    provider = {"type": "process", "path": "sh", "arguments": ["-c", script]}
    return {"type": kind, "name": name, "provider": provider, **more}


def write(directory, method, probe="true", rollbacks=(), key="steady-state-hypothesis", **more):
    hypothesis = {"title": "It is well", "probes": [shell("probe", "is well", probe, tolerance=0)]}
    experiment = {"title": "A comparison", "description": "Of two tools", key: hypothesis,
                  "method": method, "rollbacks": list(rollbacks), **more}
    (directory / "experiment.json").write_text(json.dumps(experiment, indent=2))


def missing_process(side, directory):
    """A process that does not exist is killed"""
    write(directory, [shell("action", "kill it", f"kill -9 {NO_PROCESS}")])
    ended = side.call(directory, *side.run_words())
    return f"exit {ended.returncode}; {side.verdict(directory)}"


def misspelt_key(side, directory):
    """`stedy-state-hypothesis` in the file"""
    write(directory, [shell("action", "touch it", "touch touched")], "false",
          key="stedy-state-hypothesis")
    check = side.call(directory, *side.check_words())
    run = side.call(directory, *side.run_words())
    touched = "and did it" if (directory / "touched").exists() else "and touched nothing"
    return f"check: exit {check.returncode}; run: exit {run.returncode}, {touched}"


def state(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return text.rsplit(") ", 1)[1][0]


def wait_for(condition, seconds):
    since = time.monotonic()
    while time.monotonic() - since < seconds:
        if condition():
            return time.monotonic() - since
        time.sleep(0.005)
    return None


def interrupted(side, directory, number):
    """The tool gets a signal while a process stands still; what becomes of both."""
    target = subprocess.Popen(["sleep", "1000"])
    running = None
    try:
        write(directory,
              [shell("action", "stop it", f"kill -STOP {target.pid}"),
               shell("action", "wait", "sleep 30")],
              rollbacks=[shell("action", "let it go on", f"kill -CONT {target.pid}")])
        running = side.start(directory, *side.run_words())
        if wait_for(lambda: state(target.pid) == "T", RUN_SECONDS_MAX) is None:
            return "the process was never stopped"
        # Both are by now in the activity that waits.
        time.sleep(1)
        os.kill(running.pid, number)
        after = wait_for(lambda: state(target.pid) != "T", FROZEN_SECONDS)
        try:
            running.wait(timeout=RUN_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            return "the tool did not end"
        if after is None:
            after = "later" if state(target.pid) != "T" else None
        went_on = "**frozen**" if after is None else (
            "goes on only later" if after == "later" else f"goes on after {after * 1000:.0f} ms")
        return f"{went_on}; {side.log(directory)}"
    finally:
        if running is not None and running.poll() is None:
            running.kill()
            running.wait()
        target.kill()
        target.wait()


def on_sigint(side, directory):
    """SIGINT to the tool while a process is stopped"""
    return interrupted(side, directory, signal.SIGINT)


def on_sigterm(side, directory):
    """SIGTERM to the tool while a process is stopped"""
    return interrupted(side, directory, signal.SIGTERM)


def on_sigkill(side, directory):
    """SIGKILL to the tool while a process is stopped"""
    return interrupted(side, directory, signal.SIGKILL)


def fail_fast(side, directory):
    """Fail-fast: from the deviation seen to the rollback begun, while an activity takes 6 s"""
    moment = "date +%s%N"
    write(directory,
          [shell("action", "break it", "touch broken"),
           shell("action", "go on", f"sleep {ACTIVITY_SECONDS}")],
          probe=f"test ! -e broken || {{ {moment} >> seen; exit 1; }}",
          rollbacks=[shell("action", "undo", f"{moment} > undone; rm broken")],
          runtime={"hypothesis": {"strategy": "continuously"}})
    ended = side.call(directory, *side.run_words(fail_fast=True))
    seen, undone = directory / "seen", directory / "undone"
    if not seen.exists() or not undone.exists():
        return f"exit {ended.returncode}; no rollback" if seen.exists() else (
            f"exit {ended.returncode}; not seen: {last_line(ended.stdout)}")
    took = int(undone.read_text()) - int(seen.read_text().splitlines()[0])
    return f"{took / 1e9:.3f} s; exit {ended.returncode}"


def report_of_interrupted(side, directory):
    """The report of a run that was interrupted by SIGINT"""
    write(directory, [shell("action", "mark", "touch begun"), shell("action", "wait", "sleep 30")])
    running = side.start(directory, *side.run_words())
    wait_for(lambda: (directory / "begun").exists(), RUN_SECONDS_MAX)
    time.sleep(1)
    os.kill(running.pid, signal.SIGINT)
    running.wait(timeout=RUN_SECONDS_MAX)
    ended = side.call(directory, *side.report_words(directory))
    return f"exit {ended.returncode}: {last_line(ended.stdout)}"


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "says nothing").replace("|", "/")[:120]


ROWS = [missing_process, misspelt_key, on_sigint, on_sigterm, on_sigkill, fail_fast,
        report_of_interrupted]

if __name__ == "__main__":
    if shutil.which("sh") is None:
        sys.exit("a shell is needed")
    main()
