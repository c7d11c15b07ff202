"""Runs a command with `-report FILE` and compares network evaluations per epoch: FILE FORWARD ADJOINT -- COMMAND..."""

import json
import subprocess
import sys


def main():
    path, forward, adjoint, dashes, *command = sys.argv[1:]
    if dashes != "--":
        sys.exit(__doc__)
    subprocess.run([*command, "-report", path], check=True)
    with open(path) as file:
        report = json.load(file)
    if report["status"] != "ok" or not report["epochs"]:
        sys.exit(f"{path}: status is {report['status']!r}, {len(report['epochs'])} epochs")
    for row in report["epochs"]:
        counts = row["nfe_forward"], row["nfe_adjoint"]
        if counts != (int(forward), int(adjoint)):
            sys.exit(f"epoch {row['epoch']}: {counts[0]} + {counts[1]} evaluations instead of {forward} + {adjoint}")


main()
