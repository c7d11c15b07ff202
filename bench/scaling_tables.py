"""Tables of scaling studies as Markdown, and the line about the machine that every figure goes with."""
import os
import platform

from scaling_runs import EVENTS, PART_NAMES

LEAST_SHARE = 0.01  # stages below this part of a run are left out of the tables


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
            for line in cpuinfo:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def machine():
    """Of the node that the tool runs on."""
    return {"processor": processor(), "cores": os.cpu_count(), "usable_cores": len(os.sched_getaffinity(0))}


def markdown(headers, rows):
    """Text to the left, numbers to the right."""
    numeric = [all(looks_like_number(row[i]) for row in rows) for i in range(len(headers))]
    widths = [max(len(header), *(len(row[i]) for row in rows)) for i, header in enumerate(headers)]

    def line(cells):
        return "| " + " | ".join(cell.rjust(width) if right else cell.ljust(width)
                                 for cell, width, right in zip(cells, widths, numeric)) + " |"

    ruler = "|" + "|".join("-" * (width + 1) + (":" if right else "-") for width, right in zip(widths, numeric)) + "|"
    return "\n".join([line(headers), ruler, *map(line, rows)])


def looks_like_number(text):
    return text.replace(" %", "").replace("e-", "").replace("e+", "").replace(".", "").lstrip("-").isdigit() or text == "-"


def number(value, form="{:.4g}"):
    return "-" if value is None else form.format(value)


def percent(value):
    return "-" if value is None else f"{100 * value:.1f} %"


def stages_worth_a_row(point):
    whole = sum(entry["seconds"] for entry in point["stages"].values())
    return [stage for stage, entry in point["stages"].items() if entry["seconds"] > LEAST_SHARE * whole]


def times_table(points):
    rows = [[str(p["ranks"]), str(p["threads"]), str(p["runs"]), number(p["seconds"]), number(p["least"]),
             number(p["most"]), number(p["speedup"], "{:.3f}"), percent(p["efficiency"]), number(p["peak_rss_mb"], "{:.0f}")]
            for p in points]
    return markdown(["ranks", "threads", "runs", "median s", "least", "most", "speed-up", "efficiency", "MB a rank"], rows)


def parts_table(points):
    used = [part for part in PART_NAMES
            if any(entry["parts"][part] > 0 for p in points for entry in p["stages"].values())]
    rows = []
    for p in points:
        for stage in stages_worth_a_row(p):
            entry = p["stages"][stage]
            rows.append([stage, str(p["ranks"]), number(entry["seconds"]), *(number(entry["parts"][part]) for part in used)])
    rows.sort(key=lambda row: row[0])
    return markdown(["stage", "ranks", "mean s", *used], rows)


def events_table(points):
    rows = []
    for p in points:
        for stage in stages_worth_a_row(p):
            for name in EVENTS:
                event = p["stages"][stage]["events"].get(name)
                if event is not None:
                    rows.append([stage, name, str(p["ranks"]), str(event["count"]), number(event["seconds"]),
                                 number(event["ratio"], "{:.1f}")])
    rows.sort(key=lambda row: (row[0], EVENTS.index(row[1])))
    return markdown(["stage", "event", "ranks", "calls", "slowest s", "slowest / fastest"], rows) if rows else ""


def write(title, results, machine_of_tool):
    first = next(iter(results.values()))["points"][0]
    text = [f"# {title}", f"{machine_of_tool['processor']}, {machine_of_tool['cores']} cores in the node of the launcher, BLAS "
                          f"kernel {first['blas']}."]
    for name, result in results.items():
        points = result["points"]
        growing = "".join(f"; on {ranks}: `{options}`" for ranks, options in result["options_of_ranks"].items())
        text += [f"## {result['title']} ({result['kind']})",
                 f"`{result['program']} {result['options']}`{growing}. Time: {result['time']}, medians of the runs.",
                 times_table(points),
                 "Parts: seconds of each call stack's own time, of its slowest rank; together they may exceed the stage's mean.",
                 parts_table(points)]
        events = events_table(points)
        if events:
            text += ["Events: time with what they call.", events]
        largest = max(p["ranks"] * p["threads"] for p in points)
        if largest > machine_of_tool["cores"]:
            text += [f"Note for {name}: up to {largest} threads in all, and the launcher's node has "
                     f"{machine_of_tool['cores']} cores: on one node, times beyond that many say nothing about scaling."]
    return "\n\n".join(text) + "\n"
