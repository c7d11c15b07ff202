"""Figures of a study, from the reports of its runs; tools/study says which."""
import dataclasses
import math
import re
import statistics

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402
from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: E402

from figure_style import DASHES, MARKERS, SERIES, STYLE, TRUTH, plain, plain_log  # noqa: E402
from study_reports import (  # noqa: E402
    band, grouped, mean_curve, mean_of, saved_percent, values_of)

DPI = 100
COLUMNS = 3
SAVED = "#e6eef5"  # what is not computed
ABSCISSAE = {"epoch": "Epoch", "seconds": "Training time (s)", "iterations": "Inner iterations up to the epoch"}

plt.rcParams.update({**STYLE, "savefig.dpi": DPI})


# --- parts ----------------------------------------------------------------------------------------------------------


def panels(count, width=4.2, height=4, **shared):
    columns = min(count, COLUMNS)
    rows = math.ceil(count / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False,
                                constrained_layout=True, **shared)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:count])


def save(figure, title, path, handles=()):
    """Writes it, the legend beside the panels, where it hides no point."""
    if not handles:
        entries = {}
        for axis in figure.axes:
            entries.update(zip(*reversed(axis.get_legend_handles_labels())))
        handles = list(entries.values()) if len(entries) > 1 else []
    if handles:
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 0.95))
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)
    print(path)


def label_of(group, groups):
    """The series, with the value where the series has several."""
    series, value = group
    several = sum(other == series for other, _ in groups) > 1
    return f"{series} {value:g}" if several and value is not None else series


def styles(labels, ordered=False):
    """Colour, dashes and marker of each; of ordered ones the colours go from dark to light."""
    scale = matplotlib.colormaps["viridis"]
    return {label: {"color": scale(0.92 * i / max(1, len(labels) - 1)) if ordered else SERIES[i % len(SERIES)],
                    "linestyle": "-" if ordered else DASHES[i % len(DASHES)], "marker": MARKERS[i % len(MARKERS)]}
            for i, label in enumerate(labels)}


def draw_band(axis, points, style, label):
    """Means against abscissae, between the ends of their bands."""
    x, mean, low, high = zip(*points)
    axis.plot(x, mean, label=label, markersize=4, **style)
    if low != high:
        axis.fill_between(x, low, high, color=style["color"], alpha=0.18, linewidth=0)


def draw_curves(axis, curves, style, lines):
    """`lines`: without markers where points are many."""
    for label, points in curves:
        marker = style[label]["marker"] if len(points) <= 12 or not lines else ""
        draw_band(axis, points, {**style[label], "marker": marker}, label)


def set_scale(axis, scale):
    if scale == "log":
        plain_log(axis)
    else:
        axis.set_major_locator(MaxNLocator(5, integer=scale == "integer"))
        axis.set_major_formatter(FuncFormatter(lambda x, _: plain(x)))
        axis.axes.set(**{f"{axis.axis_name}lim": (0, None)})


# --- the figure of a table ------------------------------------------------------------------------------------------


def value_curves(groups, spec, panel):
    """Of each series: means over the runs of equal value, in the order of the horizontal axis."""
    for series in dict.fromkeys(series for series, _ in groups):
        points = []
        for (other, value), reports in groups.items():
            values = values_of(reports, panel.key)
            if other == series and value is not None and values:
                points.append((mean_of(reports, spec.x_metric) if spec.x_metric else value, *band(values)))
        if points:
            yield series, sorted(points)


def epoch_curves(groups, spec, panel):
    for group, reports in groups.items():
        points = mean_curve(reports, panel.key, spec.over)
        if points:
            yield label_of(group, groups), points


def draw_marks(axis, spec, groups):
    """Vertical lines at the largest value of a metric, its name above."""
    for metric, label in spec.marks.items():
        known = [value for reports in groups.values() for value in values_of(reports, metric)]
        if known:
            axis.axvline(max(known), color=TRUTH, linestyle="--", linewidth=1.2)
            axis.text(max(known), 1.01, label, transform=axis.get_xaxis_transform(), ha="center", va="bottom")


def draw_figure(table, spec, known, path):
    known = [(run, report) for run, report in known if not spec.series or run.series in spec.series]
    draw = value_curves if spec.over == "value" else epoch_curves
    groups = [grouped([pair for pair in known if pair[0].name.startswith(panel.runs)]) for panel in spec.panels]
    curves = [list(draw(shown, spec, panel)) for shown, panel in zip(groups, spec.panels)]
    labels = list(dict.fromkeys(label for panel in curves for label, _ in panel))
    if not labels:
        return
    only_values_differ = spec.over != "value" and len({run.series for run, _ in known}) == 1
    style = styles(labels, ordered=only_values_differ and len(labels) > 1)
    figure, axes = panels(len(spec.panels))
    for axis, panel, lines, shown in zip(axes, spec.panels, curves, groups):
        draw_curves(axis, lines, style, lines=spec.over != "value")
        if panel.predicted:
            for label, points in value_curves(shown, spec, dataclasses.replace(panel, key=panel.predicted)):
                x, mean, *_ = zip(*points)
                axis.plot(x, mean, color=style[label]["color"], linestyle=":", label=f"{label}, predicted")
        set_scale(axis.yaxis, panel.scale)
        set_scale(axis.xaxis, spec.x_scale or ("log" if spec.over == "value" else "integer"))
        axis.set(xlabel=spec.x or ABSCISSAE.get(spec.over, ""), ylabel=panel.label, title=panel.title)
        draw_marks(axis, spec, shown)
    save(figure, table.title, path)


