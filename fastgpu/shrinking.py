"""Shrinking a learner's network, and measuring what it gained."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fastgpu.callbacks.base import as_callback
from fastgpu.callbacks.compressing import network_example
from fastgpu.callbacks.pruning import Pruning
from fastgpu.compress.measure import alternate, macs, parameters
from fastgpu.compress.prune import Pruned
from fastgpu.compress.report import CompressionReport
from fastgpu.compress.structure import Example
from fastgpu.errors import ArgumentError
from fastgpu.fit_planning import plan_fit
from fastgpu.fitting import run_fit
from fastgpu.judging import evaluate
from fastgpu.train.preflight import check_batch

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["BATCHES", "add_latencies", "example_of", "measured", "run_prune"]

BATCHES = (1, 32)
"""Items of the batches whose latency is measured."""


def run_prune(
    learner: Learner, amount: float, epochs: int, lr: float | None, callbacks: Sequence[Any], options: dict[str, Any]
) -> CompressionReport:
    """Prune in a fit, and measure before and after; see `Learner.prune`."""
    if any(isinstance(as_callback(each), Pruning) for each in (*learner.callbacks, *callbacks)):
        raise ArgumentError("prune brings its own Pruning callback. There is one among the callbacks already. Call fit, which prunes with that.")
    pruning, plan = Pruning(amount, **options), plan_fit(learner, epochs, lr, "constant")
    learner.refuse_missing()
    report = CompressionReport(f"{learner.architecture} on {learner.data.name}, timed in torch")
    example = example_of(learner)
    report.add("as it came", **measured(learner, learner.module, example))
    before = copy.deepcopy(learner.module)
    run_fit(learner, plan, callbacks=[*callbacks, pruning], resumable=False)
    report.add("pruned", **measured(learner, learner.module, example))
    add_latencies(report, [before, learner.module], example)
    if pruning.pruned is None:
        report.note("The fit was interrupted before its end: nothing is cut yet.")
    else:
        _explain(report, pruning.pruned, learner.module)
    learner.say(str(report))
    return report


def example_of(learner: Learner, items: int = max(BATCHES)) -> Example:
    """What the learner's network is called with for a batch; few items are repeated until they are enough."""
    module, batch = learner.task_module(), learner.data.judged().head(items)
    return network_example(module.model, lambda: check_batch(module, batch)).of_items(items)  # type: ignore[arg-type]


def measured(learner: Learner, net: nn.Module, example: Example) -> dict[str, Any]:
    """The task's own metric, parameters, an item's multiplications, and the size of the weights' file."""
    key = learner.task_module().monitor[0].removeprefix("val_")
    metric = evaluate(learner)[key]
    return {key: metric, "parameters": parameters(net), "macs": macs(net, example), "size_kb": len(_file(net)) / 1024}


def add_latencies(report: CompressionReport, nets: Sequence[nn.Module], example: Example) -> None:
    """Time the network of each step of a report, in turns, so that a busy machine is the same for all."""
    copies = [copy.deepcopy(net).cpu().eval() for net in nets]
    for items in BATCHES:
        given = example.of_items(items)
        with torch.no_grad():
            found = alternate([partial(given.call, net) for net in copies])
        for step, each in zip(report.steps, found):
            step |= {f"latency_{items}_ms": each.median, f"spread_{items}_ms": each.spread, "threads": each.threads}


def _file(net: nn.Module) -> bytes:
    from safetensors.torch import save

    stored = {t.data_ptr(): (name, t) for name, t in net.state_dict().items()}  # tied weights are stored once
    return save({name: t.detach().cpu().contiguous() for name, t in stored.values()})


def _explain(report: CompressionReport, pruned: Pruned, net: nn.Module) -> None:
    report.note(str(pruned))
    reasons: dict[str, list[str]] = {}
    for name, reason in pruned.left.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        report.note(f"left as it was: {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}: {reason}")
    if pruned.method != "structured":
        file = _file(net)
        report.note(f"zeros gain nothing on a CPU, in latency or memory; zipped the file is {len(zlib.compress(file, 1)) / len(file):.0%} as large")
