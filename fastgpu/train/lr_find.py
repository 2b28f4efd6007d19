"""The learning-rate range test (Smith 2017), on a copy: nothing of the learner changes."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fastgpu.data.loaders import like, split_steps
from fastgpu.data.module import DataModule
from fastgpu.errors import ArgumentError
from fastgpu.train.module import TaskModule
from fastgpu.train.reproducible import own_randomness

if TYPE_CHECKING:
    from fastgpu.figures import Figure

__all__ = ["LRSuggestion", "find_lr"]

DIVERGED = 4.0  # times the lowest smoothed loss: from there on only the explosion is seen
SMOOTHING = 0.9


@dataclasses.dataclass(frozen=True)
class LRSuggestion:
    """What a range test found.

    Args:
        valley: learning rate in the middle of the longest fall of the loss; the one to begin with.
        steep: learning rate where the loss falls fastest.
        rates: `(steps,)` learning rates tried.
        losses: `(steps,)` smoothed losses there.
    """

    valley: float
    steep: float
    rates: np.ndarray = dataclasses.field(repr=False)
    losses: np.ndarray = dataclasses.field(repr=False)

    def plot(self) -> Figure:
        """Loss against learning rate, with both suggestions."""
        from fastgpu.figures import Figure

        figure = Figure(figsize=(6, 3.6), layout="constrained")
        axes: Any = figure.subplots()
        axes.plot(self.rates, self.losses)
        for name in ("valley", "steep"):
            rate = getattr(self, name)
            axes.plot(rate, np.interp(rate, self.rates, self.losses), "o", label=f"{name} {rate:.2g}")
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss (smoothed)")
        axes.legend()
        axes.grid(alpha=0.3)
        return figure


def find_lr(
    module: TaskModule, data: DataModule, device: torch.device, *, start: float, end: float, steps: int
) -> LRSuggestion:
    """Train a copy for `steps` steps while the learning rate rises from `start` to `end`.

    Args:
        module: what would train; it is copied.
        data: where batches come from, from the start again where they run out.
        device: where to train the copy.
        start: first learning rate, above 0.
        end: last learning rate, above `start`.
        steps: steps at most, at least 10; it ends early when the loss explodes.
    """
    numbers = all(isinstance(v, (int, float)) for v in (start, end))
    if not numbers or not 0 < start < end or not isinstance(steps, int) or steps < 10:
        raise ArgumentError(f"lr_find needs 0 < start < end and at least 10 steps. start={start}, end={end}, steps={steps} came.")
    rates, losses = [], []
    with own_randomness(module.seed):
        trial = copy.deepcopy(module).train()
        trial.to(device)
        optimizer = trial.make_optimizer([{"params": [p for p in trial.model.parameters() if p.requires_grad], "lr": start}])
        smooth, lowest = 0.0, math.inf
        for step, (x, y) in enumerate(itertools.islice(_endless(trial, data, device), steps)):
            rate = start * (end / start) ** (step / (steps - 1))
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = trial.task.step(trial.model, x, y, trial.loss)[1]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            smooth = SMOOTHING * smooth + (1 - SMOOTHING) * loss.item()  # each step's loss decides whether to go on
            corrected = smooth / (1 - SMOOTHING ** (step + 1))
            if not math.isfinite(corrected) or (step > 10 and corrected > DIVERGED * lowest):
                break
            lowest = min(lowest, corrected)
            rates.append(rate)
            losses.append(corrected)
    return _suggest(np.array(rates), np.array(losses), start)


def _endless(trial: TaskModule, data: DataModule, device: torch.device) -> Any:
    for epoch in itertools.count():
        loader = data.split("train").loader(
            data.batch_size, shuffle=True, seed=trial.seed, epoch=lambda epoch=epoch: epoch, rank=0, world=1
        )
        for batch in loader:
            x, y = ({k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in batch[part].items()} for part in ("x", "y"))
            prepared = like(trial.preparation(x), next(trial.model.parameters()))
            yield from split_steps(prepared, y, batch["sizes"])


def _suggest(rates: np.ndarray, losses: np.ndarray, start: float) -> LRSuggestion:
    if len(rates) < 3:
        return LRSuggestion(start, start, rates, losses)
    steep = rates[int(np.argmin(np.gradient(losses, np.log(rates))))]
    begin, end = _longest_fall(losses)
    # Two thirds into the fall: past its slow beginning, before the floor.
    return LRSuggestion(float(rates[begin + (end - begin) * 2 // 3]), float(steep), rates, losses)


def _longest_fall(losses: np.ndarray) -> tuple[int, int]:
    """Ends of the longest run of points (not necessarily neighbours) that each lie below the one before."""
    length, first = np.ones(len(losses), int), np.arange(len(losses))
    for i in range(1, len(losses)):
        above = np.flatnonzero(losses[:i] > losses[i])
        if len(above):
            j = above[int(np.argmax(length[above]))]
            length[i], first[i] = length[j] + 1, first[j]
    last = int(np.argmax(length))
    return int(first[last]), last
