"""The facts of a learner, for its report."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastgpu.callbacks.run_folder import environment
from fastgpu.compress.measure import parameters
from fastgpu.report.charts import Chart, history_charts, number
from fastgpu.report.page import Facts, Picture, Table
from fastgpu.report.repeating import python_lines, shell_line, unnamed

if TYPE_CHECKING:
    from pandas import DataFrame

    from fastgpu.interpretation import Interpretation
    from fastgpu.learner import Learner

__all__ = ["page_facts"]

MOST_CLASSES = 20
"""Classes up to which the page draws the confusion matrix itself."""

MOST_ROWS = 30

MOST_LAYERS = 16


def page_facts(learner: Learner, found: Interpretation | None, pictures: Sequence[Picture]) -> Facts:
    """All that the page shows.

    Args:
        found: the interpretation of held-out items, None where there is none.
        pictures: what was drawn.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class without items
        tables = _tables(found)
        result_charts = _calibration(found)
        confusion = _confusion(found)
    shell, python, repeat_note = _repeating(learner)
    return Facts(
        title=f"{learner.architecture} on {learner.data.name}",
        subtitle=learner.data.task.describe(),
        tiles=_tiles(learner),
        notices=_notices(learner, found),
        charts=history_charts(learner.history),
        result_charts=result_charts,
        history=_table(learner.history.to_frame()) if len(learner.history) else None,
        pictures=[each for each in pictures if not (confusion and each.name == "confusion_matrix.png")],
        confusion=confusion,
        tables=tables,
        compression=[_compression(report.to_dict()) for report in learner.compression_reports],
        facts=_facts(learner),
        shell=shell,
        python=python,
        repeat_note=repeat_note,
    )


def _tiles(learner: Learner) -> list[tuple[str, str, str]]:
    history, (key, higher) = learner.history, learner.task_module().monitor
    tiles = []
    best = history.best(key, higher_is_better=higher, after=learner.best_from)
    if best is not None:
        tiles.append((f"best {_words(key)}", _rounded(best[key]), f"epoch {int(best['epoch'])}"))
        if "val_loss" in best and key != "val_loss":
            tiles.append(("validation loss", _rounded(best["val_loss"]), f"epoch {int(best['epoch'])}"))
    if len(history):
        seconds = sum(row.get("seconds", 0.0) for row in history.rows)
        tiles.append(("epochs", str(len(history)), f"{_duration(seconds)} of training"))
    tiles.append(("parameters", _short(parameters(learner.module)), f"{parameters(learner.module):,}"))
    sizes = learner.data.sizes
    if sizes:
        tiles.append(("training items", _short(sizes.get("train", 0)), ", ".join(f"{n:,} {name}" for name, n in sizes.items() if name != "train")))
    return tiles


def _notices(learner: Learner, found: Interpretation | None) -> list[str]:
    notices = []
    if learner.history.interrupted:
        notices.append("The last fit was interrupted: its last epoch, begun and not ended, is not in these numbers.")
    if found is not None and found.split == "train":
        notices.append("There is no validation split: the results below are of items that the network was trained on.")
    if found is not None and found.total > len(found):
        notices.append(f"The results below are of {len(found):,} of {found.total:,} items. learn.interpret() looks at all.")
    return notices


def _confusion(found: Any) -> tuple[list[str], list[list[int]]] | None:
    if found is None or found.task != "classification" or len(found.class_names) > MOST_CLASSES:
        return None
    return [str(name) for name in found.class_names], found.confusion_matrix().to_numpy().tolist()


def _calibration(found: Any) -> list[Chart]:
    if found is None or not hasattr(found, "calibration"):
        return []
    table = found.calibration()
    confidence = table["confidence"].tolist()
    lines = {"a perfect one": confidence, "accuracy": table["accuracy"].tolist()}
    note = f"Calibration error {found.calibration_error:.3f}: the mean gap between confidence and accuracy."
    return [Chart(title="calibration", axis="confidence", x=confidence, lines=lines, note=note)]


