"""Starts a program whose checkpoints go to a folder, waits until there are files in it, ends the program by SIGTERM, and
wants the folder empty."""
import os
import shutil
import signal
import subprocess
import sys
import time

folder, *command = sys.argv[1:]
shutil.rmtree(folder, ignore_errors=True)
os.makedirs(folder)
process = subprocess.Popen(command + ["-checkpoint_dir", folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True)
deadline = time.time() + 60
while not any(files for _, _, files in os.walk(folder)):
    if process.poll() is not None or time.time() > deadline:
        sys.exit(f"it was over before it had written a checkpoint:\n{process.communicate()[0]}")
    time.sleep(0.01)
process.send_signal(signal.SIGTERM)
output = process.communicate(timeout=60)[0]
if process.returncode == 0:
    sys.exit(f"it went on to its end:\n{output}")
deadline = time.time() + 10  # the launcher may end before its ranks do
while os.listdir(folder):
    if time.time() > deadline:
        sys.exit(f"files were left behind: {[files for _, _, files in os.walk(folder)]}\n{output}")
    time.sleep(0.05)
