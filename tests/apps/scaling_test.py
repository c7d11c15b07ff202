"""bench/scaling with a made-up program whose times are known: figures of tables, resuming, and what it says when something is
wrong. SCALING FOLDER, where FOLDER is emptied."""
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import pathlib
import shutil
import sys

# Seconds of a step on n ranks: 8 / n + 1 of a strong study, 8 + n of a weak one; a log as PETSc writes it.
PROGRAM = '''#!/usr/bin/env -S python3 -SE
import json, os, sys
ranks = int(os.environ["MADE_UP_RANKS"])
arguments = sys.argv[1:]
def value(name):
    return arguments[arguments.index(name) + 1]
def report(status, metrics):
    keys = {"status": status, "app": "made_up", "ranks": ranks, "threads": 1, "blas": {"kernel": "Made", "library": ""},
            "epochs": [], "metrics": metrics, "options": {}, "peak_rss_mb": 10.0, "seconds_total": 100.0}
    with open(value("-report"), "w") as file:
        json.dump(keys, file)
if "-crash" in arguments:
    sys.exit("a wall was hit")
if "-fail_on" in arguments and int(value("-fail_on")) == ranks:
    report("the grid has too few cells: raise -cells", {})
    sys.exit(1)
seconds = 8 + ranks if "-weak" in arguments else 8 / ranks + 1
report("ok", {"seconds_step": seconds})
stacks, log = (part.split(":")[1] for part in value("-log_view").split(","))
with open(log, "w") as file:
    file.write(f"""Summary of Stages:   ----- Time ------
                        Avg     %Total
 0:      Main Stage: 1.0000e+00  10.0%  4.8e+05   1.3%
 1:   With: a colon: {seconds:.4e}  90.0%  4.8e+05   1.3%

--- Event Stage 0: Main Stage

--- Event Stage 1: With: a colon

EspNetForward         40 1.0 {4 / ranks:.4e} 1.5 1.47e+03 1.0 0.0e+00 0.0e+00 0.0e+00  0  0  0  0  0   0  0  0  0  0     0
Mesh Partition         2 n/a 1.0000e-04 n/a 1.47e+03 1.0 0.0e+00 0.0e+00 0.0e+00  0  0  0  0  0   0  0  0  0  0     0
------------------------------------------------
Object Type          Creations
""")
with open(stacks, "w") as file:
    file.write(f"""Main Stage 1000000
Main Stage;With: a colon {int(5e5)}
Main Stage;With: a colon;EspNetForward {int(3e6 / ranks)}
Main Stage;With: a colon;EspNetForward;EspHalo {int(1e6)}
Main Stage;With: a colon;EspLinSolve;KSPSolve {int(2e6 / ranks)}
Main Stage;With: a colon;EspLinSolve;KSPSolve;VecNorm {int(5e5)}
Main Stage;With: a colon;EspLinSolve;KSPSolve;MatMult;SFBcastEnd;SFUnpack {int(5e5)}
Main Stage;With: a colon;EspLinSolve;KSPSolve;PCApply {int(1e6 / ranks)}
""")
'''
STUDY = {"title": "Made up", "program": "made_up", "ranks": [1, 4, 2], "repetitions": 2, "time": "metric seconds_step",
         "studies": [{"name": "strong", "kind": "strong"}, {"name": "weak", "kind": "weak", "options": "-weak {3*ranks}"}]}


class Outcome:
    def __init__(self, returncode, stdout, stderr):
        self.returncode, self.stdout, self.stderr = returncode, stdout, stderr


class Bench:
    """Calls the tool's main function: starting it anew for each case would take longer than its work."""

    def __init__(self, scaling, folder):
        sys.path.insert(0, str(scaling.parent))
        loader = importlib.machinery.SourceFileLoader("scaling", str(scaling))
        self.tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("scaling", loader))
        loader.exec_module(self.tool)
        self.figures = self.tool.figures
        self.tool.figures = lambda: None
        os.environ["OPENBLAS_CORETYPE"] = "Haswell"  # known: the tool need not look for it with another Python
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "made_up").write_text(PROGRAM)
        (folder / "made_up").chmod(0o755)

    def call(self, *words):
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as errors:
            status = self.tool.main(list(words))
        return Outcome(status, out.getvalue(), errors.getvalue())

    def run(self, study, *words, output="out"):
        path = self.folder / "study.json"
        path.write_text(study if isinstance(study, str) else json.dumps(study))
        launcher = [] if "--launcher" in words else ["--launcher", "env MADE_UP_RANKS={ranks}"]
        return self.call(str(path), "--programs", str(self.folder), *launcher, "--output", str(self.folder / output), *words)

    def results(self, output="out"):
        return json.loads((self.folder / output / "scaling.json").read_text())["studies"]


