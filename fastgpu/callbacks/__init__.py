"""Callbacks: ordinary Lightning callbacks, and the loop in which they are called.

The loop of one `fit`, with every hook in its place (`trainer` and `module` go to each):

    setup(stage="fit")                     the run folder is made here
    on_fit_start                           state of an earlier fit is reset here, so one object serves two fits
    on_train_start
    for each epoch:
        on_train_epoch_start               generators are seeded by (seed, epoch)
        for each chunk:                    a chunk is one batch, or several small ones
            on_train_batch_start
            for each batch of the chunk:
                forward, loss
                on_before_backward, on_after_backward
                every `accumulate` batches:
                    on_before_optimizer_step
            on_train_batch_end
        on_validation_epoch_start          where there is a val split
            on_validation_batch_start, on_validation_batch_end
        on_validation_epoch_end            val_loss and val_ metrics are in trainer.callback_metrics
        on_train_epoch_end                 loss and metrics too
        on_history_row(row)                FastGPU's own hook: the epoch's row, plain floats, is in module.history
        checkpoints are written            subclasses of Lightning's Checkpoint come last
    on_train_end, on_fit_end
    teardown(stage="fit")

A callback that has a method `on_history_row(trainer, module, row)` gets each row. Never name a hook `log` or
`log_dict`: Lightning overwrites both on every callback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastgpu.callbacks.distillation import Distillation
    from fastgpu.callbacks.early_stopping import EarlyStopping
    from fastgpu.callbacks.progress import Progress
    from fastgpu.callbacks.pruning import Pruning
    from fastgpu.callbacks.quantization import QuantizationAwareTraining
    from fastgpu.callbacks.wandb import WandB

__all__ = ["Distillation", "EarlyStopping", "Progress", "Pruning", "QuantizationAwareTraining", "WandB"]

if not TYPE_CHECKING:
    _HOMES = {
        "Distillation": "distillation",
        "EarlyStopping": "early_stopping",
        "Progress": "progress",
        "Pruning": "pruning",
        "QuantizationAwareTraining": "quantization",
        "WandB": "wandb",
    }

    def __getattr__(name: str) -> Any:
        import importlib

        from fastgpu.errors import UnknownNameError

        if name in _HOMES:
            return getattr(importlib.import_module(f"fastgpu.callbacks.{_HOMES[name]}"), name)
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(str(UnknownNameError("callback", name, _HOMES)))

    def __dir__() -> list[str]:
        return __all__
