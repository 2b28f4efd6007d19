"""What a fit leaves behind beside the weights: pictures, and report.html. A picture that fails never costs a fit."""

from __future__ import annotations

import dataclasses
import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only

from fastgpu.data.split import ColumnSplit
from fastgpu.errors import ArgumentError, RunFolderError
from fastgpu.interpretation import KINDS, Interpretation
from fastgpu.interpreting import interpret
from fastgpu.looking import show_batch, show_results
from fastgpu.report_facts import page_facts

if TYPE_CHECKING:
    from fastgpu.compress.report import CompressionReport
    from fastgpu.learner import Learner

__all__ = ["after_fit", "keep_compression", "write_report"]

MOST = 10_000
"""Items that are looked at, of data in memory."""

MOST_READ = 1_000
"""Items that are looked at where each has to be read first."""

ITEMS, DPI = 9, 75

CAPTIONS = {
    "samples.png": "Training items as the network sees them",
    "results.png": "Held-out items: prediction and truth",
    "worst.png": "The items with the largest loss",
    "confusion_matrix.png": "Confusion matrix",
    "residuals.png": "Predictions and residuals",
}


@dataclasses.dataclass(kw_only=True)
class Seen:
    """What was found when the learner was looked at.

    Args:
        interpretation: of the task, None where it has none or it failed.
        pictures: file name -> PNG.
        failures: what could not be made, one line each.
    """

    interpretation: Interpretation | None = None
    pictures: dict[str, bytes] = dataclasses.field(default_factory=dict)
    failures: list[str] = dataclasses.field(default_factory=list)


def after_fit(learner: Learner, trainer: Trainer) -> None:
    """Pictures, report.html and the loggers' own, on the first process, once the best weights are in place."""
    whole = trainer.world_size == 1 or isinstance(trainer.strategy, DDPStrategy)  # else each process holds a part of the network
    told = any(hasattr(logger, "log_fit") for logger in learner.log_rows.loggers)
    if not (learner.settings.report or told) or not trainer.is_global_zero or not learner.history.rows or not whole:
        return
    folder = learner.run_folder.path
    try:
        found = _leave(learner, folder) if learner.settings.report else _interpreted(learner)
        learner.log_rows.hand(lambda logger: logger.log_fit(found, folder) if hasattr(logger, "log_fit") else None)
    except KeyboardInterrupt:  # the fit is done, and its history must come back
        learner.say("interrupted: pictures and report.html may be left out; learn.report() makes the page")


def write_report(learner: Learner, path: str | os.PathLike[str] | None) -> Path:
    """Write the page; see `Learner.report`."""
    if path is None and learner.run_dir is None:
        raise ArgumentError("report() writes into the run's folder. There is none before the first fit. Give a path: report('report.html').")
    file = learner.run_folder.path / "report.html" if path is None else Path(path).expanduser()
    if not _first_process():
        return file
    seen = _look(learner)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _replace(file, _page(learner, seen))
    except OSError as error:
        raise RunFolderError(f"A report must be written to {file}. It could not be: {error.strerror}. Choose another path.") from None
    _warn(seen)
    return file


def keep_compression(learner: Learner, report: CompressionReport) -> CompressionReport:
    """Keep a report of compression with the learner, hand it to the loggers, show it in the run's page; the report comes back."""
    learner.compression_reports.append(report)
    learner.log_rows.hand(lambda logger: logger.log_report(report) if hasattr(logger, "log_report") else None)
    if learner.settings.report and learner.run_folder.made and _first_process():
        _leave(learner, learner.run_folder.path)
    return report


def _first_process() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0


def _leave(learner: Learner, folder: Path) -> Interpretation | None:
    """Pictures and page in the run's folder made anew; what fails is said in one line and costs nothing else."""
    seen = _look(learner)
    for name in CAPTIONS:
        if name in seen.pictures:
            _tried(seen, name, lambda name=name: _replace(folder / name, seen.pictures[name]))
        else:  # one of an earlier fit would show another network
            _tried(seen, name, lambda name=name: (folder / name).unlink(missing_ok=True))
    _tried(seen, "report.html", lambda: _replace(folder / "report.html", _page(learner, seen)))
    _warn(seen)
    return seen.interpretation


def _interpreted(learner: Learner) -> Interpretation | None:
    """What loggers are told where no pictures are wanted."""
    seen = Seen()
    if learner.data.task.name in KINDS:
        seen.interpretation = _tried(seen, "interpretation", lambda: interpret(learner, most=_most(learner)))
    _warn(seen)
    return seen.interpretation


def _look(learner: Learner) -> Seen:
    """One pass over held-out items, and the pictures; each by itself, so that one that fails costs no other."""
    seen = Seen()
    if not learner.data.splits or learner.missing:  # loaded without data, or without the user's own loss
        return seen
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a letter that the font lacks, a class without items
        if learner.data.task.name in KINDS:
            seen.interpretation = _tried(seen, "interpretation", lambda: interpret(learner, most=_most(learner)))
        for name, draw in _drawings(learner, seen.interpretation).items():
            png = _tried(seen, name, lambda draw=draw: _png(draw()))
            if png is not None:
                seen.pictures[name] = png
    return seen


def _drawings(learner: Learner, found: Any) -> dict[str, Callable[[], Any]]:
    drawings: dict[str, Callable[[], Any]] = {}
    if hasattr(found, "plot_confusion_matrix"):
        drawings["confusion_matrix.png"] = found.plot_confusion_matrix
    if hasattr(found, "plot_residuals"):
        drawings["residuals.png"] = found.plot_residuals
    if "train" in learner.data.splits:
        drawings["samples.png"] = lambda: show_batch(learner, ITEMS)
    drawings["results.png"] = lambda: show_results(learner, ITEMS, None) if found is None else found.plot_results(ITEMS)
    if found is not None and found.losses is not None:
        drawings["worst.png"] = lambda: found.plot_top_losses(ITEMS)
    return drawings


def _most(learner: Learner) -> int:
    split = learner.data.judged()
    return MOST if isinstance(split, ColumnSplit) and split.x.in_memory else MOST_READ


def _tried(seen: Seen, name: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:  # a network's, a drawing's, a data set's own
        seen.failures.append(f"{name}: {_type_and_message(error)}")
        return None


def _page(learner: Learner, seen: Seen) -> bytes:
    from fastgpu.report.page import Picture, render

    drawn = [Picture(name=name, png=png, caption=CAPTIONS[name]) for name, png in seen.pictures.items()]
    return render(page_facts(learner, seen.interpretation, drawn)).encode()


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI)
    return stream.getvalue()


def _replace(file: Path, content: bytes) -> None:
    """Written beside and moved into place: a reader, such as an open browser, never sees half of it."""
    partial = file.with_name(file.name + ".partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, file)
    finally:  # where it could not be moved, nothing is left beside
        partial.unlink(missing_ok=True)


def _type_and_message(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _warn(seen: Seen) -> None:
    if seen.failures:
        warnings.warn(f"Left out of the run's pictures and report: {'; '.join(seen.failures)}", stacklevel=2)
