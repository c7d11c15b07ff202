"""Ends programs with states on disk in many ways, at moments drawn by chance, and looks for what remains.

usage: disk_store_ends.py PROGRAM FOLDER [LAUNCHER...]     LAUNCHER: mpirun with its options, for two ranks
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

PATIENCE = 60


class Run:
    def __init__(self, program, folder, launcher, end):
        command = [*launcher, program, "-folder", folder, "-end", end]
        self.ranks = 2 if launcher else 1
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.pids = {}
        self.lines = []
        self.ready = threading.Event()
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("ready "):
                _, rank, pid = line.split()
                self.pids[int(rank)] = int(pid)
                if len(self.pids) == self.ranks:
                    self.ready.set()

    def wait_until_ready(self):
        if not self.ready.wait(PATIENCE):
            self.process.kill()
            raise SystemExit("the program did not get ready:\n" + "".join(self.lines))
        time.sleep(random.uniform(0, 0.02))

    def status(self):
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit("the program hangs:\n" + "".join(self.lines)) from None
        self.reader.join(PATIENCE)
        return status


def gone(path):
    # With several ranks the launcher may end before the last of them.
    for _ in range(100):
        if not os.path.exists(path):
            return True
        time.sleep(0.05)
    return False


def check(name, right, run):
    if not right:
        raise SystemExit(f"{name}: status {run.process.returncode}, output:\n" + "".join(run.lines))


def case(name, options, end, signals=(), to_rank=None, expected=None):
    """The folder is removed if the program has made it, and stays, empty, if it was there."""
    program, base, launcher = options
    # To start and to end programs with a launcher takes seconds.
    for existing in (False,) if launcher else (True, False):
        top = os.path.join(base, "made" if existing else "missing")
        shutil.rmtree(base, ignore_errors=True)
        os.makedirs(top if existing else base)
        run = Run(program, top if existing else os.path.join(top, "deeper/"), launcher, end)
        if signals:
            run.wait_until_ready()
            # What is not there cannot remain.
            check(f"{name}: nothing is held", os.listdir(top), run)
            target = run.process.pid if to_rank is None else run.pids[to_rank]
            for one in signals:
                os.kill(target, one)
                time.sleep(0.1)
        status = run.status()
        if existing:
            check(f"{name}: the user's folder is gone", os.path.isdir(top), run)
            for _ in range(100):
                if not os.listdir(top):
                    break
                time.sleep(0.05)
            check(f"{name}: files remain: {[f for _, _, f in os.walk(top)]}", not os.listdir(top), run)
        else:
            check(f"{name}: the folder remains", gone(top), run)
        right = status != 0 if expected is None else status == expected
        check(f"{name}: expected status {expected}", right, run)
    print(f"{name}: nothing remains, status {status}", flush=True)


def one_rank(options):
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGXCPU):
        # PETSc's handler, where there is one, ends the program in its own way.
        own = one in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU)
        case(one.name, options, "killed", [one], expected=-one if own else None)
    case("SIGHUP", options, "killed", [signal.SIGHUP])
    case("a guard stops the program", options, "guard", [signal.SIGTERM], expected=0)
    case("the second signal under a guard", options, "guard_twice", [signal.SIGTERM] * 2, expected=-signal.SIGTERM)
    case("a guard that is gone", options, "guard_gone", [signal.SIGTERM], expected=-signal.SIGTERM)
    case("return", options, "return", expected=0)
    case("exit", options, "exit", expected=3)
    case("exception", options, "throw", expected=1)
    case("abort", options, "abort")
    case("crash", options, "crash")


def two_ranks(options):
    case("SIGTERM to the launcher", options, "killed", [signal.SIGTERM])
    case("SIGINT to the launcher", options, "killed", [signal.SIGINT])
    for rank in range(2):
        case(f"SIGTERM to rank {rank}", options, "killed", [signal.SIGTERM], to_rank=rank)
    case("return", options, "return", expected=0)
    for end in ("exit", "abort", "crash"):
        case(f"{end} of one rank", options, end)
    case("exception on one rank", options, "throw", expected=1)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    arguments = (sys.argv[1], sys.argv[2], sys.argv[3:])
    (two_ranks if arguments[2] else one_rank)(arguments)
    shutil.rmtree(arguments[1], ignore_errors=True)
