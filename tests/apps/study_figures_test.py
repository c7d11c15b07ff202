#!/usr/bin/env python3
"""tools/study on reports written here: means over seeds, savings against a baseline, figures; nothing is trained."""
import copy
import json
import pathlib
import subprocess
import sys
import tempfile

TOOL = pathlib.Path(sys.argv[1]).resolve()
FOLDER = pathlib.Path(tempfile.mkdtemp() if len(sys.argv) < 3 else sys.argv[2])
OUTPUT = FOLDER / "runs"
sys.path.insert(0, str(TOOL.parent))
import study_reports  # noqa: E402

STUDY = {
    "title": "Hand-written",
    "tables": [
        {"title": "Arms: of two seeds", "group": "arms", "app": "none", "baseline": "full",
         "summary": ["iterations_nominal", "training_seconds"], "seeds": [1, 2],
         "options_file": "petsc_options/heat_emulator/smoke.opts",
         "runs": [{"name": "arms_refined_{seed}", "series": "refined"},
                  {"name": "arms_full_{seed}", "series": "full"}]},
        {"title": "Levels", "group": "levels", "app": "none", "summary": ["validation_error"],
         "options_file": "petsc_options/heat_emulator/smoke.opts", "seeds": [1, 2, 3],
         "figure": [{"x": "K", "marks": {"k_eps": "full"}, "panels": [["validation_error", "Error"]]},
                    {"name": "epochs", "over": "epoch", "panels": [["validation", "Error"]]},
                    {"name": "work", "over": "iterations", "panels": [{"key": "validation", "label": "Error",
                                                                       "runs": "levels_4"}]},
                    {"name": "nothing", "panels": [["no_such_metric", "Nothing"]]}],
         "runs": [{"name": "levels_{value}_{seed}", "series": "K =", "values": [2, 4]}]},
    ],
}


def report(levels, seconds, error, k_eps=10):
    total = sum(levels)
    saved = 100 * (1 - total / (k_eps * len(levels)))
    incomplete = 100 * (1 - max(levels) / k_eps)
    epochs = [{"epoch": e, "level": level, "seconds": seconds, "loss": error / e, "validation": 2 * error / e}
              for e, level in enumerate(levels, 1)]
    metrics = {"k_eps": k_eps, "k_max": max(levels), "iterations_nominal": total, "savings_percent": saved,
               "savings_ic_percent": incomplete, "savings_pr_percent": saved - incomplete, "validation_error": error}
    return {"status": "ok", "app": "none", "epochs": epochs, "metrics": metrics, "checkpoint_bytes": 0}


REPORTS = {
    "arms_refined_1": report([1, 2, 3, 4], 0.5, 0.1),
    "arms_refined_2": report([1, 1, 1, 3], 0.7, 0.2),
    "arms_full_1": report([10] * 4, 1, 0.1),
    "arms_full_2": report([10] * 4, 2, 0.2),
    "levels_2_1": report([2] * 4, 1, 0.1),
    "levels_2_2": report([2] * 4, 1, 0.2),
    "levels_2_3": report([2] * 4, 1, 0.3),
    "levels_4_1": report([4] * 4, 1, 0.02),
    "levels_4_2": report([4] * 4, 1, 0.04),
    "levels_4_3": {**report([4], 1, 9.0), "status": "diverged"},  # is no part of the means
}
FIGURES = ["validation", "iterations", "training_seconds", "loss_arms", "levels", "levels_epochs", "levels_work"]


def study(contents, expected_status, *arguments):
    file = FOLDER / "study.json"
    file.write_text(json.dumps(contents))
    command = [sys.executable, str(TOOL), str(file), "--table", "--output", str(OUTPUT), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    text = result.stdout + result.stderr
    assert result.returncode == expected_status, f"status {result.returncode}, expected {expected_status}:\n{text}"
    return text


def cells(text, first):
    """Of the table's row that begins so."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    found = [row for row in rows if row[: len(first)] == first]
    assert len(found) == 1, f"{len(found)} rows begin with {first}:\n{text}"
    return found[0][len(first):]


def expect(actual, expected):
    assert actual == expected, f"{actual}, expected {expected}"


def write_reports():
    for name, contents in REPORTS.items():
        (OUTPUT / name).mkdir(parents=True, exist_ok=True)
        (OUTPUT / name / "report.json").write_text(json.dumps(contents))
    for old in OUTPUT.glob("*.png"):
        old.unlink()


def check_tables(text):
    expect(cells(text, ["refined", "2"]), ["8 +- 2.83", "2.4 +- 0.566"])
    expect(cells(text, ["full", "2"]), ["40 +- 0", "6 +- 2.83"])
    expect(cells(text, ["K =", "2", "3"]), ["0.2 +- 0.1"])
    expect(cells(text, ["K =", "4", "2"]), ["0.03 +- 0.0141"])
    assert "refined against full: saved 80.0 % of the inner iterations, 60.0 % of the time" in text, text
    # The arms of a seed one after the other.
    order = [line.split()[1] for line in text.splitlines() if line.startswith("| arms_")]
    expect(order, ["arms_refined_1", "arms_full_1", "arms_refined_2", "arms_full_2"])


def check_figures(text):
    for name in FIGURES:
        path = OUTPUT / f"{name}.png"
        assert path.exists() and path.stat().st_size > 5000, f"{path} is missing or empty:\n{text}"
        assert str(path) in text, f"{path} is not named:\n{text}"
    expect(sorted(path.stem for path in OUTPUT.glob("*.png")), sorted(FIGURES))


def check_curves():
    both = [REPORTS["arms_refined_1"], copy.deepcopy(REPORTS["arms_refined_2"])]
    del both[1]["epochs"][1]["validation"]  # an epoch that only one of them has is no part of the mean
    points = study_reports.mean_curve(both, "validation", "iterations")
    expect([x for x, *_ in points], [1, 4.5, 8])
    expect([round(mean, 12) for _, mean, *_ in points], [0.3, 0.1, 0.075])
    expect(study_reports.band([1, 1, 10]), (4, 1, 4 + 27**0.5))  # 4 - 5.2 is below zero
    expect(study_reports.band([5.0]), (5, 5, 5))


def check_complaints():
    wrong = copy.deepcopy(STUDY)
    wrong["tables"][1]["figure"][0]["colour"] = "red"
    assert "a figure of levels: " in (text := study(wrong, 2)) and "'colour'" in text, text
    wrong["tables"][1]["figure"] = {"over": "seconds", "panels": [["loss", "Loss"]]}
    assert "`over` to be value, epoch or iterations" in (text := study(wrong, 2)), text
    wrong = copy.deepcopy(STUDY)
    wrong["tables"][0]["baseline"] = "none"
    assert "arms has no series none" in (text := study(wrong, 2)), text


def main():
    write_reports()
    output = study(STUDY, 1)
    assert "levels_4_3 failed: diverged" in output, output
    check_tables(output)
    check_figures(output)
    check_curves()
    # One table alone leaves the comparison of the others as it is.
    write_reports()
    study(STUDY, 1, "--only", "levels")
    assert (OUTPUT / "iterations.png").exists() and not (OUTPUT / "loss_arms.png").exists()
    check_complaints()
    print("tables and figures of hand-written reports are right")


if __name__ == "__main__":
    main()
