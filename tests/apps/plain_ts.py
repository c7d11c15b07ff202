"""Runs a PETSc program that does not know Espalier, with the library loaded by -dll_append, under several budgets: what
it prints must be what it prints alone, and its folder for checkpoints must be empty afterwards."""
import os
import shutil
import subprocess
import sys

folder, library, *command = sys.argv[1:]
shutil.rmtree(folder, ignore_errors=True)
os.makedirs(folder)


def printed(options):
    run = subprocess.run(command + options.split(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode != 0:
        sys.exit(f"{options}: exit status {run.returncode}\n{run.stdout}")
    lines = [line for line in run.stdout.splitlines() if line.startswith("gradient")]
    if len(lines) != 1:
        sys.exit(f"{options}: one line with the gradient was expected\n{run.stdout}")
    return lines[0], run.stdout


expected, _ = printed("-ts_trajectory_type memory -ts_trajectory_solution_only 0")
load = f"-dll_append {library} -ts_trajectory_type espalier -checkpoint_dir {folder} "
for budget, words in {
    "": "gradient",
    "-checkpoint_units 3": "gradient",
    "-checkpoint_ram 100kB": "steps repeated",
    "-checkpoint_ram 20kB -checkpoint_disk 200kB": "on disk",
    "-checkpoint_ram 20kB -checkpoint_schedule online": "number of steps unknown",
}.items():
    line, output = printed(load + budget)
    if line != expected:
        sys.exit(f"{budget}: {line} instead of {expected}")
    if words not in output:
        sys.exit(f"{budget}: '{words}' was not printed:\n{output}")
if os.listdir(folder):
    sys.exit(f"files were left behind: {os.listdir(folder)}")
