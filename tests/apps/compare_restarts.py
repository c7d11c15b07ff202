"""Compares datasets of two restart files bit for bit: FILE FILE NAME..., each name anywhere in the files."""

import sys

import h5py
import numpy


def datasets(path, names):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]})
                        if isinstance(item, h5py.Dataset) and name.split("/")[-1] in names else None)
    if len(found) != len(names):
        sys.exit(f"{path}: found {sorted(found)} instead of {sorted(names)}")
    return found


def main():
    first, second, *names = sys.argv[1:]
    a, b = datasets(first, names), datasets(second, names)
    differing = [name for name in a if not numpy.array_equal(a[name], b[name])]
    if differing:
        sys.exit(f"{first} and {second} differ in {', '.join(differing)}")
    print(f"{len(a)} datasets agree")


main()
