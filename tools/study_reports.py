"""What the reports of a study's runs say: figures of one run, and their means over runs that differ by a seed only."""
import json
import math
import statistics


def read_report(folder):
    try:
        return json.loads((folder / "report.json").read_text())
    except (OSError, ValueError):
        return None


# --- one run --------------------------------------------------------------------------------------------------------


def last(report, key):
    values = [row.get(key) for row in report["epochs"] if isinstance(row.get(key), (int, float))]
    return values[-1] if values else math.nan


def median(report, key):
    values = [row.get(key) for row in report["epochs"] if isinstance(row.get(key), (int, float))]
    return statistics.median(values) if values else math.nan


def checkpoint_mb(report):
    """Of experiments that report the memory of their training."""
    return report["checkpoint_bytes"] / 2**20 if "peak_rss_growth_mb" in report["metrics"] else None


def training_seconds(report):
    return sum(row["seconds"] for row in report["epochs"])


def figure_value(report, key):
    """What a panel shows: seconds of an epoch or of the training, MB of checkpoints, or a metric."""
    if key == "seconds":
        return median(report, "seconds")
    if key == "training_seconds":
        return training_seconds(report)
    value = checkpoint_mb(report) if key == "checkpoint_mb" else report["metrics"].get(key)
    return value if isinstance(value, (int, float)) else math.nan


def curve(report, key):
    """The rows that have the key, by epoch: seconds and inner iterations (sum of the levels) up to it, its value."""
    points, seconds, iterations = {}, 0.0, 0.0
    for row in report["epochs"]:
        seconds += row["seconds"]
        iterations += row.get("level", 0)
        if isinstance(row.get(key), (int, float)) and math.isfinite(row[key]):
            points[row["epoch"]] = {"epoch": row["epoch"], "seconds": seconds, "iterations": iterations,
                                    "value": row[key]}
    return points


# --- runs that differ by a seed -------------------------------------------------------------------------------------


def grouped(known, failed_too=False):
    """Reports of the runs that ended well, by series and value; a group whose runs all failed has none."""
    groups = {}
    for run, report in known:
        reports = groups.setdefault((run.series, run.value), [])
        if failed_too or report["status"] == "ok":
            reports.append(report)
    return groups


def values_of(reports, key):
    return [value for report in reports if math.isfinite(value := figure_value(report, key))]


def mean_of(reports, key):
    values = values_of(reports, key)
    return statistics.mean(values) if values else math.nan


def saved_percent(reports, baseline, key):
    """What the runs save of the mean of the baseline's."""
    return 100 * (1 - mean_of(reports, key) / mean_of(baseline, key)) if mean_of(baseline, key) > 0 else math.nan


def band(values):
    """Mean, and the ends of a band of one standard deviation around it. Of positive values it ends at the smallest one
    where it would reach zero, which a logarithmic axis cannot show."""
    mean = statistics.mean(values)
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    low = mean - spread
    return mean, low if low > 0 or min(values) <= 0 else min(values), mean + spread


def mean_curve(reports, key, over):
    """Of the epochs that all the reports have: abscissa (`over`: epoch, seconds or iterations), mean, low, high."""
    curves = [curve(report, key) for report in reports]
    epochs = [epoch for epoch in curves[0] if all(epoch in points for points in curves)] if curves else []
    return [(statistics.mean(points[epoch][over] for points in curves),
             *band([points[epoch]["value"] for points in curves])) for epoch in epochs]
