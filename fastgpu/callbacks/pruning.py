"""Pruning: channels or weights go while a network trains, and are cut out at the end."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from fastgpu.callbacks.base import CALLBACKS
from fastgpu.callbacks.compressing import compare_last_epoch_only, endless, network_example, network_in, share_done
from fastgpu.compress.importance import check_importance
from fastgpu.compress.masks import Masks, check_amount, check_round_to
from fastgpu.compress.measure import parameters
from fastgpu.compress.names import check_ignored, ignored_names, unknown_part
from fastgpu.compress.prune import METHODS, Pruned, make_masks
from fastgpu.compress.schedule import SCHEDULES
from fastgpu.compress.structure import Example
from fastgpu.config import known_keywords
from fastgpu.errors import ArgumentError, ModelError, UnknownNameError
from fastgpu.train.module import TaskModule

__all__ = ["Pruning"]

EVERY = 10
"""Optimizer steps from one choice of what is masked to the next; masks are held after every step."""


@CALLBACKS.register("pruning")
class Pruning(Callback):
    """Prune while training: masks grow by a schedule, and at the end of the fit the network becomes smaller.

    While it trains, what is pruned is held at zero after each step of the optimizer: shapes and names stay, so the
    optimizer, averaging, several processes, checkpoints and resuming know nothing of it. When the fit ends, after any
    averaging put its weights in, the zeros are cut out (`method="structured"`), and the network computes what it did.
    An optimizer made before then holds the old parameters.

    It works in a plain Lightning `Trainer` too. The network is the only child of the LightningModule that has
    parameters, else the LightningModule itself (whose `forward` is then what is followed), or the one that `network`
    names. Checkpoints of the fit hold the masked network; after the fit, the smaller one, which
    `fastgpu.compress.reshape.fit_to(fresh, state_dict)` loads into.

    A second fit with the same object and network keeps what was pruned and prunes no further: `amount` is counted from
    the network as it first came. A fit that ends early cuts what it had come to.

    Args:
        amount: share of each group's channels, or of each layer's weights, that goes; above 0 and below 1.
        method: `"structured"` channels and heads; `"unstructured"` single weights; `"2:4"` two of four weights side by
            side. The latter two leave size and latency on a CPU as they were.
        schedule: `"cubic"` (Zhu and Gupta, 2017), or `"constant"`: all at `start`.
        start: share of the fit after which pruning begins.
        end: share of the fit after which all is pruned; the rest of it mends.
        importance: `"l1"`, `"l2"` or `"taylor"`; see `fastgpu.compress.importance`.
        round_to: channels that stay are a multiple of this.
        ignore: names of modules of the network whose own channels stay.
        network: dotted name of the network within a LightningModule of one's own, or of a part of the Learner's `module`.

    Attributes:
        pruned: after a fit, a `fastgpu.compress.Pruned`: what went, and what stayed and why. None before.

    Example:
        >>> from fastgpu import Learner
        >>> from fastgpu.callbacks import Pruning
        >>> learn = Learner("mlp", "digits", verbose=False, out=tmp)
        >>> pruning = Pruning(0.5)
        >>> history = learn.fit(4, callbacks=pruning)
        >>> print(pruning.pruned)
        pruned: 50% of the channels of 1 group, parameters 9,610 -> 4,810
    """

    @known_keywords
    def __init__(
        self,
        amount: float = 0.5,
        *,
        method: str = "structured",
        schedule: str = "cubic",
        start: float = 0.0,
        end: float = 0.6,
        importance: str = "l2",
        round_to: int = 8,
        ignore: Any = (),
        network: str | None = None,
    ) -> None:
        if method not in METHODS:
            raise UnknownNameError("method of pruning", method, METHODS)
        if schedule not in SCHEDULES:
            raise UnknownNameError("schedule of pruning", schedule, SCHEDULES)
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (start, end))
        if not numbers or not 0 <= start < 1 or not start <= end <= 1:
            raise ArgumentError(
                f"start and end are shares of the fit, 0 to 1, start before end. {start!r} and {end!r} came. Give for example start=0.0, end=0.6."
            )
        self.amount, self.method, self.schedule, self.start, self.end = check_amount(amount), method, schedule, start, end
        self.importance, self.round_to = check_importance(importance), check_round_to(round_to)
        self.ignore, self.network = ignored_names(ignore), network
        self.pruned: Pruned | None = None
        self._masks: Masks | None = None
        self._prepared: Masks | None = None
        self._state: dict[str, Any] = {}
        self._memory: tuple[weakref.ref[nn.Module], dict[str, Any]] | None = None  # the network of the last fit, and what was pruned
        self._handles: list[Any] = []

    def check(self, module: TaskModule, run: Callable[[], Any]) -> None:
        """Find what can be pruned before a fit begins; a plain Trainer's fit does so at its first step.

        Args:
            module: the LightningModule that will train.
            run: calls the network once.

        Raises:
            UnknownNameError: `ignore` or `network` names a module that is not there.
            ModelError: the network cannot be followed, or all of it is frozen.
        """
        net = self._network(module)
        check_ignored(net, self.ignore)
        adapter: Any = module.model
        if net is adapter.net:
            example = network_example(adapter, run)
        else:
            seen = _Seen()
            with net.register_forward_pre_hook(seen, with_kwargs=True):
                run()
            example = seen.example
        self._prepared = self._make(net, example)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._state = {}  # a checkpoint's comes after this

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.pruned, self._masks, self._steps, self._complete, self._seen = None, None, 0, False, _Seen()
        if endless(trainer):
            raise ArgumentError("Pruning grows over the whole fit. This Trainer's has no end. Give it max_epochs, max_steps or max_time.")
        self._net = self._network(pl_module)
        check_ignored(self._net, self.ignore)
        self._before = parameters(self._net)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        first = pl_module.plan.first if isinstance(pl_module, TaskModule) else self._state.get("first")
        if self._state.get("first") != first:  # nothing was restored, or a fit that was broken off, whose masks go on
            self._state = {"first": first, "masks": self._state.get("masks", {})}
        self._steps = self._state.get("steps", 0)
        if self._prepared is not None and self._prepared.net is self._net:
            self._take(self._prepared)
        else:
            self._handles.append(_called(pl_module, self._net).register_forward_pre_hook(self._seen, with_kwargs=True))
        self._prepared = None

        def after_step(*_: Any) -> None:
            self._after_step(trainer, pl_module)

        self._handles += [optimizer.register_step_post_hook(after_step) for optimizer in trainer.optimizers]

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._masks is not None and self._changes:
            compare_last_epoch_only(pl_module)

    def on_validation_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        if batch_idx == 0 and self._masks is not None:
            self._masks.apply()  # averaged weights that were swapped in do not know yet what is masked by now

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._release()
        if self._masks is None:
            return
        self._masks.finish()
        self.pruned = Pruned(self.method, self._before, parameters(self._net), self._masks.counts(), self._masks.left)
        self._memory = weakref.ref(self._net), self._masks.memory()
        self._masks = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._release()

    def state_dict(self) -> dict[str, Any]:
        if self._masks is None:
            return dict(self._state)
        return {**self._state, "steps": self._steps, "masks": self._masks.state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._state = dict(state_dict)

    def _after_step(self, trainer: Trainer, pl_module: LightningModule) -> None:
        masks = self._masks or self._take(self._make(self._net, self._seen.example))
        if self._state.get("first") is None:  # a plain Trainer's fit, which knows its epoch from here on
            self._state |= {"first": trainer.current_epoch, "first_step": trainer.global_step}
        first = self._state["first"], self._state.get("first_step", 0)
        share = SCHEDULES[self.schedule](share_done(trainer, pl_module, stepped=True, first=first), self.start, self.end)
        if self._steps % EVERY == 0 or (share == 1 and not self._complete):
            masks.update(share)
            self._complete = share == 1
        self._steps += 1
        masks.apply()

    def _make(self, net: nn.Module, example: Example | None) -> Masks:
        if example is None and self.method == "structured":
            raise ModelError(
                f"Pruning sees how the network is called. {type(net).__name__} was not called in the first step. "
                'Name the part that is: Pruning(network="its.name").'
            )
        return make_masks(
            net,
            example,
            method=self.method,
            amount=self.amount,
            importance=self.importance,
            round_to=self.round_to,
            ignore=self.ignore,
        )

    def _take(self, masks: Masks) -> Masks:
        """Begin with these masks: those of an earlier fit of the same network go on, and those of a checkpoint."""
        masks.bind()
        if self._memory is not None and self._memory[0]() is self._net:
            masks.follow(self._memory[1])
        self._changes = masks.pending
        masks.load(self._state.get("masks", {}))
        self._masks = masks
        return masks

    def _network(self, module: LightningModule) -> nn.Module:
        if self.network is not None:
            whole = network_in(module) if isinstance(module, TaskModule) else module
            known = dict(whole.named_modules())
            if self.network not in known:
                raise unknown_part("module in network", self.network, whole)
            net = known[self.network]
        else:
            net = network_in(module)
        return getattr(net, "_orig_mod", net)  # what torch.compile wraps

    def _release(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []


class _Seen:
    """Notes how a network is called first, with two items of the batch."""

    def __init__(self) -> None:
        self.example: Example | None = None

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.example is None:
            with torch.no_grad():
                self.example = Example(args, kwargs).of_items(2)


def _called(module: nn.Module, net: nn.Module) -> nn.Module:
    """The module whose call is the network's: a compiled one calls what it wraps without its hooks."""
    return next((m for m in module.modules() if getattr(m, "_orig_mod", None) is net), net)