def _tables(found: Any) -> dict[str, Table]:
    if found is None:
        return {}
    tables = {}
    if hasattr(found, "per_class"):
        frame = found.per_class()
        weakest = frame.nsmallest(MOST_ROWS, "f1") if len(frame) > MOST_ROWS else frame
        note = f"The {MOST_ROWS} of {len(frame)} with the lowest f1." if len(frame) > MOST_ROWS else ""
        tables["Classes"] = _table(weakest.reset_index(), note)
        confused = found.most_confused()
        if len(confused):
            note = f"The {MOST_ROWS} most frequent of {len(confused):,} pairs." if len(confused) > MOST_ROWS else ""
            tables["Most confused"] = _table(confused.head(MOST_ROWS), note)
    if found.losses is not None:
        tables["Worst items"] = _table(found.top_losses(15), f"Numbers of items are those in the {found.split} split, from 0.")
    return tables


def _table(frame: DataFrame, note: str = "") -> Table:
    rows = [[None if value != value else value for value in row] for row in frame.astype(object).to_numpy().tolist()]
    return Table(columns=[str(name).replace("_", " ") for name in frame.columns], rows=rows, note=note)


def _compression(report: dict[str, Any]) -> tuple[str, Table, list[str]]:
    keys = list(dict.fromkeys(key for step in report["steps"] for key in step))
    rows = [[step.get(key) for key in keys] for step in report["steps"]]
    return report["title"], Table(columns=[key.replace("_", " ") for key in keys], rows=rows), report["notes"]


def _facts(learner: Learner) -> dict[str, list[tuple[str, str]]]:
    module, machine, data = learner.task_module(), environment(), learner.data
    total = parameters(learner.module)
    trained = sum(p.numel() for p in learner.module.parameters() if p.requires_grad)
    layers = [(name, f"{type(part).__name__}, {parameters(part):,} parameters") for name, part in learner.module.named_children()]
    more = [("…", f"{len(layers) - MOST_LAYERS} more")] if len(layers) > MOST_LAYERS else []
    optimizer = "adamw" if learner.settings.optimizer == "auto" else learner.arguments()["optimizer"]
    loss = data.task.default_loss if learner.settings.loss == "auto" else learner.arguments()["loss"]
    return {
        "Network": [
            ("architecture", learner.architecture),
            ("parameters", f"{total:,}, {'all' if trained == total else f'{trained:,} of them'} trained"),
            ("pretrained", _said(learner.pretrained)),
            *layers[:MOST_LAYERS],
            *more,
        ],
        "Data": [
            ("name", str(data.name)),
            *([("from", data.origin)] if data.origin else []),
            *((f"{name} items", f"{n:,}" if n else "not known") for name, n in data.sizes.items()),
            ("input", data.input.describe()),
            ("task", data.task.describe()),
            *(("note", note) for note in data.notes),
        ],
        "Training": [
            ("loss", _said(loss)),
            ("metrics", ", ".join(module.val_metrics) or "none"),
            ("optimizer", _said(optimizer)),
            ("learning rate", f"{learner.lr if learner.plan is None else learner.plan.lr:g}"),
            ("batch size", str(data.batch_size)),
            ("precision", str(learner.hardware.precision)),
            ("seed", str(learner.settings.seed)),
            ("run folder", str(learner.run_dir or "none yet")),
        ],
        "Machine": [
            ("device", f"{learner.hardware.accelerator}{', ' + ', '.join(machine['gpus']) if machine['gpus'] else ''}"),
            ("processors", str(machine["cpus"])),
            ("system", machine["platform"]),
            ("python", machine["python"]),
            *((name, found) for name, found in machine["packages"].items() if found),
        ],
    }


def _repeating(learner: Learner) -> tuple[str, str, str]:
    """The line for a shell and those of Python that make the same network again, and a note; empty where there are none."""
    arguments, calls = learner.arguments(), learner.calls
    if learner.unrepeatable:
        return "", "", f"No lines repeat this run: {learner.unrepeatable}."
    if not calls:
        return "", "", ""
    notes, objects = [], unnamed(arguments, calls)
    if calls[0].before:
        notes.append(f"This learner was loaded with {calls[0].before} epochs, which these lines do not train.")
    if objects:
        notes.append(f"Objects of your own stand by their names: {', '.join(objects)}.")
    return shell_line(arguments, calls), python_lines(arguments, calls), " ".join(notes)


def _words(key: str) -> str:
    return key.replace("val_", "validation ").replace("_", " ")


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value["object"]) if isinstance(value, dict) else str(value)


def _rounded(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 10 else number(value)


def _short(count: int) -> str:
    for size, unit in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return f"{count:,}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"