def expect(condition, what):
    if not condition:
        sys.exit(f"not as it should be: {what}")


def close(value, right):
    return abs(value - right) < 1e-9


def check_figures(bench):
    bench.tool.figures = bench.figures  # drawing takes longer than all the rest: only here
    outcome = bench.run(STUDY)
    bench.tool.figures = lambda: None
    expect(outcome.returncode == 0, outcome.stderr)
    lines = [line for line in outcome.stdout.splitlines() if " rank(s), run " in line]
    order = [line.split(":")[0] for line in lines[:6]]
    expect(order == [f"strong, {n} rank(s), run {r} of 2" for r in (1, 2) for n in (1, 4, 2)], "the order of the runs")
    expect(len(lines) == 12, "the number of runs")
    strong, weak = bench.results()["strong"]["points"], bench.results()["weak"]["points"]
    expect([p["ranks"] for p in strong] == [1, 2, 4], "the order of the ranks")
    # 8 / n + 1 seconds: 9, 5, 3.
    expect(all(close(p["speedup"], s) for p, s in zip(strong, (1, 9 / 5, 3))), "speed-up of a strong study")
    expect(all(close(p["efficiency"], e) for p, e in zip(strong, (1, 0.9, 0.75))), "efficiency of a strong study")
    expect(all(close(p["efficiency"], e) for p, e in zip(weak, (1, 9 / 10, 9 / 12))), "efficiency of a weak study")
    expect(all(close(p["speedup"], s) for p, s in zip(weak, (1, 1.8, 3))), "speed-up of a weak study")
    stage = strong[1]["stages"]["With: a colon"]
    right = {"network forward": 1.5, "network backward": 0, "halo": 1.5, "reductions": 0.5, "solves": 1.5, "data and I/O": 0,
             "optimiser": 0, "rest": 0.5}
    expect(stage["parts"] == right, f"the parts: {stage['parts']}")
    expect(stage["events"]["EspNetForward"] == {"count": 40, "seconds": 2.0, "ratio": 1.5}, "the events")
    expect(stage["events"]["Mesh Partition"]["ratio"] is None, "an event without a ratio")
    table = (bench.folder / "out" / "table.md").read_text()
    for part in ("## strong (strong)", " 1.800 |", "90.0 %", "75.0 %", "BLAS kernel Made", "With: a colon", "-weak {3*ranks}"):
        expect(part in table, f"the table has no {part}")
    for name in ("scaling.png", "parts_strong.png", "parts_weak.png"):
        expect((bench.folder / "out" / name).read_bytes()[1:4] == b"PNG", name)
    command = json.loads((bench.folder / "out" / "weak" / "ranks_4" / "run_1" / "done").read_text())
    expect(command[command.index("-weak") + 1] == "12", "numbers that grow with the ranks")


def check_resume(bench):
    outcome = bench.run(STUDY)
    expect(outcome.stdout.count("done before") == 12, "a finished study is not run again")
    report = bench.folder / "out" / "strong" / "ranks_2" / "run_1" / "report.json"
    report.write_text(report.read_text().replace('"ok"', '"did not finish"'))
    outcome = bench.run(STUDY)
    expect(outcome.stdout.count("done before") == 11, "only what did not finish is run again")
    outcome = bench.run({**STUDY, "studies": [{"name": "strong", "kind": "strong", "options": "-more"}]})
    expect("done before" not in outcome.stdout and outcome.returncode == 0, "another command is another run")
    outcome = bench.run(STUDY, "--table", "--only", "weak")
    expect("run 1" not in outcome.stdout and "(weak)" in outcome.stdout and "(strong)" not in outcome.stdout, "--table")
    outcome = bench.run(STUDY, "--ranks", "2,3", "--repetitions", "1", output="others")
    expect(outcome.returncode == 0, outcome.stderr)
    points = bench.results("others")["strong"]["points"]
    expect([p["ranks"] for p in points] == [2, 3], "--ranks")
    # 5 s on two ranks, 8 / 3 + 1 on three: measured against the fewest.
    expect(close(points[1]["efficiency"], 2 * 5 / (3 * (8 / 3 + 1))), "efficiency against the fewest ranks")


