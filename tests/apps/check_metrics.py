"""Checks the metrics of a run report: those named are there and finite numbers, those behind --without are not there,
and those behind --equal have the value given."""

import argparse
import json
import math
import sys


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--without", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--equal", nargs="+", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    with open(arguments.report) as file:
        metrics = json.load(file)["metrics"]
    wanted = dict(pair.split("=") for pair in arguments.equal)
    for name in [*arguments.names, *wanted]:
        value = metrics.get(name)
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            sys.exit(f"{arguments.report}: metric {name} is {value!r}")
        if name in wanted and not math.isclose(value, float(wanted[name]), rel_tol=1e-12):
            sys.exit(f"{arguments.report}: metric {name} is {value!r}, not {wanted[name]}")
    present = [name for name in arguments.without if name in metrics]
    if present:
        sys.exit(f"{arguments.report}: metrics that should not be there: {', '.join(present)}")


if __name__ == "__main__":
    main()
