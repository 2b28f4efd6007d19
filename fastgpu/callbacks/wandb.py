"""WandB: Weights & Biases as a callback, with settings of its own."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from fastgpu.callbacks.base import CALLBACKS
from fastgpu.callbacks.log_rows import LogRows
from fastgpu.callbacks.trackers.wandb import WandBLogger
from fastgpu.config import known_keywords
from fastgpu.errors import ArgumentError, UnknownNameError

__all__ = ["WandB"]

MODES = ("online", "offline", "shared", "disabled")
MODELS = ("best", "all")


@CALLBACKS.register("wandb")
class WandB(LogRows):
    """Log to a run of Weights & Biases: losses and metrics, charts, tables of items, the model.

    `Learner(..., logger="wandb")` is the same with every default. In a Lightning Trainer of your own it logs what the module logs,
    and what a step tells. A run is finished when a fit ends, however it ends, and the next fit goes on in it; so does one that
    goes on from a checkpoint. There is never a prompt: without a key, or without a server, the run stays on the disk.

    Args:
        project: name of the project; None: `$WANDB_PROJECT`, else `"fastgpu"`.
        entity: user or team that the project belongs to; None: the key's own.
        name: name of the run; None: that of the run folder.
        group: name under which runs are shown together.
        tags: words to find the run by.
        mode: `"online"`, `"offline"`, `"shared"` or `"disabled"`; None: `$WANDB_MODE`, else online where there is a key.
        log_model: `"best"`: the best weights as an artifact when a fit ends; `"all"`: also the last, with the training state;
            False or None: no model.
        predictions: items in the tables of predictions and of the worst ones, 0 for no tables.
        every: optimizer steps from one logged step to the next.

    Raises:
        ArgumentError: a value is none of these.

    Example:
        >>> WandB("photos", log_model=None, every=10).loggers[0].name
        'photos'
    """

    @known_keywords
    def __init__(
        self,
        project: str | None = None,
        *,
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: str | Sequence[str] = (),
        mode: str | None = None,
        log_model: str | bool | None = "best",
        predictions: int = 36,
        every: int = 50,
    ) -> None:
        if isinstance(log_model, bool):
            log_model = "best" if log_model else None
        for what, value, known in (("mode of WandB", mode, MODES), ("log_model of WandB", log_model, MODELS)):
            if value is not None and value not in known:
                raise UnknownNameError(what, value, known)
        for what, value, least in (("predictions", predictions, 0), ("every", every, 1)):
            if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
                raise ArgumentError(f"{what} is a whole number, at least {least}. {value!r} came. Give such a number.")
        words = (tags,) if isinstance(tags, str) else tuple(tags)
        options: dict[str, Any] = {"entity": entity, "name": name, "group": group, "tags": words, "mode": mode}
        logger = WandBLogger(project, **options, log_model=log_model, predictions=int(predictions), every=int(every))
        super().__init__([logger], None)
        self.loggers = [logger]
