"""Checks velocities on a staggered periodic grid, u and v of a file of fields: FILE TOLERANCE. Their divergence must be
below the tolerance, relative to |u| / h, at all times, and no state may be at rest."""

import sys

import h5py
import numpy as np


def main():
    path, tolerance = sys.argv[1], float(sys.argv[2])
    with h5py.File(path, "r") as file:
        u, v = (file[name][()] for name in "uv")  # [R, T, y, x]
    cells = u.shape[-1]
    divergence = cells * (np.roll(u, -1, -1) - u + np.roll(v, -1, -2) - v)
    size = cells * np.sqrt((u**2 + v**2).sum((-1, -2)))
    worst = (np.sqrt((divergence**2).sum((-1, -2))) / size).max()
    if not worst <= tolerance:
        sys.exit(f"{path}: the divergence is {worst:.1e} of |u| / h")
    if not size.min() > 0.1 * cells * cells:
        sys.exit(f"{path}: there is a state without flow")
    print(f"divergence {worst:.1e} of |u| / h")


main()
