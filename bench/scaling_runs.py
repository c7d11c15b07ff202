"""What a run of a scaling study leaves: its report, PETSc's log, and the log's call stacks; read into one dictionary.

The log is the text of -log_view, not its ascii_csv: both tell the slowest rank's times, but the table's size does not grow
with the ranks (of 1,024 the other has a million lines). Times in it contain those of what is called inside; so the parts of
a run come from the call stacks (ascii_flamegraph), whose times are each call's own.
"""
import json
import re
import statistics

# The innermost of these names in a call stack says which part its time belongs to: a halo inside a solve is a halo.
PARTS = {
    "network forward": ["EspNetForward", "EspNetTangent"],
    "network backward": ["EspNetAdjoint"],
    "halo": ["EspHalo", "DMGlobalToLocal", "DMLocalToGlobal", "VecScatterBegin", "VecScatterEnd", "SFBcastBegin",
             "SFBcastEnd", "SFReduceBegin", "SFReduceEnd"],
    "reductions": ["EspReduction", "VecDot", "VecMDot", "VecTDot", "VecMTDot", "VecNorm", "VecDotNorm2", "VecReduceArith",
                   "VecReduceComm"],
    "solves": ["EspLinSolve", "KSPSolve", "KSPSolveTranspos"],  # PETSc cuts names at 16 characters
    "data and I/O": ["EspData", "EspIO", "VecView", "VecLoad"],
    "optimiser": ["EspOptimiser"],
}
REST = "rest"
PART_NAMES = [*PARTS, REST]
PART_OF = {event: part for part, events in PARTS.items() for event in events}
# What the table of events shows, by the slowest rank's time in it, calls inside included.
EVENTS = ["EspNetForward", "EspNetAdjoint", "EspNetTangent", "EspHalo", "EspReduction", "EspLinSolve", "KSPSolve",
          "KSPSolveTranspos", "TSStep", "TSAdjointStep", "EspData", "EspIO", "EspOptimiser"]

STAGE_LINE = re.compile(r"--- Event Stage (\d+): (.*)")
SUMMARY_LINE = re.compile(r" *\d+: +(.*): +(\d\.\d+e[+-]\d+) +[\d.]+% ")
# Name, count and its ratio, the slowest rank's seconds and the ratio to the fastest's; a ratio may be n/a.
EVENT_LINE = re.compile(r"(\S.*?) +(\d+|\d\.\d+e[+-]\d+) +([\d.]+|n/a) +(\d\.\d+e[+-]\d+) +([\d.]+|n/a) ")


class LogError(Exception):
    """A log that is not what it should be."""


def ratio(text):
    return None if text == "n/a" else float(text)


def read_log(text):
    """Stages by name: mean seconds over the ranks, and events: count, seconds and ratio of slowest to fastest rank."""
    stages, current, summary = {}, None, False
    for line in text.splitlines():
        if line.startswith("Summary of Stages"):
            summary = True
        elif summary and (match := SUMMARY_LINE.match(line)):
            stages[match[1].strip()] = {"seconds": float(match[2]), "events": {}}
        elif match := STAGE_LINE.match(line):
            summary, current = False, stages.setdefault(match[2].strip(), {"seconds": 0.0, "events": {}})
        elif line.startswith("Object Type"):
            break
        elif current is not None and (match := EVENT_LINE.match(line)):
            current["events"][match[1]] = {"count": int(float(match[2])), "seconds": float(match[4]),
                                           "ratio": ratio(match[5])}
    if not stages:
        raise LogError("has no summary of stages: is the program one of PETSc's, built with logging?")
    return stages


def read_stacks(text, stages):
    """Of each stage: seconds of each part, of the slowest rank of each call stack."""
    if not text.strip():
        raise LogError("has no call stacks: PETSc has written none")
    parts = {stage: dict.fromkeys(PART_NAMES, 0.0) for stage in stages}
    for line in text.splitlines():
        stack, _, microseconds = line.rpartition(" ")
        names = stack.split(";")
        stage = next((name for name in reversed(names) if name in parts), None)
        if stage is None or not microseconds.isdigit():
            raise LogError(f"holds the line {line!r}, which is not a call stack of the log's stages")
        part = next((PART_OF[name] for name in reversed(names) if name in PART_OF), REST)
        parts[stage][part] += 1e-6 * int(microseconds)
    return parts


