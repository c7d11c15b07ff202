"""Compares the epochs of two run reports: losses, errors and counts, to 1e-10 relative or bit for bit; with --metrics
those metrics too. With --tolerance numbers of Krylov iterations may differ, as where other ranks sum in another order; with
--any-work those of evaluations too, as where each iteration of an implicit solve evaluates a network."""

import argparse
import json
import math
import sys

CONTRACT = ["status", "app", "versions", "options", "ranks", "threads", "blas", "seed", "method", "epochs", "metrics",
            "peak_rss_mb", "checkpoint_bytes", "seconds_total"]
EXACT = ["epoch", "nfe_forward", "nfe_adjoint"]
ITERATIONS = ["ksp_its_forward", "ksp_its_adjoint"]
CLOSE = ["loss", "validation"]


def load(path):
    with open(path) as file:
        report = json.load(file)
    missing = [key for key in CONTRACT if key not in report]
    if missing:
        sys.exit(f"{path}: keys of the report are missing: {', '.join(missing)}")
    if report["status"] != "ok":
        sys.exit(f"{path}: status is {report['status']!r}")
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("--bitwise", action="store_true")
    parser.add_argument("--tolerance", type=float)
    parser.add_argument("--any-work", action="store_true")
    parser.add_argument("--metrics", nargs="+", default=[], metavar="NAME")
    arguments = parser.parse_args()
    tolerance = 0.0 if arguments.bitwise else arguments.tolerance or 1e-10
    exact = EXACT + (ITERATIONS if arguments.tolerance is None else [])
    if arguments.any_work:
        exact = ["epoch"]
    reports = load(arguments.a), load(arguments.b)
    a, b = (report["epochs"] for report in reports)
    if len(a) != len(b) or not a:
        sys.exit(f"{len(a)} epochs against {len(b)}")
    for x, y in zip(a, b):
        for key in exact:
            if x[key] != y[key]:
                sys.exit(f"epoch {x['epoch']}: {key} is {x[key]} and {y[key]}")
        for key in CLOSE:
            # A validation that was not asked for is the word nan in both.
            if x[key] != y[key] and not abs(float(x[key]) - float(y[key])) <= tolerance * abs(float(y[key])):
                sys.exit(f"epoch {x['epoch']}: {key} is {x[key]!r} and {y[key]!r}")
    for key in arguments.metrics:
        x, y = (report["metrics"].get(key, math.nan) for report in reports)
        if not abs(x - y) <= tolerance * abs(y):
            sys.exit(f"metric {key} is {x!r} and {y!r}")
    print(f"{len(a)} epochs agree")


if __name__ == "__main__":
    main()
