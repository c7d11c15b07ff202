"""Looks for options files that no test runs: CTEST BUILD_DIR."""

import json
import pathlib
import subprocess
import sys


def main():
    ctest, build = sys.argv[1:]
    listing = subprocess.run([ctest, "--show-only=json-v1"], cwd=build, check=True, stdout=subprocess.PIPE)
    words = {word for test in json.loads(listing.stdout)["tests"] for word in test.get("command", [])}
    files = sorted(str(path) for path in pathlib.Path("petsc_options").glob("*/*.opts"))
    left = [path for path in files if path not in words]
    if not files or left:
        sys.exit(f"options files that no test runs: {', '.join(left) or 'there are none at all'}")
    print(f"{len(files)} options files, each in some test")


main()
