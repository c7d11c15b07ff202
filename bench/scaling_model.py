"""The performance model: what a training step of a residual network in an IMEX scheme costs on many ranks.

docs/scaling.md derives the formulas and names what they leave out. Calibrated are four numbers, each by least squares over
the measured runs, from one part of their log: seconds per FLOP of the network forward and backward, seconds per value of
the state for all else that is local, and seconds per byte that a halo is packed with. Latency and bandwidth inside a node
are those of bench_messages; those between nodes are assumptions of the study file.
"""
import math
import statistics

from scaling_runs import training_stage
from scaling_tables import markdown, number, percent

BYTES = {"double": 8, "float": 4}
PROBLEM_KEYS = {"title", "cells", "samples", "fields", "hidden", "blocks", "stages", "steps", "groups", "precision",
                "halo", "solves", "ksp_iterations"}
NETWORK_KEYS = {"latency", "bandwidth", "ranks_per_node"}
SETTINGS_KEYS = {"problem", "network", "extrapolate", "ranks", "messages_options"}
# Of a training step; `halo`: before each convolution, or one as deep as all of them for the whole network.
DEFAULTS = {"samples": 1, "fields": 1, "hidden": 32, "blocks": 6, "stages": 1, "steps": 1, "groups": 1,
            "precision": "double", "halo": "layer", "solves": 0, "ksp_iterations": 0}
# How a run's report names what may differ between the runs of a study.
OPTION_NAMES = {"cells": "-cells", "samples": "-samples", "steps": "-steps", "groups": "-groups", "hidden": "-network_hidden",
                "blocks": "-network_blocks", "precision": "-network_precision", "halo": "-network_halo"}


class ModelError(Exception):
    """Something is missing in the study or its measurements."""


# --- the problem ----------------------------------------------------------------------------------------------------


def checked(what, entry, known):
    if not isinstance(entry, dict):
        raise ModelError(f"{what} must be an object")
    unknown = sorted(set(entry) - known)
    if unknown:
        raise ModelError(f"{what} has unknown keys: {', '.join(unknown)}; known ones: {', '.join(sorted(known))}")
    return entry


def problem_of(entry, options=None):
    """The settings of a problem, those of a run's options in front of the study's."""
    problem = {**DEFAULTS, **entry}
    for key, option in OPTION_NAMES.items():
        text = (options or {}).get(option[1:])  # reports name options without the dash
        if text not in (None, ""):
            problem[key] = text if key in ("precision", "halo") else [int(n) for n in str(text).split(",")]
            if key not in ("cells", "precision", "halo"):
                problem[key] = problem[key][0]
    if "cells" not in problem:
        raise ModelError("problem needs cells, such as [256, 256]: the study's model says none and the runs no -cells")
    cells = problem["cells"]
    if not isinstance(cells, list) or not 1 <= len(cells) <= 3 or not all(isinstance(n, int) and n > 0 for n in cells):
        raise ModelError(f"cells must be one to three numbers from 1 up, not {cells}")
    counts = [key for key in ("samples", "fields", "hidden", "stages", "steps", "groups") if not problem[key] >= 1]
    if counts:
        raise ModelError(f"{', '.join(counts)} must be 1 or more")
    if problem["precision"] not in BYTES or problem["halo"] not in ("layer", "once"):
        raise ModelError("precision is double or float, halo is layer or once")
    return problem


