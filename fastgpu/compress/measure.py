"""Measuring a network: parameters, multiplications, time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from fastgpu.compress.structure import as_example

__all__ = ["Latency", "alternate", "evaluating", "latency", "macs", "one_thread", "parameters"]


class Latency(NamedTuple):
    """Milliseconds of CPU time of one thread.

    Args:
        median: of all rounds.
        spread: from the lower quartile to the upper.
        threads: how many threads ran.
    """

    median: float
    spread: float
    threads: int = 1


def parameters(net: nn.Module) -> int:
    """How many parameters a network has; tied ones count once.

    Example:
        >>> parameters(torch.nn.Linear(3, 4))
        16
    """
    return sum(p.numel() for p in net.parameters())


def macs(net: nn.Module, example_inputs: Any) -> float:
    """Multiplications with addition that one item takes in the forward pass, in evaluation mode.

    They are counted by `torch.utils.flop_counter`, which knows products of matrices, convolutions and attention;
    what acts on each value alone is not counted.

    Args:
        net: the network; its mode is put back.
        example_inputs: what it is called with; the first tensor's first dimension is how many items there are.

    Example:
        >>> macs(torch.nn.Linear(3, 4), torch.randn(2, 3))
        12.0
    """
    from torch.utils.flop_counter import FlopCounterMode

    example = as_example(example_inputs)
    # With gradients: without them the counter fails at a layer that gives a view of its own weight, as a [CLS] token does.
    with evaluating(net), torch.random.fork_rng(), torch.enable_grad(), FlopCounterMode(display=False) as counter:
        example.call(net)
    return counter.get_total_flops() / 2 / example.items


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every module's own mode is put back."""
    modes = [(module, module.training) for module in net.modules()]
    try:
        net.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


def latency(function: Callable[[], Any], rounds: int = 20, *, seconds: float = 4.0) -> Latency:
    """CPU time of a call, with one thread, so that other work on the machine does not count.

    Args:
        function: what is timed; called without arguments.
        rounds: calls that are timed, after some that are not.
        seconds: CPU time after which there are no more, once three are done.

    Example:
        >>> latency(lambda: sum(range(10)), 3).threads
        1
    """
    return alternate([function], rounds, seconds=seconds)[0]


def alternate(
    functions: Sequence[Callable[[], Any]], rounds: int = 20, *, seconds: float = 4.0, clock: Callable[[], int] = time.process_time_ns
) -> list[Latency]:
    """Time of calls that take turns: what slows the machine for a while slows all of them.

    Args:
        functions: what is timed.
        rounds: calls of each that are timed, after one that is not.
        seconds: time after which there are no more rounds, once three are done.
        clock: nanoseconds; CPU time, if none is given.
    """
    times: list[list[float]] = [[] for _ in functions]
    with one_thread():
        for function in functions:
            function()
        began = clock()
        for i in range(rounds):
            for function, mine in zip(functions, times):
                start = clock()
                function()
                mine.append((clock() - start) / 1e6)
            if i >= 2 and clock() - began > seconds * 1e9:
                break
    return [_of(mine) for mine in times]


def _of(times: list[float]) -> Latency:
    lower, _, upper = statistics.quantiles(times, n=4) if len(times) > 1 else (times[0],) * 3
    return Latency(statistics.median(times), upper - lower)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread for a while."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
