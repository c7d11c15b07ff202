"""Compares what an emulator reports with its own prediction.h5 and with the levels of its epochs.

    check_emulator.py FOLDER REPORT [--norm first|reference] [--steps T] [--savings LEAST MOST] [--error MOST]

FOLDER holds the prediction.h5 of the only held-out trajectory (-data_held_out 1).
"""
import argparse
import json
import sys

import h5py


def relative_difference(a, b):
    return abs(a - b) / max(abs(a), abs(b), 1e-300)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("report")
    parser.add_argument("--norm", default="first", choices=("first", "reference"))
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--savings", type=float, nargs=2)
    parser.add_argument("--error", type=float)
    arguments = parser.parse_args()
    with open(arguments.report, encoding="utf-8") as file:
        report = json.load(file)
    metrics = report["metrics"]
    problems = []

    # |f^t(u_0) - u_t|^2 / |norm|^2
    with h5py.File(arguments.folder + "/prediction.h5", "r") as file:
        truth, prediction = file["state_truth"][()], file["state_prediction"][()]
    t = arguments.steps
    norm = truth[1 if arguments.norm == "first" else t]
    error = float(((prediction[t] - truth[t]) ** 2).sum() / (norm**2).sum())
    if relative_difference(error, metrics["validation_error"]) > 1e-9:
        problems.append(f"validation_error {metrics['validation_error']}, by prediction.h5 {error}")

    # 1 - sum_e K_e / (K_eps E)
    levels = [row["level"] for row in report["epochs"]]
    saved = 100 * (1 - sum(levels) / (metrics["k_eps"] * len(levels)))
    if relative_difference(saved, metrics["savings_percent"]) > 1e-9:
        problems.append(f"savings_percent {metrics['savings_percent']}, by the epochs' levels {saved}")
    if max(levels) != metrics["k_max"]:
        problems.append(f"k_max {metrics['k_max']}, by the epochs' levels {max(levels)}")

    if arguments.savings and not arguments.savings[0] <= saved <= arguments.savings[1]:
        problems.append(f"savings_percent {saved}, expected between {arguments.savings[0]} and {arguments.savings[1]}")
    if arguments.error is not None and not error < arguments.error:
        problems.append(f"validation_error {error}, expected below {arguments.error}")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
