"""Figures of scaling studies and of the performance model."""
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: E402

from figure_style import DASHES, MARKERS, SERIES, STYLE, TRUTH, plain, plain_log  # noqa: E402
from scaling_runs import PART_NAMES, training_stage  # noqa: E402

plt.rcParams.update(STYLE)
PART_COLOURS = dict(zip(PART_NAMES, ["#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#7f7f7f", "#d0d0d0"]))


def rank_axis(axes, ranks):
    """Logarithmic, with the numbers of ranks that there are."""
    axes.set_xscale("log", base=2)
    shown = sorted(set(ranks))
    axes.xaxis.set_major_locator(FixedLocator(shown[::max(1, -(-len(shown) // 11))]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: plain(x)))
    axes.set_xlabel("Ranks")


def efficiency_axis(axes):
    axes.axhline(1, color=TRUTH, linewidth=0.8, linestyle=":")
    axes.set_ylim(0, None)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %"))
    axes.set_ylabel("Efficiency")


def save(figure, path):
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)
    print(path)


def draw(results, output):
    draw_times(results, output / "scaling.png")
    for name, result in results.items():
        draw_parts(result, output / f"parts_{name}.png")


def draw_times(results, path):
    """Medians, their spread, and what perfect scaling would be."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), constrained_layout=True)
    every = [p["ranks"] for result in results.values() for p in result["points"]]
    for i, result in enumerate(results.values()):
        points = result["points"]
        ranks, seconds = [p["ranks"] for p in points], [p["seconds"] for p in points]
        style = {"color": SERIES[i % len(SERIES)], "marker": MARKERS[i % len(MARKERS)], "markersize": 5}
        spread = [[p["seconds"] - p["least"] for p in points], [p["most"] - p["seconds"] for p in points]]
        left.errorbar(ranks, seconds, yerr=spread, capsize=3, label=result["title"], **style)
        ideal = [seconds[0] * (ranks[0] / n if result["kind"] == "strong" else 1) for n in ranks]
        left.plot(ranks, ideal, color=style["color"], linewidth=0.9, linestyle=":")
        right.plot(ranks, [p["efficiency"] for p in points], label=result["title"], **style)
    plain_log(left.yaxis)
    left.set_ylabel("Time (s); dotted: perfect")
    efficiency_axis(right)
    for axes in (left, right):
        rank_axis(axes, every)
    right.legend(loc="best")
    save(figure, path)


def draw_parts(result, path):
    """Shares of the parts in the stage that the study compares, else in that of the training."""
    points = result["points"]
    kind, _, stage = result["time"].partition(" ")
    if kind != "stage":
        stage = training_stage(points[0]["stages"])
    figure, axes = plt.subplots(figsize=(6.4, 3.8), constrained_layout=True)
    labels = [str(p["ranks"]) for p in points]
    bottom = [0.0] * len(points)
    for part in PART_NAMES:
        own = [p["stages"].get(stage, {"parts": {}})["parts"] for p in points]
        shares = [parts.get(part, 0) / (sum(parts.values()) or 1) for parts in own]
        if any(share > 0 for share in shares):
            axes.bar(labels, shares, 0.6, bottom, label=part, color=PART_COLOURS[part])
            bottom = [low + share for low, share in zip(bottom, shares)]
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %"))
    axes.set_xlabel("Ranks")
    axes.set_ylabel("Share of the time")
    axes.set_title(f"{result['title']}: stage {stage}")
    handles, names = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], names[::-1], loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, path)


def draw_model(outcome, output):
    """Of each extrapolated problem: seconds of a step and of its parts; the efficiency of all."""
    problems = outcome["problems"]
    figure, panels = plt.subplots(1, len(problems) + 1, figsize=(4.4 * (len(problems) + 1), 3.8), constrained_layout=True)
    curves = [("total", "total", TRUTH), ("compute", "compute", SERIES[0]), ("halo", "halo", SERIES[1]),
              ("reductions", "reductions", SERIES[4])]
    for i, (problem, axes) in enumerate(zip(problems, panels)):
        rows = problem["rows"]
        ranks = [row["ranks"] for row in rows]
        for j, (key, label, colour) in enumerate(curves):
            known = [(n, row[key]) for n, row in zip(ranks, rows) if row[key] > 0]
            if known:
                axes.plot(*zip(*known), color=colour, linestyle=DASHES[j % len(DASHES)], label=label)
        plain_log(axes.yaxis)
        axes.set_title(problem["title"])
        axes.set_ylabel("Model: time of a step (s)")
        panels[-1].plot(ranks, [row["efficiency"] for row in rows], color=SERIES[i % len(SERIES)],
                        marker=MARKERS[i % len(MARKERS)], markersize=4, label=problem["title"])
        rank_axis(axes, ranks)
    panels[0].legend(loc="best")
    efficiency_axis(panels[-1])
    rank_axis(panels[-1], [row["ranks"] for problem in problems for row in problem["rows"]])
    panels[-1].set_title("Model, not measured")
    panels[-1].legend(loc="best")
    save(figure, output / "model.png")