def time_of(report, stages, spec):
    """The seconds that a study compares: `total`, `epochs`, `stage NAME` or `metric NAME`."""
    kind, _, name = spec.partition(" ")
    if kind == "total":
        return report["seconds_total"]
    if kind == "epochs":
        seconds = [row["seconds"] for row in report["epochs"]]
        if not seconds:
            raise LogError("has no epochs, whose time the study asks for")
        return statistics.median(seconds)
    known = {stage: entry["seconds"] for stage, entry in stages.items()} if kind == "stage" else report["metrics"]
    value = known.get(name)
    if not isinstance(value, (int, float)) or not value > 0:
        raise LogError(f"has no {spec} above 0, which the study takes the time from; there are: "
                       f"{', '.join(sorted(known)) or 'none'}")
    return value


def read_run(folder, time):
    """Figures of one run. Throws LogError."""
    report = json.loads((folder / "report.json").read_text())
    try:
        stages = read_log((folder / "log.txt").read_text())
        parts = read_stacks((folder / "stacks.txt").read_text(), stages)
        seconds = time_of(report, stages, time)
    except (LogError, OSError) as error:
        raise LogError(f"the run in {folder} {error}") from error
    for stage, entry in stages.items():
        entry["parts"] = parts[stage]
    return {"seconds": seconds, "stages": stages, "ranks": report["ranks"], "threads": report["threads"],
            "blas": report["blas"].get("kernel") or report["blas"]["library"], "options": report["options"],
            "peak_rss_mb": report["peak_rss_mb"]}


# --- repetitions ----------------------------------------------------------------------------------------------------


def training_stage(stages):
    """The one with most of the network's backward evaluations; without any, the one that most of the time goes to."""
    def weight(stage):
        return stages[stage]["events"].get("EspNetAdjoint", {}).get("seconds", 0.0), stages[stage]["seconds"]

    return max(stages, key=weight)


def summary(runs):
    """Medians over repetitions of one run, and the ends of their times."""
    seconds = [run["seconds"] for run in runs]
    stages = {}
    for stage in runs[0]["stages"]:
        entries = [run["stages"][stage] for run in runs if stage in run["stages"]]
        events = {}
        for name in entries[0]["events"]:
            known = [entry["events"][name] for entry in entries if name in entry["events"]]
            ratios = [event["ratio"] for event in known if event["ratio"] is not None]
            events[name] = {"count": known[0]["count"], "seconds": statistics.median(e["seconds"] for e in known),
                            "ratio": statistics.median(ratios) if ratios else None}
        stages[stage] = {"seconds": statistics.median(entry["seconds"] for entry in entries), "events": events,
                         "parts": {part: statistics.median(entry["parts"][part] for entry in entries)
                                   for part in PART_NAMES}}
    return {**{key: runs[0][key] for key in ("ranks", "threads", "blas", "options")},
            "seconds": statistics.median(seconds), "least": min(seconds), "most": max(seconds), "runs": len(runs),
            "peak_rss_mb": max(run["peak_rss_mb"] for run in runs), "stages": stages}


def with_efficiency(kind, points):
    """Speed-up and efficiency against the fewest ranks that were measured, N0.

    Strong: speed-up T0 / TN, efficiency N0 T0 / (N TN). Weak: efficiency T0 / TN, speed-up (as work done in the same
    time) N T0 / (N0 TN)."""
    points = sorted(points, key=lambda point: point["ranks"])
    first = points[0]
    for point in points:
        gain, growth = first["seconds"] / point["seconds"], point["ranks"] / first["ranks"]
        point["speedup"] = gain if kind == "strong" else gain * growth
        point["efficiency"] = gain / growth if kind == "strong" else gain
    return points
