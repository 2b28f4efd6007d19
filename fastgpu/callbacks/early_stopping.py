"""EarlyStopping: ends a fit when its best epoch is long past."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from lightning.pytorch import Callback, Trainer

from fastgpu.callbacks.base import CALLBACKS
from fastgpu.errors import ArgumentError

__all__ = ["EarlyStopping"]


@CALLBACKS.register("early_stopping")
class EarlyStopping(Callback):
    """Stop when the monitored value has not improved for `patience` epochs of this fit.

    It reads the history, so it holds no state: a second fit starts counting anew and a resumed one goes on.

    Args:
        patience: epochs without improvement, at least 1.
        monitor: key of the history, for example `"val_loss"`; None: what the best epoch is chosen by.
        higher_is_better: direction of `monitor`; needed for a key whose metric does not tell.
    """

    def __init__(self, patience: int = 5, *, monitor: str | None = None, higher_is_better: bool | None = None) -> None:
        if not isinstance(patience, Integral) or isinstance(patience, bool) or patience < 1:
            raise ArgumentError(f"patience is a whole number of epochs, at least 1. {patience!r} came. Give for example patience=5.")
        self.patience, self.monitor, self.higher_is_better = int(patience), monitor, higher_is_better

    def check(self, module: Any, validated: bool) -> None:
        """Say before training if what is monitored will not be there.

        Args:
            module: the LightningModule that will train.
            validated: whether there is a val split.
        """
        key = self.monitor or module.monitor[0]
        if key.startswith("val_") and not validated:
            raise ArgumentError(f"patience looks at {key}. The data have no val split. Give validation_split=0.2, or validation data.")

    def on_history_row(self, trainer: Trainer, module: Any, row: dict[str, float]) -> None:
        """Called with each epoch's row."""
        key, higher = module.monitor
        if self.monitor is not None:
            higher = module.direction(self.monitor) if self.higher_is_better is None else self.higher_is_better
            key = self.monitor
        if key not in row and key.removeprefix("val_") in module.val_metrics and module.decode_every > 1:
            return  # an epoch whose predictions were not looked at
        if key not in row:
            raise ArgumentError(f"EarlyStopping monitors a key of the history. {key!r} is none: {', '.join(row)}. Name one of these.")
        best = module.history.since(module.plan.first).best(key, higher_is_better=higher)
        if best is not None and row["epoch"] - best["epoch"] >= self.patience:
            trainer.should_stop = True
            module.stopped = f"{self.patience} epochs without a better {key} (patience)"