def grids(ranks, axes):
    """All ways to write `ranks` as a product of one factor for each axis."""
    if axes == 1:
        yield (ranks,)
        return
    for factor in range(1, ranks + 1):
        if ranks % factor == 0:
            for rest in grids(ranks // factor, axes - 1):
                yield (factor, *rest)


def decomposition(cells, ranks):
    """The grid of ranks whose parts have the least surface: local cells along each axis, and which axes are cut."""
    best = None
    for grid in grids(ranks, len(cells)):
        if all(parts <= n for parts, n in zip(grid, cells)):
            local = [math.ceil(n / parts) for parts, n in zip(grid, cells)]
            cut = [parts > 1 for parts in grid]
            surface = layers(local, cut, 1)
            if best is None or (surface, grid) < best[:2]:
                best = (surface, grid, local, cut)
    return None if best is None else best[2:]


def layers(local, cut, width):
    """Cells of the halo of `width`: what the part with it has more, (n_1 + 2 w) ... (n_d + 2 w) - n_1 ... n_d, along the axes
    that are cut."""
    return math.prod(n + 2 * width * is_cut for n, is_cut in zip(local, cut)) - math.prod(local)


def flops_per_cell(problem):
    """One network evaluation of a cell: 2 (F c + 2 B 3^d c^2 + c F)."""
    c, fields = problem["hidden"], problem["fields"]
    return 2 * (2 * fields * c + 2 * problem["blocks"] * 3 ** len(problem["cells"]) * c * c)


def parameters(problem):
    """Weights and biases: (F + 1) c + 2 B (3^d c + 1) c + (c + 1) F."""
    c, fields = problem["hidden"], problem["fields"]
    return (fields + 1) * c + 2 * problem["blocks"] * (3 ** len(problem["cells"]) * c + 1) * c + (c + 1) * fields


def work(problem, ranks):
    """What one rank has to do for one network evaluation, forward or backward; None where the grid is too small."""
    groups = min(problem["groups"], ranks)
    parts = decomposition(problem["cells"], ranks // groups) if ranks % groups == 0 else None
    if parts is None:
        return None
    local, cut = parts
    samples = math.ceil(problem["samples"] / groups)
    cells, size = math.prod(local), BYTES[problem["precision"]]
    convolutions = 2 * problem["blocks"]
    neighbours = 2 * sum(cut)  # axis by axis, corners go along
    if problem["halo"] == "layer":
        computed = cells
        values, messages = layers(local, cut, 1) * problem["hidden"] * convolutions, neighbours * convolutions
    else:
        # Each convolution needs one cell less around than the one before it.
        computed = statistics.mean(cells + layers(local, cut, width) for width in range(max(1, convolutions)))
        values, messages = layers(local, cut, convolutions) * problem["fields"], neighbours
    return {"flops": flops_per_cell(problem) * computed * samples,
            "copied": computed * samples * problem["hidden"] * convolutions, "values": cells * samples * problem["fields"],
            "halo_bytes": values * samples * size, "halo_messages": messages, "local": local, "cut": cut,
            "samples": samples, "groups": groups, "stencil_bytes": layers(local, cut, 1) * problem["fields"] * samples * 8,
            "stencil_messages": neighbours,
            "activation_bytes": cells * samples * size * (problem["fields"] + problem["hidden"] * (convolutions + 1))}


# --- calibration ----------------------------------------------------------------------------------------------------


def ratio_fit(pairs):
    """x of seconds = x amount with the least squares of relative errors: sum (1 - x a / t)^2."""
    pairs = [(amount, seconds) for amount, seconds in pairs if amount > 0 and seconds > 0]
    if not pairs:
        return None
    return sum(a / t for a, t in pairs) / sum((a / t) ** 2 for a, t in pairs)


def plane_fit(rows):
    """x, y >= 0 of seconds = x a + y b, rows (a, b, seconds), with the least squares of relative errors."""
    rows = [(a / t, b / t) for a, b, t in rows if t > 0]
    aa, ab, bb = sum(a * a for a, _ in rows), sum(a * b for a, b in rows), sum(b * b for _, b in rows)
    sum_a, sum_b = sum(a for a, _ in rows), sum(b for _, b in rows)
    determinant = aa * bb - ab * ab
    if determinant > 1e-12 * aa * bb:
        x, y = (sum_a * bb - sum_b * ab) / determinant, (sum_b * aa - sum_a * ab) / determinant
        if x >= 0 and y >= 0:
            return x, y
        if x < 0:
            return 0.0, sum_b / bb
    return (sum_a / aa, 0.0) if aa > 0 else (0.0, sum_b / bb if bb > 0 else 0.0)


def line_fit(table, key):
    """Latency and seconds per byte of seconds = latency + bytes x with the least squares of relative errors."""
    points = [(entry["bytes"], entry[key]) for entry in table]
    ones, mixed, squares = (sum(b**i / t**2 for b, t in points) for i in range(3))
    first, second = sum(1 / t for _, t in points), sum(b / t for b, t in points)
    determinant = ones * squares - mixed * mixed
    latency = (first * squares - second * mixed) / determinant
    per_byte = (second * ones - first * mixed) / determinant
    # The smallest message where the line would start below it.
    return max(latency, 0.0) or min(t for _, t in points), max(per_byte, 1e-15)


def measured_messages(report):
    """Of the exchange, in which all ranks send at once, as in a halo: each sends two messages."""
    table = report.get("messages")
    if not isinstance(table, list) or len(table) < 2:
        raise ModelError("the measurement of messages holds fewer than two sizes: raise -bench_largest")
    latency, per_byte = line_fit(table, "exchange")
    return {"latency": latency / 2, "bandwidth": 2 / per_byte, "ranks": report["ranks"],
            "reduction_latency": min(entry["allreduce"] for entry in table[:2]) / math.ceil(math.log2(report["ranks"]))}


def evaluations(point):
    """The stage with the backward evaluations, and how many there were forward and backward, each of which enters
    EspNetAdjoint twice: for the product and for the parameters' gradient."""
    stage = point["stages"][training_stage(point["stages"])]
    count = {name: stage["events"].get(name, {}).get("count", 0) for name in ("EspNetForward", "EspNetAdjoint")}
    if not all(count.values()):
        return None
    return stage, count["EspNetForward"], count["EspNetAdjoint"] / 2


def calibrate(settings, results, messages):
    forward, backward, other, packing, used = [], [], [], [], []
    for name, result in results.items():
        for point in result["points"]:
            problem = problem_of(settings.get("problem", {}), point["options"])
            amounts, counted = work(problem, point["ranks"]), evaluations(point)
            if counted is None or amounts is None:
                continue
            stage, calls, adjoints = counted
            parts = stage["parts"]
            forward.append((amounts["flops"], parts["network forward"] / calls))
            backward.append((2 * amounts["flops"], parts["network backward"] / adjoints))
            rest = sum(parts[part] for part in ("solves", "optimiser", "data and I/O", "rest"))
            other.append((amounts["values"], rest / calls))
            wire = amounts["halo_messages"] * messages["latency"] + amounts["halo_bytes"] / messages["bandwidth"]
            packing.append((amounts["copied"], amounts["halo_bytes"], parts["halo"] / (calls + adjoints) - wire))
            used.append((name, point, problem, calls, adjoints, stage))
    copying, per_byte = plane_fit(packing)
    rates = {"forward": ratio_fit(forward), "backward": ratio_fit(backward), "other": ratio_fit(other) or 0.0,
             "copying": copying, "packing": per_byte}
    if rates["forward"] is None or rates["backward"] is None:
        raise ModelError("no run of the studies has network evaluations forward and backward (EspNetForward, EspNetAdjoint) "
                         "in one stage")
    return rates, used


# --- the model ------------------------------------------------------------------------------------------------------


def hops(ranks, network, messages):
    """Seconds of the latency of a reduction: a tree inside nodes, then one over the nodes."""
    inside = min(ranks, network["ranks_per_node"])
    nodes = math.ceil(ranks / network["ranks_per_node"])
    return (math.ceil(math.log2(inside)) * messages["reduction_latency"]
            + (math.ceil(math.log2(nodes)) * network["latency"] if nodes > 1 else 0))


def reduction(size, ranks, network, messages):
    """Sum of `size` bytes over the ranks: tree, L (alpha + b / beta), or, of long vectors, scatter and gather,
    2 L alpha + 2 (P - 1) / P b / beta (R. Rabenseifner 2004)."""
    if ranks == 1:
        return 0.0
    nodes = math.ceil(ranks / network["ranks_per_node"])
    levels = math.ceil(math.log2(ranks))
    per_rank = network["bandwidth"] / min(ranks, network["ranks_per_node"])
    bandwidth = min(messages["bandwidth"], per_rank) if nodes > 1 else messages["bandwidth"]
    latency = hops(ranks, network, messages)
    return min(latency + levels * size / bandwidth, 2 * latency + 2 * (ranks - 1) / ranks * size / bandwidth)


def exchange(size, count, problem, ranks, network, messages, packing):
    """A halo: messages, bytes inside the node, packing; what leaves a node goes through its link."""
    if count == 0:
        return 0.0
    inside = count * messages["latency"] + size / messages["bandwidth"] + size * packing
    nodes = math.ceil(ranks / network["ranks_per_node"])
    if nodes == 1:
        return inside
    # A node's ranks form a block: what leaves it is the surface of the block.
    per_node = min(ranks, network["ranks_per_node"])
    axes = len(problem["cells"])
    leaving = size * per_node ** ((axes - 1) / axes)
    return max(inside, count * network["latency"] + leaving / network["bandwidth"] + size * packing)


def step(problem, ranks, rates, network, messages):
    """Seconds of the parts of a training step: `steps` time steps of `stages` stages forward, then backward, one sum of the
    gradient. None where the grid has too few cells for the ranks."""
    amounts = work(problem, ranks)
    if amounts is None:
        return None
    evals = problem["stages"] * problem["steps"]
    compute = evals * (amounts["flops"] * (rates["forward"] + 2 * rates["backward"]) + amounts["values"] * rates["other"]
                       + 2 * amounts["copied"] * rates["copying"])
    spread = ranks // amounts["groups"]
    halo = 2 * evals * exchange(amounts["halo_bytes"], amounts["halo_messages"], problem, spread, network, messages,
                                rates["packing"])
    # Forward and backward: of each Krylov iteration one product with the matrix and two dot products.
    iterations = 2 * evals * problem["solves"] * problem["ksp_iterations"]
    halo += iterations * exchange(amounts["stencil_bytes"], amounts["stencil_messages"], problem, spread, network, messages,
                                  rates["packing"])
    sums = iterations * 2 * reduction(8, spread, network, messages)
    sums += reduction(8 * parameters(problem), ranks, network, messages) + reduction(8, ranks, network, messages)
    return {"compute": compute, "halo": halo, "reductions": sums, "total": compute + halo + sums,
            "cells": amounts["local"], "activation_bytes": amounts["activation_bytes"]}


def check_of_fit(rates, used, messages):
    """Model against the measurement: network, halo and rest of the stage, in the counted evaluations."""
    alone = {"latency": 0.0, "bandwidth": 1e30, "ranks_per_node": 1 << 30}
    rows = []
    for name, point, problem, calls, adjoints, stage in used:
        amounts = work(problem, point["ranks"])
        halo = (calls + adjoints) * (amounts["copied"] * rates["copying"] + exchange(
            amounts["halo_bytes"], amounts["halo_messages"], problem, point["ranks"], alone, messages, rates["packing"]))
        compute = calls * (amounts["flops"] * rates["forward"] + amounts["values"] * rates["other"])
        compute += adjoints * 2 * amounts["flops"] * rates["backward"]
        parts = stage["parts"]
        seconds = sum(parts.values()) - parts["reductions"]
        rows.append({"study": name, "ranks": point["ranks"], "measured": seconds, "model": compute + halo,
                     "measured_halo": parts["halo"], "model_halo": halo})
    return rows


def extrapolate(settings, results, report):
    checked("model", settings, SETTINGS_KEYS)
    checked("model's problem", settings.get("problem", {}), PROBLEM_KEYS)
    network = checked("model's network", settings.get("network", {}), NETWORK_KEYS)
    if set(network) != NETWORK_KEYS or not all(value > 0 for value in network.values()):
        raise ModelError("network needs latency (s), bandwidth (bytes/s of a node) and ranks_per_node, all above 0: they are "
                         "assumptions, and the result depends on them")
    messages = measured_messages(report)
    rates, used = calibrate(settings, results, messages)
    problems = []
    for entry in settings.get("extrapolate", []):
        own = checked("a problem to extrapolate to", entry, PROBLEM_KEYS)
        problem = problem_of({**settings.get("problem", {}), **own})
        rows = []
        for ranks in settings.get("ranks", [2**i for i in range(11)]):
            row = step(problem, ranks, rates, network, messages)
            if row is not None:
                rows.append({"ranks": ranks, **row})
        if not rows:
            raise ModelError(f"the grid {problem['cells']} cannot be split on any of the ranks")
        for row in rows:
            row["efficiency"] = rows[0]["ranks"] * rows[0]["total"] / (row["ranks"] * row["total"])
        title = problem.get("title", " x ".join(map(str, problem["cells"])))
        problems.append({**problem, "title": title, "parameters": parameters(problem),
                         "flops_per_cell": flops_per_cell(problem), "rows": rows})
    if not problems:
        raise ModelError("the study's model names no problems to extrapolate to")
    return {"rates": rates, "messages": messages, "network": network, "fit": check_of_fit(rates, used, messages),
            "problems": problems}


# --- the text -------------------------------------------------------------------------------------------------------


def write(outcome):
    rates, messages, network = outcome["rates"], outcome["messages"], outcome["network"]
    constants = [
        ["network forward", f"{1e-9 / rates['forward']:.3g} GF/s a rank", "fitted"],
        ["network backward", f"{1e-9 / rates['backward']:.3g} GF/s a rank", "fitted"],
        ["all else that is local", f"{1e9 * rates['other']:.3g} ns a value of the state and stage", "fitted"],
        ["fields copied to have ghosts", f"{1e9 * rates['copying']:.3g} ns a value", "fitted"],
        ["packing of halos", f"{1e9 * rates['packing']:.3g} ns a byte", "fitted"],
        ["message inside a node", f"{1e6 * messages['latency']:.3g} us + bytes / {1e-9 * messages['bandwidth']:.3g} GB/s",
         f"bench_messages, {messages['ranks']} ranks"],
        ["a level of a reduction", f"{1e6 * messages['reduction_latency']:.3g} us",
         f"bench_messages, {messages['ranks']} ranks"],
        ["message between nodes", f"{1e6 * network['latency']:.3g} us + bytes / {1e-9 * network['bandwidth']:.3g} GB/s of a "
                                  "node", "assumed"],
        ["ranks of a node", str(network["ranks_per_node"]), "assumed"],
    ]
    text = ["# Performance model", markdown(["constant", "value", "from"], constants),
            "Model against measurement (without reductions), over the runs that it was fitted to:",
            markdown(["study", "ranks", "measured s", "model s", "model / measured", "halo s", "model's halo s"],
                     [[row["study"], str(row["ranks"]), number(row["measured"]), number(row["model"]),
                       number(row["model"] / row["measured"], "{:.3f}"), number(row["measured_halo"]),
                       number(row["model_halo"])] for row in outcome["fit"]])]
    for problem in outcome["problems"]:
        text += [f"## {problem['title']} (extrapolated, not measured)",
                 f"{problem['samples']} sample(s) of {problem['fields']} field(s), {problem['blocks']} blocks, "
                 f"{problem['hidden']} channels, {problem['parameters']} parameters; {problem['steps']} step(s) of "
                 f"{problem['stages']} stage(s), forward and backward; {problem['precision']}; halo: {problem['halo']}.",
                 markdown(["ranks", "cells of a rank", "step s", "compute", "halo", "reductions", "efficiency",
                           "activations GB a rank"],
                          [[str(row["ranks"]), " x ".join(map(str, row["cells"])), number(row["total"]),
                            number(row["compute"]), number(row["halo"]), number(row["reductions"]),
                            percent(row["efficiency"]),
                            number(1e-9 * row["activation_bytes"] * problem["stages"] * problem["steps"], "{:.3g}")]
                           for row in problem["rows"]])]
    return "\n\n".join(text) + "\n"
