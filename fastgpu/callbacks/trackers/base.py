"""The registry of trackers, and what a tracker may do beyond a Lightning logger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastgpu.registry import Registry

__all__ = ["INTERRUPTED", "TRACKERS", "Tracker"]

TRACKERS: Registry[Callable[[Path, dict[str, Any]], Any]] = Registry("logger", "fastgpu.callbacks.trackers")
"""Name -> function of (run folder, settings) that gives a Lightning logger."""

INTERRUPTED = 255
"""Exit code of a fit that was stopped by hand: Weights & Biases calls such a run killed."""


class Tracker:
    """What a Lightning logger may have besides; each of these is called where a logger has it, and does nothing here.

    A logger that raises is left out from then on, with one warning; training goes on.

    Attributes:
        every: optimizer steps from one call of `log_step` to the next.
        group: name of several trainings that belong together, such as the trials of a search; None: it stands alone.
        announces: whether it says where its run is; of such trainings only the first does.
        project: what tells it from others of its class in one learner, where there is such a thing.
        shared: what the trackers of one learner, and of trainings that belong together, let each other know.
    """

    every: int = 50
    group: str | None = None
    announces: bool = True
    project: str = ""
    shared: dict[str, Any]

    def anew(self) -> Tracker | None:
        """One with the same settings for another training; None where there cannot be one."""
        return None

    def begin(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """A fit begins; a checkpoint has been read, where it goes on from one.

        Args:
            folder: the run's folder.
            facts: settings, data, versions, parameters: plain data.
        """

    def log_step(self, row: Mapping[str, float], step: int) -> None:
        """Values between two epochs: `loss`, `lr`, `grad_norm`, `items_per_second`, `memory_mb`, those that there are.

        Args:
            row: the values.
            step: optimizer steps done.
        """

    def log_best(self, row: Mapping[str, float], key: str) -> None:
        """The best epoch so far.

        Args:
            row: its row of the history.
            key: key of the history by which it is the best.
        """

    def log_fit(self, interpretation: Any, folder: Path) -> None:
        """A fit has ended and the network holds the best weights.

        Args:
            interpretation: what the network gets right and wrong, an `Interpretation`; None for a task that has none.
            folder: the run's folder, with pictures and checkpoints.
        """

    def log_report(self, report: Any) -> None:
        """The network was compressed.

        Args:
            report: the `CompressionReport`.
        """

    def end(self, exit_code: int) -> None:
        """Training is over, for now: a later fit begins again.

        Args:
            exit_code: 0, 1 after an error, `INTERRUPTED` after Ctrl-C.
        """

    def state_dict(self) -> dict[str, Any]:
        """Plain data that is kept in checkpoints."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take what `state_dict` gave in the fit that goes on."""