def check_failure(bench):
    study = {**STUDY, "studies": [STUDY["studies"][0], {**STUDY["studies"][0], "name": "failing", "options": "-fail_on 4"}]}
    outcome = bench.run(study, output="failed")
    expect(outcome.returncode == 1, "a run that fails ends the study")
    expect("made_up on 4 rank(s) failed: the grid has too few cells: raise -cells" in outcome.stderr, outcome.stderr)
    expect("Traceback" not in outcome.stderr, outcome.stderr)
    results = bench.results("failed")
    expect(len(results["strong"]["points"]) == 3 and [p["ranks"] for p in results["failing"]["points"]] == [1],
           "what had been measured stays")


def check_messages(bench):
    def changed(**keys):
        return {**STUDY, **keys}

    strong = STUDY["studies"][0]
    cases = [
        (changed(program="nothing"), [], "there is no program"),
        (changed(program=""), [], "names no program"),
        ('{"title": ', [], "is not valid JSON"),
        ("[]", [], "must be an object"),
        (changed(speed=1), [], "the file has unknown keys: speed; known ones: launcher, model, options"),
        (changed(studies=[{**strong, "rank": 1}]), [], "a study has unknown keys: rank"),
        (changed(studies=[]), [], "needs a list of studies"),
        (changed(studies=["strong"]), [], "must be an object"),
        (changed(studies=[strong, strong]), [], "different names"),
        (changed(studies=[{**strong, "name": "../up"}]), [], "a name of letters"),
        (changed(studies=[{**strong, "kind": "medium"}]), [], "kind must be strong or weak, not 'medium'"),
        (changed(ranks=[0, 1]), [], "ranks must be a list of different numbers from 1 up, not [0, 1]"),
        (changed(ranks=2), [], "ranks must be a list"),
        (STUDY, ["--ranks", "0"], "ranks must be a list of different numbers from 1 up, not [0]"),
        (changed(repetitions=0), [], "repetitions must be a number from 1 up"),
        (changed(threads=True), [], "threads must be a number from 1 up"),
        (changed(options=["-a"]), [], "must be text"),
        (changed(time="soon"), [], "time must be total, epochs, stage NAME or metric NAME"),
        (changed(time="metric nothing"), ["--ranks", "1"], "has no metric nothing above 0, which the study takes the time "
                                                           "from; there are: seconds_step"),
        (changed(time="stage Nowhere"), ["--ranks", "1"], "there are: Main Stage, With: a colon"),
        (changed(time="epochs"), ["--ranks", "1"], "has no epochs"),
        (changed(studies=[{**strong, "options_of_ranks": {"1": "-a"}}]), [], "says nothing about 4, 2 ranks"),
        (STUDY, ["--only", "middle"], "the studies are strong, weak"),
        (STUDY, ["--launcher", "no_such_launcher -n {ranks}"], "there is no launcher no_such_launcher"),
        (STUDY, ["--launcher", "env"], "does not say where the number of ranks goes"),
        (changed(options="-crash"), [], "made_up on 1 rank(s) failed: a wall was hit"),
        (STUDY, ["--table"], "holds no finished runs yet"),
        (changed(ranks=[1]), ["--model"], "--model needs measurements on two ranks or more"),
    ]
    for i, (study, words, message) in enumerate(cases):
        outcome = bench.run(study, *words, output=f"case_{i}")
        expect(outcome.returncode == 1, f"{message}: exit status {outcome.returncode}, {outcome.stderr}")
        expect(message in outcome.stderr and "Traceback" not in outcome.stderr, f"{message}: {outcome.stderr}")
    outcome = bench.call("no_such_file.json")
    expect(outcome.returncode == 1 and "No such file" in outcome.stderr, outcome.stderr)


def main():
    bench = Bench(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve())
    check_figures(bench)
    check_resume(bench)
    check_failure(bench)
    check_messages(bench)
    print("tables, resuming and messages of made-up runs are right")


main()
