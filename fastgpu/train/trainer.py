"""The Trainer: a new one for every fit, evaluation and prediction, quiet, and without files of its own."""

from __future__ import annotations

import atexit
import contextlib
import copy
import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from fastgpu.errors import ArgumentError
from fastgpu.train.hardware import Hardware

__all__ = ["Interrupts", "interruptible", "make_trainer", "quiet", "restarted"]


def make_trainer(
    hardware: Hardware, *, strategy: Any = "auto", callbacks: Sequence[Callback] = (), **settings: Any
) -> Trainer:
    """A Trainer with Lightning's own output switched off.

    Args:
        hardware: what `hardware.choose` resolved.
        strategy: Lightning's name of a strategy, or the object.
        callbacks: callbacks of this run.
        **settings: further arguments of Lightning's Trainer.

    Raises:
        ArgumentError: Lightning does not take the combination; its own words say why.
    """
    if not _has_group():  # one that is there already belongs to whoever made it
        atexit.unregister(_end_group)
        atexit.register(_end_group)
    try:
        with quiet():
            return Trainer(
                accelerator=hardware.accelerator,
                devices=hardware.devices,
                num_nodes=hardware.num_nodes,
                precision=hardware.precision,
                # A strategy belongs to one Trainer; the user's object stays fresh for the next.
                strategy=strategy if isinstance(strategy, str) else copy.deepcopy(strategy),
                callbacks=list(callbacks),
                logger=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
                **settings,
            )
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise ArgumentError(f"Lightning's Trainer does not take these settings: {error}") from error


def _has_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _end_group() -> None:
    """End the threads of a process group while Python is whole.

    Lightning does so for NCCL alone. A thread of Gloo that lets go of its last tensor after Python has begun to end aborts the
    process (4 of 50 runs of two processes).
    """
    if _has_group():
        torch.distributed.destroy_process_group()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back Lightning's advice while a run lasts: our loaders, logging and checkpoints make it moot."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.(pytorch|fabric)")
        warnings.filterwarnings("ignore", message=r".*(num_workers|log_every_n_steps|sync_dist|isinstance\(treespec).*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)


class Interrupts:
    """Holds a Ctrl-C from an epoch's row until its checkpoints are written: a row that is shown is kept. A second one ends at once."""

    def __init__(self) -> None:
        self._holds = self._waits = False

    def hold(self) -> None:
        """From here on the first Ctrl-C waits."""
        self._holds = True

    def release(self) -> None:
        """Answer the one that waits, if any, and those that come from here on."""
        waits, self._holds, self._waits = self._waits, False, False
        if waits:
            signal.raise_signal(signal.SIGINT)

    def handler(self, answer: Callable[..., Any]) -> Callable[..., Any]:
        """A signal handler that holds one interrupt back where it should, and else answers as before."""

        def hear(signum: int, frame: Any) -> None:
            if self._holds and not self._waits:
                self._waits = True
            else:
                answer(signum, frame)

        return hear


@contextlib.contextmanager
def interruptible(trainer: Trainer, interrupts: Interrupts | None = None) -> Iterator[None]:
    """Within, Ctrl-C is a KeyboardInterrupt: Lightning would make a SystemExit of it, which ends scripts without a word.

    Args:
        interrupts: what holds it back for a while.
    """
    heard, here = signal.getsignal(signal.SIGINT), threading.current_thread() is threading.main_thread()
    try:
        if interrupts is not None and callable(heard) and here:
            signal.signal(signal.SIGINT, interrupts.handler(heard))
        yield
    except SystemExit:
        if not trainer.interrupted:
            raise
        raise KeyboardInterrupt from None
    finally:
        # Lightning turns a deaf ear while it shuts down, and keeps it where the interrupt came before its own set-up.
        if heard is not None and here:
            signal.signal(signal.SIGINT, heard)


def restarted(callbacks: Sequence[Callback]) -> None:
    """Make Lightning's `EarlyStopping` count afresh: its patience would run on from the last fit's end otherwise."""
    for callback in callbacks:
        if isinstance(callback, EarlyStopping):
            fresh = EarlyStopping(callback.monitor, mode=callback.mode)
            callback.wait_count, callback.stopped_epoch, callback.best_score = 0, 0, fresh.best_score
