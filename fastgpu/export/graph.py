"""The module that is exported: preparation, network and decoding in one, called with tensors and giving tensors."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.compress.quantize import finalize
from fastgpu.errors import ExportError, FastGPUError
from fastgpu.export.reasons import why_not
from fastgpu.inputs.base import Input
from fastgpu.nn.adapters import adapt
from fastgpu.tasks.base import Task

__all__ = ["Graph", "columns_of", "is_half", "tracing"]

HOST = ("original_size",)
"""Columns of a batch that only say how a prediction is brought back to the item as it came; a graph does not take them."""

CHECKS = "TRANSFORMERS_DISABLE_TORCH_CHECK"
"""transformers' own switch for its checks of values, which no graph can hold."""


class Graph(nn.Module):
    """A network with what stands before and after it, on the CPU, in evaluation mode, with weights of its own.

    Args:
        net: the network; a copy of it is kept, the quantized layers of which are ordinary ones with rounded weights.
        input: the fitted input, whose preparation comes first.
        task: the fitted task, whose `in_graph` comes last.
        example: a batch's `x` of at least one item, by which the outputs are found.

    Attributes:
        inputs: names of the arguments, in order: the columns of a batch's `x` as `input.encode` stores them.
        outputs: names of what comes back, in order: what `task.in_graph` gives.

    Raises:
        ExportError: what the task gives is not made of tensors alone.
    """

    def __init__(self, net: nn.Module, input: Input, task: Task, example: Mapping[str, Any]) -> None:
        super().__init__()
        net = finalize(copy.deepcopy(net).cpu().eval())
        if is_half(net):
            net.float()  # few runtimes compute in half precision on a processor
        self.model = adapt(net.to(memory_format=torch.contiguous_format), input.keys)  # type: ignore[call-overload]
        self.preparation = input.preparation()
        weight = next((p for p in net.parameters() if p.is_floating_point()), None)
        if weight is not None:
            self.preparation.to(weight.dtype)
        self.task = task
        self.inputs = tuple(columns_of(example))
        self.outputs: tuple[str, ...] = ()
        self.eval().requires_grad_(False)
        with torch.no_grad():
            found = self.named(example)
        for name, value in found.items():
            if not isinstance(value, Tensor):
                raise ExportError(
                    f"An exported network gives tensors. {task.name} gives {name} as a {type(value).__name__}. "
                    "Keep the learner with learn.save, and predict with Learner.load."
                )
        self.outputs = tuple(found)

    def named(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A batch's `x` -> the outputs by name."""
        return self.task.in_graph(self.model, self.preparation({name: x[name] for name in self.inputs}))

    def forward(self, *columns: Tensor) -> tuple[Tensor, ...]:
        """Columns in the order of `inputs`, each `(b, ...)` -> the outputs in the order of `outputs`, each `(b, ...)`."""
        found = self.named(dict(zip(self.inputs, columns)))
        return tuple(found[name] for name in self.outputs)


def is_half(net: nn.Module) -> bool:
    """Whether the weights of a network are held in half precision."""
    return any(p.dtype in (torch.bfloat16, torch.float16) for p in net.parameters())


def columns_of(x: Mapping[str, Any]) -> dict[str, Tensor]:
    """The columns of a batch's `x` that a graph takes."""
    return {name: value for name, value in x.items() if isinstance(value, Tensor) and name not in HOST}


@contextlib.contextmanager
def tracing(graph: Graph, format: str) -> Iterator[None]:
    """While a graph is traced: torch's shortcuts for evaluation off, and a failure of the tracer in one line.

    Raises:
        ExportError: the network cannot be traced, or the format lacks one of its operations.
    """
    shortcuts, logged, checks = torch.backends.mha.get_fastpath_enabled(), logging.root.manager.disable, os.environ.get(CHECKS)
    torch.backends.mha.set_fastpath_enabled(False)  # its one operation is known to no other runtime
    logging.disable(logging.CRITICAL)
    os.environ[CHECKS] = "1"
    said = io.StringIO()  # tracers print whole graphs where they fail
    try:
        with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            warnings.simplefilter("ignore")  # of tracers about themselves
            yield
    except FastGPUError:
        raise
    except Exception as error:  # they fail in as many ways as there are networks
        raise ExportError(why_not(error, type(graph.model.net).__name__, format)) from error
    finally:
        logging.disable(logged)
        if checks is None:
            del os.environ[CHECKS]
        else:
            os.environ[CHECKS] = checks
        torch.backends.mha.set_fastpath_enabled(shortcuts)
