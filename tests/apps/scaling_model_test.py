"""The performance model with measurements made up from known constants: the fit finds these, and the sums are those worked
out by hand. FOLDER of scaling_model.py."""
import copy
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(sys.argv[1]).resolve()))

import scaling_model as model  # noqa: E402
from scaling_runs import PART_NAMES  # noqa: E402

FORWARD, BACKWARD, OTHER, PACKING = 2e-10, 3e-10, 4e-9, 5e-10  # seconds per FLOP, FLOP, value, byte
COPYING = 1e-9  # seconds per value of a layer
LATENCY, BANDWIDTH, SUM_LATENCY = 1e-6, 4e9, 2e-6
PROBLEM = {"cells": [64, 32], "samples": 3, "fields": 2, "hidden": 4, "blocks": 1, "stages": 4, "steps": 5}
SETTINGS = {"problem": PROBLEM, "network": {"latency": 3e-6, "bandwidth": 1e10, "ranks_per_node": 4},
            "extrapolate": [{"cells": [64, 32]}, {"title": "cube", "cells": [16, 16, 16]}], "ranks": [1, 2, 4, 8, 65536]}
FLOPS_OF_CELL = 2 * (2 * 4 + 2 * 9 * 4 * 4 + 4 * 2)
# On 1, 2, 4 ranks, cut along the longer axis: cells of a rank; of its halo for one layer, which has two sides.
CELLS = {1: 2048, 2: 1024, 4: 512}
HALO = {1: 0, 2: 64, 4: 64}


def expect(condition, what):
    if not condition:
        sys.exit(f"not as it should be: {what}")


def close(value, right, tolerance=1e-9):
    return math.isclose(value, right, rel_tol=tolerance, abs_tol=1e-300)


def halo_seconds(ranks):
    """Of one evaluation: before each of two convolutions both neighbours get their layer of 4 channels of 3 samples."""
    size = 2 * HALO[ranks] * 4 * 3 * 8
    return 2 * 2 * (ranks > 1) * LATENCY + size / BANDWIDTH + size * PACKING


def copying_seconds(ranks):
    """Of one evaluation: the 4 channels of 3 samples before each of two convolutions."""
    return CELLS[ranks] * 3 * 4 * 2 * COPYING


def point(ranks, forward=40, adjoint=40):
    flops = FLOPS_OF_CELL * CELLS[ranks] * 3
    parts = dict.fromkeys(PART_NAMES, 0.0)
    parts.update({"network forward": forward * flops * FORWARD, "network backward": adjoint * 2 * flops * BACKWARD,
                  "halo": (forward + adjoint) * (halo_seconds(ranks) + copying_seconds(ranks)), "rest": forward * CELLS[ranks] * 3 * 2 * OTHER})
    events = {"EspNetForward": {"count": forward}, "EspNetAdjoint": {"count": 2 * adjoint, "seconds": 0.5}}
    return {"ranks": ranks, "options": {}, "stages": {"Training": {"seconds": 1.0, "parts": parts, "events": events},
                                                      "Main Stage": {"seconds": 9.0, "parts": {}, "events": {}}}}


def messages(ranks=4):
    table = [{"bytes": b, "one_way": 1.0, "exchange": 2 * LATENCY + 2 * b / BANDWIDTH,
              "allreduce": SUM_LATENCY * math.log2(ranks) + b * 1e-9 * (b > 64)} for b in (8, 64, 4096, 1 << 20)]
    return {"ranks": ranks, "messages": table}


def results():
    return {"strong": {"points": [point(1), point(2), point(4, 20, 10)]}}


