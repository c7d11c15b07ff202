"""Checks the metrics of a run report: those named are there and finite numbers, those behind --without are not there,
those behind --equal have the value given; with --like they are those of another report, to 1e-3 relative."""

import argparse
import json
import math
import sys


def metrics_of(path):
    with open(path) as file:
        return json.load(file)["metrics"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--without", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--equal", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--like", metavar="REPORT")
    arguments = parser.parse_intermixed_args()
    metrics = metrics_of(arguments.report)
    others = metrics_of(arguments.like) if arguments.like else metrics
    wanted = dict(pair.split("=") for pair in arguments.equal)
    for name in [*arguments.names, *wanted]:
        value = metrics.get(name)
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            sys.exit(f"{arguments.report}: metric {name} is {value!r}")
        if name in wanted and not math.isclose(value, float(wanted[name]), rel_tol=1e-12):
            sys.exit(f"{arguments.report}: metric {name} is {value!r}, not {wanted[name]}")
        if not math.isclose(value, others[name], rel_tol=1e-3):
            sys.exit(f"metric {name} is {value!r} in {arguments.report} and {others[name]!r} in {arguments.like}")
    present = [name for name in arguments.without if name in metrics]
    if present:
        sys.exit(f"{arguments.report}: metrics that should not be there: {', '.join(present)}")


if __name__ == "__main__":
    main()
