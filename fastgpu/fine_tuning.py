"""Fine-tuning: the head alone, then all layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastgpu.errors import ArgumentError
from fastgpu.fit_planning import plan_fit
from fastgpu.fitting import run_fit
from fastgpu.history import History

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["run_fine_tune"]


def run_fine_tune(
    learner: Learner, epochs: int, base_lr: float | None, freeze_epochs: int, lr_mult: float, callbacks: Sequence[Any]
) -> History:
    """Train the head, then everything; see `Learner.fine_tune`."""
    if not isinstance(lr_mult, (int, float)) or not 1 <= lr_mult < math.inf:
        raise ArgumentError(f"lr_mult is a number, at least 1. {lr_mult!r} came. Give for example lr_mult=100.")
    plan_fit(learner, epochs, base_lr, "one_cycle")  # what is wrong with the second part is said before the first
    first = len(learner.history)
    base_lr = learner.lr if base_lr is None else base_lr
    learner.history.interrupted = False
    if not learner.pretrained and not learner.history.rows:
        learner.say(f"fine_tune: {learner.architecture} starts from random weights; pretrained='auto' gives it trained ones")
    if freeze_epochs:
        plan = plan_fit(learner, freeze_epochs, base_lr, "one_cycle")
        trained = [p for p in learner.module.parameters() if p.requires_grad]
        learner.freeze()
        try:
            run_fit(learner, plan, callbacks=callbacks)
        finally:
            for parameter in trained:  # what the user froze stays frozen
                parameter.requires_grad_(True)
    if not learner.history.interrupted:
        plan = plan_fit(learner, epochs, base_lr / 2, "one_cycle", (1 / lr_mult, 1 / math.sqrt(lr_mult), 1.0))
        run_fit(learner, plan, callbacks=callbacks)
    return learner.history.since(first)