def check_counts():
    problem = model.problem_of(PROBLEM)
    expect(model.flops_per_cell(problem) == FLOPS_OF_CELL == 608, "FLOPs of a cell")
    expect(model.parameters(problem) == (2 * 4 + 4) + 2 * (9 * 4 * 4 + 4) + (4 * 2 + 2) == 318, "parameters")
    cube = model.problem_of({**PROBLEM, "cells": [8, 8, 8]})
    expect(model.flops_per_cell(cube) == 2 * (8 + 2 * 27 * 16 + 8), "FLOPs of a cell of a cube")
    expect(model.decomposition([64, 64, 64], 64) == ([16, 16, 16], [True] * 3), "the parts of a cube")
    expect(model.decomposition([8, 2], 5) == ([2, 2], [True, False]), "parts of different sizes")
    expect(model.decomposition([4], 5) is None, "more ranks than cells")
    expect(model.layers([4, 4], [True, True], 1) == 36 - 16 and model.layers([4, 4], [True, False], 2) == 16, "layers")
    deep = model.work(model.problem_of({**PROBLEM, "halo": "once"}), 4)
    # One halo of two cells on both sides for both convolutions; the first of them computes a layer of cells more.
    expect(deep["halo_bytes"] == 4 * 32 * 2 * 3 * 8 and deep["halo_messages"] == 2, "a deep halo")
    expect(deep["flops"] == FLOPS_OF_CELL * (512 + 64 / 2) * 3, "the work of a deep halo")
    groups = model.work(model.problem_of({**PROBLEM, "groups": 2}), 4)
    expect(groups["values"] == 1024 * 2 * 2, "groups of ranks share the samples")
    expect(model.work(model.problem_of({**PROBLEM, "groups": 3}), 4) is None, "groups that do not divide the ranks")
    given = model.problem_of(PROBLEM, {"cells": "16,8", "network_hidden": "6", "network_precision": "float"})
    expect(given["cells"] == [16, 8] and given["hidden"] == 6 and given["precision"] == "float", "options of a run")


def check_sums():
    network = model.extrapolate(SETTINGS, results(), messages())["network"]
    sent = {"latency": LATENCY, "bandwidth": BANDWIDTH, "reduction_latency": SUM_LATENCY}
    levels = 2 * SUM_LATENCY
    expect(model.reduction(1e8, 1, network, sent) == 0, "a sum on one rank")
    expect(close(model.reduction(8, 4, network, sent), levels + 2 * 8 / BANDWIDTH), "a short sum goes up a tree")
    expect(close(model.reduction(1e8, 4, network, sent), 2 * levels + 2 * 3 / 4 * 1e8 / BANDWIDTH), "a long sum is scattered")
    # Two nodes with a block of four ranks each: twice the bytes of a rank's halo leave a block in the plane.
    problem = model.problem_of(PROBLEM)
    leaving = 3 * 3e-6 + 1e6 * 2 / 1e10 + 1e6 * PACKING
    expect(close(model.exchange(1e6, 3, problem, 8, {**network, "bandwidth": 1e10}, {**sent, "bandwidth": 1e12}, PACKING),
                 leaving), "a halo over nodes")


def check_fit():
    outcome = model.extrapolate(SETTINGS, results(), messages())
    rates = outcome["rates"]
    for name, right in (("forward", FORWARD), ("backward", BACKWARD), ("other", OTHER), ("copying", COPYING),
                        ("packing", PACKING)):
        expect(close(rates[name], right, 1e-6), f"{name}: {rates[name]}")
    for name, right in (("latency", LATENCY), ("bandwidth", BANDWIDTH), ("reduction_latency", SUM_LATENCY)):
        expect(close(outcome["messages"][name], right, 1e-6), f"{name}: {outcome['messages'][name]}")
    for row in outcome["fit"]:
        expect(close(row["model"], row["measured"], 1e-6), f"model against measurement: {row}")
        expect(close(row["model_halo"], row["measured_halo"], 1e-6), f"halo against measurement: {row}")
    return outcome


