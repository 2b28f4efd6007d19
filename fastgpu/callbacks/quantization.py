"""QuantizationAwareTraining: a network learns to compute with whole numbers while it trains."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn

from fastgpu.callbacks.base import CALLBACKS
from fastgpu.callbacks.compressing import compare_last_epoch_only, network_in, refuse_after_averaging, share_done
from fastgpu.callbacks.distillation import Distillation, unsuited
from fastgpu.compress.names import ignored_names
from fastgpu.compress.quantize import TARGETS, prepare, quantized_layers, settle
from fastgpu.config import known_keywords
from fastgpu.errors import ArgumentError, UnknownNameError

__all__ = ["QuantizationAwareTraining"]


def _agree(trainer: Trainer, net: nn.Module) -> None:
    """Give all processes the ranges of the first: each has seen another share of the items."""
    if trainer.world_size > 1:
        ranges: Any = [layer.input_range for layer in quantized_layers(net).values()]
        shared = trainer.strategy.broadcast([(each.low, each.high, each.batches) for each in ranges])
        for each, values in zip(ranges, shared):
            for own, value in zip((each.low, each.high, each.batches), values):
                own.copy_(value)


@CALLBACKS.register("quantization_aware_training")
class QuantizationAwareTraining(Callback):
    """Round weights and inputs of convolutions and linear layers in training as the int8 file will (Jacob et al., 2018,
    https://arxiv.org/abs/1712.05877).

    Start from trained weights, with about a tenth of their learning rate. Validation, and the network after the fit, are the
    simulated int8 network: parameters keep names and shapes, ranges of inputs are buffers beside them, and
    `fastgpu.compress.quantize.finalize(net)` makes it an ordinary network again. The Learner keeps the last epoch's weights.

    Args:
        bits: bits of a weight, 2 to 8; inputs have 8.
        start: share of the fit, 0 to 1, after which values are rounded; before it ranges are observed alone.
        freeze_at: share of the fit after which ranges stay as they are.
        distill: learn from the network as it was before, too (`Distillation`); a LightningModule of your own that it does not suit
            learns without, and a warning says so.
        target: `"cpu"`; `"tensorrt"` with inputs symmetric around 0; or `"cuda"`, as torchao's kernels take linear layers.
        ignore: names of layers, or parts of the network, that stay as they are.
    """

    @known_keywords
    def __init__(
        self,
        bits: int = 8,
        *,
        start: float = 0.0,
        freeze_at: float = 0.7,
        distill: bool = True,
        target: str = "cpu",
        ignore: str | Collection[str] | None = (),
    ) -> None:
        if not isinstance(bits, int) or not 2 <= bits <= 8:
            raise ArgumentError(f"bits is a whole number, 2 to 8. {bits!r} came. 8 is what processors compute with.")
        if target not in TARGETS:
            raise UnknownNameError("target", str(target), TARGETS)
        if not all(isinstance(v, (int, float)) for v in (start, freeze_at)) or not 0 <= start < freeze_at <= 1:
            raise ArgumentError(f"start and freeze_at are shares of the fit, 0 <= start < freeze_at <= 1. {start!r} and {freeze_at!r} came.")
        self.bits, self.start, self.freeze_at, self.target = bits, start, freeze_at, target
        if not isinstance(distill, bool):
            raise ArgumentError(f"distill is True or False. {distill!r} came. For a teacher of your own add Distillation(teacher), with distill=False.")
        self.ignore = ignored_names(ignore)
        self.distillation = Distillation() if distill else None
        self._phase: tuple[bool, bool] | None = None

    def state_dict(self) -> dict[str, Any]:
        return self.distillation.state_dict() if self.distillation else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.distillation:
            self.distillation.load_state_dict(state_dict)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":  # before a checkpoint is read and the optimizer is made
            refuse_after_averaging(self, trainer)
            if self.distillation:
                self.distillation.setup(trainer, pl_module, stage)
            prepare(network_in(pl_module), bits=self.bits, target=self.target, ignore=self.ignore)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._phase = None
        if self.distillation and (why := unsuited(pl_module)):
            rank_zero_warn(f"QuantizationAwareTraining learns without a teacher here: {why}. Give distill=False, and this line goes.")
        elif self.distillation:
            self.distillation.on_fit_start(trainer, pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        share = share_done(trainer, pl_module)
        phase = (share < self.freeze_at, share >= self.start)
        if phase != self._phase:
            self._phase = phase
            settle(network_in(pl_module), observing=phase[0], simulating=phase[1])

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        compare_last_epoch_only(pl_module)
        _agree(trainer, network_in(pl_module))
        settle(network_in(pl_module), observing=False, simulating=True)
        self._phase = None

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _agree(trainer, network_in(pl_module))
        self._end(pl_module)
        if self.distillation:
            self.distillation.on_fit_end(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._end(pl_module)
        if self.distillation:
            self.distillation.on_exception(trainer, pl_module, exception)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.distillation:
            self.distillation.teardown(trainer, pl_module, stage)

    def _end(self, pl_module: LightningModule) -> None:
        settle(network_in(pl_module), observing=False, simulating=True)