def draw_course(table, key, label, known, path):
    """A quantity of the epochs against epoch and against training time, runs of equal series and value as one."""
    groups = grouped([(run, report) for run, report in known if report["epochs"]], failed_too=True)
    axes_of = {over: [(label_of(group, groups), points) for group, reports in groups.items()
                      if (points := mean_curve(reports, key, over))] for over in ("epoch", "seconds")}
    if not axes_of["epoch"]:
        return
    prefix = re.compile(f"^{re.escape(table.group)}_*")
    style = styles([label for label, _ in axes_of["epoch"]])
    figure, axes = panels(2, sharey=True)
    for axis, (over, curves) in zip(axes, axes_of.items()):
        for name, points in curves:
            draw_band(axis, points, {**style[name], "marker": "." if len(points) <= 12 else ""}, prefix.sub("", name))
        axis.set_xlabel(ABSCISSAE[over])
        if over == "epoch":
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        elif max(x for _, points in curves for x, *_ in points) > 0:
            plain_log(axis.xaxis)
        if key == "loss":
            plain_log(axis.yaxis)
    axes[0].set_ylabel(label)
    save(figure, table.title, path)


# --- trainings against a baseline -----------------------------------------------------------------------------------


def draw_validation(axis, groups, baseline):
    """Figure 6 of Bhatia, Koehler & Thuerey 2025."""
    labels = [label_of(group, groups) for group in groups]
    style = styles(labels)
    curves = zip(labels, (mean_curve(reports, "validation", "epoch") for reports in groups.values()))
    draw_curves(axis, [(label, points) for label, points in curves if points], style, lines=True)
    axis.set(xlabel="Epoch", ylabel="Validation error")
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    plain_log(axis.yaxis)
    return ()


def set_arms(axis, groups, label):
    axis.set_xticks(range(len(groups)), [label_of(group, groups) for group in groups])
    axis.set_xlim(-0.6, len(groups) - 0.4)
    axis.grid(False, axis="x")
    axis.set_ylabel(label)


def draw_iterations(axis, groups, baseline):
    """Figures 7, 8 and 10: what a training took, and what it saved of K_eps iterations in every epoch; the bar of one
    standard deviation stands aside of the texts."""
    parts = (("done", SERIES[0], "", "Inner iterations done"),
             ("savings_pr_percent", SAVED, "//", "saved by progressive refinement (PR)"),
             ("savings_ic_percent", SAVED, "..", "saved by incomplete convergence (IC)"))
    for place, reports in enumerate(groups.values()):
        done = mean_of(reports, "iterations_nominal")
        converged = done / (1 - mean_of(reports, "savings_percent") / 100)
        bottom = 0.0
        for key, colour, hatch, _ in parts:
            share = mean_of(reports, key) / 100 if hatch else done / converged
            height = share * converged
            axis.bar(place, height, 0.7, bottom, color=colour, hatch=hatch, edgecolor=SERIES[0], linewidth=0.8)
            text = f"{key[8:10].upper()} {100 * share:.0f} %" if hatch else f"{done:.0f}"
            if share > 0.06:
                axis.text(place, bottom + height / 2, text, ha="center", va="center",
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})
            bottom += height
        draw_spread(axis, place - 0.29, values_of(reports, "iterations_nominal"))
        axis.set_ylim(0, max(axis.get_ylim()[1], 1.05 * converged))
    set_arms(axis, groups, "Inner iterations of a training")
    return [Patch(facecolor=colour, hatch=hatch, edgecolor=SERIES[0], label=label) for _, colour, hatch, label in parts]


def draw_spread(axis, place, values):
    if len(values) > 1 and min(values) < max(values):
        axis.errorbar(place, statistics.mean(values), statistics.stdev(values), color=TRUTH, capsize=4, linewidth=1.2)


def draw_seconds(axis, groups, baseline):
    """Figure 24: what of the baseline's seconds a training saves."""
    top = max(band(values_of(reports, "training_seconds"))[2] for reports in groups.values())
    for place, (group, reports) in enumerate(groups.items()):
        seconds = values_of(reports, "training_seconds")
        axis.bar(place, statistics.mean(seconds), 0.7, color=SERIES[0])
        draw_spread(axis, place, seconds)
        saved = saved_percent(reports, groups.get((baseline, group[1]), []), "training_seconds")
        text = f"{statistics.mean(seconds):.3g} s"
        if group[0] != baseline and math.isfinite(saved):
            text += f"\n{abs(saved):.0f} % {'saved' if saved >= 0 else 'more'}"
        axis.text(place, band(seconds)[2] + 0.03 * top, text, ha="center", va="bottom")
    axis.set_ylim(0, 1.22 * top)
    set_arms(axis, groups, "Training time (s)")
    return ()


ARMS = {"validation": ("Validation error of trainings", draw_validation),
        "iterations": ("Inner iterations of trainings", draw_iterations),
        "training_seconds": ("Time of trainings", draw_seconds)}


def draw_arms(compared, output):
    """One panel for each table with a baseline, in validation.png, iterations.png and training_seconds.png."""
    shown = [(table, groups) for table, known in compared if table.baseline
             if (groups := {group: reports for group, reports in grouped(known).items() if reports})]
    if not shown:
        return
    for name, (title, draw_panel) in ARMS.items():
        figure, axes = panels(len(shown), width=3.9)
        handles = ()
        for axis, (table, groups) in zip(axes, shown):
            order = sorted(groups, key=lambda group: group[0] != table.baseline)
            handles = draw_panel(axis, {group: groups[group] for group in order}, table.baseline)
            axis.set_title(re.split(r" \(|[:,]", table.title)[0], pad=8)
        save(figure, title, output / f"{name}.png", handles)