def check_extrapolation(outcome):
    plane, cube = outcome["problems"]
    expect([row["ranks"] for row in plane["rows"]] == [1, 2, 4, 8], "a grid too small for the ranks is left out")
    one, _, four, eight = plane["rows"]
    # 4 stages of 5 steps on one rank.
    compute = 20 * (FLOPS_OF_CELL * 2048 * 3 * (FORWARD + 2 * BACKWARD) + 2048 * 3 * 2 * OTHER + 2 * copying_seconds(1))
    expect(close(one["compute"], compute, 1e-6) and one["halo"] == 0 and one["reductions"] == 0, "a step on one rank")
    expect(one["efficiency"] == 1 and close(four["compute"], compute / 4, 1e-6), "compute is shared by the ranks")
    expect(close(four["halo"], 2 * 20 * halo_seconds(4), 1e-6), "halos inside a node")
    gradient = 318 * 8
    levels = 2 * SUM_LATENCY
    long, short = levels + 2 * gradient / BANDWIDTH, levels + 2 * 8 / BANDWIDTH
    expect(close(four["reductions"], long + short, 1e-6), "sums inside a node")
    # Two nodes: a third level at the latency between them; each of four ranks has a quarter of the link.
    levels = 2 * SUM_LATENCY + 3e-6
    long, short = levels + 3 * gradient / 2.5e9, levels + 3 * 8 / 2.5e9
    expect(close(eight["reductions"], long + short, 1e-6), "sums over nodes")
    expect(all(close(row["total"], row["compute"] + row["halo"] + row["reductions"]) for row in cube["rows"]), "totals")
    expect(cube["title"] == "cube" and cube["flops_per_cell"] == 2 * (8 + 2 * 27 * 16 + 8), "the second problem")
    text = model.write(outcome)
    for part in ("assumed", "extrapolated, not measured", "5 GF/s a rank", "cube", "16 x 32"):
        expect(part in text, f"the text has no {part!r}")
    # Krylov iterations: two sums and a halo each, forward and backward.
    settings = copy.deepcopy(SETTINGS)
    settings["problem"].update({"solves": 1, "ksp_iterations": 10})
    solved = model.extrapolate(settings, results(), messages())["problems"][0]["rows"][2]
    expect(close(solved["reductions"] - four["reductions"], 2 * 20 * 10 * 2 * (2 * SUM_LATENCY + 2 * 8 / BANDWIDTH), 1e-6),
           "sums of Krylov iterations")
    layer = 64 * 2 * 3 * 8
    expect(close(solved["halo"] - four["halo"], 2 * 20 * 10 * (2 * LATENCY + layer / BANDWIDTH + layer * PACKING), 1e-6),
           "halos of Krylov iterations")


def check_messages():
    no_network = copy.deepcopy(SETTINGS)
    del no_network["network"]["latency"]
    no_events = results()
    for entry in no_events["strong"]["points"]:
        entry["stages"]["Training"]["events"] = {}
    no_cells = {**SETTINGS, "problem": {"fields": 2}}
    cases = [(no_network, results(), messages(), "network needs latency"),
             (SETTINGS, no_events, messages(), "no run of the studies has network evaluations"),
             (no_cells, results(), messages(), "problem needs cells"),
             ({**SETTINGS, "extrapolate": []}, results(), messages(), "names no problems"),
             ({**SETTINGS, "extrapolate": [{"cell": [4]}]}, results(), messages(), "unknown keys: cell"),
             ({**SETTINGS, "ranks": [65536]}, results(), messages(), "cannot be split"),
             ({**SETTINGS, "problem": {**PROBLEM, "halo": "wide"}}, results(), messages(), "halo is layer or once"),
             ({**SETTINGS, "problem": {**PROBLEM, "samples": 0}}, results(), messages(), "samples must be 1 or more"),
             (SETTINGS, results(), {"ranks": 2, "messages": []}, "fewer than two sizes")]
    for settings, measured, sent, message in cases:
        try:
            model.extrapolate(settings, measured, sent)
        except model.ModelError as error:
            expect(message in str(error), f"{message}: {error}")
        else:
            expect(False, f"{message}: nothing was said")


check_counts()
check_sums()
check_extrapolation(check_fit())
check_messages()
print("the performance model finds what was put in")
