"""What a learner gives to an export: items to try it on, the graph, the manifest; and what the learner itself says of the items."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import fastgpu
from fastgpu import zoo
from fastgpu.compress.quantize import finalize
from fastgpu.data.loaders import Batch, like
from fastgpu.data.split import ColumnSplit, Split
from fastgpu.errors import DataError
from fastgpu.export.base import Source
from fastgpu.export.graph import Graph, columns_of
from fastgpu.export.verify import Agreement, compare
from fastgpu.nn.adapters.detector import Detector
from fastgpu.nn.adapters.speaking import FEW
from fastgpu.nn.adapters.text_to_speech import Speaker
from fastgpu.train.reproducible import own_randomness

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["SAMPLES", "agreement_of", "by_learner", "make_source", "metrics_of", "samples_of"]

SAMPLES = 64
"""Items of the val split on which a file is compared with the learner."""

PICTURES = 4
"""Pictures that a Predictor looks for objects in at once: two steps hold 1,000 regions of each, up to 100 MB, and on CPUs more are no faster."""

SIZES = (1, 2, 29, 32)
"""Items of the batches that they come in: a file must take batches of any size."""


def samples_of(learner: Learner, most: int = SAMPLES) -> list[Batch]:
    """Items of the split that is judged, spread evenly over it, in batches of different sizes.

    Raises:
        DataError: the learner has no data, or fewer than two items.
    """
    if not learner.data.splits:
        raise DataError(
            "Export runs the network on a few items. The learner was loaded without data. Give Learner.load(path, data), and export from that."
        )
    split = learner.data.judged()
    parts: list[Batch] = []
    if isinstance(split, ColumnSplit):
        chosen = torch.linspace(0, len(split) - 1, min(most, len(split))).long()
        for part in chosen.split(_sizes(len(chosen))):
            y = {} if split.y is None else split.y.gather(part)
            parts.append({"x": split.x.gather(part), "y": y, "n": len(part), "sizes": [len(part)]})
    else:
        whole, at = split.head(most), 0
        for size in _sizes(whole["n"]):
            x, y = ({k: v[at : at + size] for k, v in whole[side].items()} for side in ("x", "y"))
            parts.append({"x": x, "y": y, "n": size, "sizes": [size]})
            at += size
    if sum(part["n"] for part in parts) < 2:
        raise DataError("Export runs the network on at least two items. The data have fewer. Give Learner.load(path, data) more of them.")
    return parts


def make_source(learner: Learner, batches: Sequence[Batch], tolerance: float, *, snap: bool = True) -> Source:
    """What every format is made from: the graph, an example, the manifest.

    Args:
        learner: the learner.
        batches: what `samples_of` gave.
        tolerance: largest difference that is allowed, for the manifest.
        snap: whether a quantized network's weights are rounded in the graph; else they are as they were trained, for a
            quantizer that rounds them itself.

    Raises:
        ExportError: the network or its task cannot be exported.
    """
    split = learner.data.judged()
    example = _example(split)
    net = learner.module if snap else finalize(copy.deepcopy(learner.module), snap=False)
    with own_randomness():
        graph = Graph(net, learner.data.input, learner.data.task, example)
    lengths = {}
    if isinstance(split, ColumnSplit) and split.x.lengths is not None:
        longest = max(value.shape[1] for value in example.values() if value.ndim > 1)
        lengths = {name: 1 for name, value in example.items() if value.ndim > 1 and value.shape[1] == longest}
    return Source(
        graph=graph,
        example=example,
        lengths=lengths,
        manifest=_manifest(learner, graph, tolerance),
        weights=learner.module.state_dict(),
        facts=learner.facts(None, learner.weights_epoch),
    )


def _example(split: Split) -> dict[str, Tensor]:
    """A few items as one batch, their number not that of any other size in it: a tracer takes equal sizes for the same one."""
    head = columns_of(split.head(7)["x"])
    taken = {size for value in head.values() for size in value.shape[1:]}
    most = len(next(iter(head.values())))
    count = next((n for n in (5, 7, 6, 4, 3, 2) if n <= most and n not in taken), most)
    return {name: value[:count].contiguous() for name, value in head.items()}


def _manifest(learner: Learner, graph: Graph, tolerance: float) -> dict[str, Any]:
    rows = [row for row in learner.history.rows if row["epoch"] == learner.weights_epoch]
    return {
        "fastgpu": fastgpu.__version__,
        "architecture": learner.architecture,
        "input": learner.data.input.to_dict(),
        "task": learner.data.task.to_dict(),
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "opset": None,
        "precision": "float32",
        "licence": zoo.find(learner.architecture)[1].licence if learner.from_zoo else None,
        "metrics": {key: value for key, value in (rows[-1] if rows else {}).items() if key.startswith("val_")},
        "tolerance": tolerance,
        **_at_once(learner.task_module().model),
    }


def _at_once(model: nn.Module) -> dict[str, int]:
    """How many items a Predictor computes at once, where that is not its usual number."""
    number = PICTURES if isinstance(model, Detector) else FEW if isinstance(model, Speaker) else None
    return {} if number is None else {"batch_size": number}


def by_learner(learner: Learner, graph: Graph, batches: Sequence[Batch]) -> list[dict[str, Tensor]]:
    """What the learner's own network gives, where and as it is."""
    module = learner.task_module()
    weight = next(iter(learner.module.parameters()), None)
    device = torch.device("cpu") if weight is None else weight.device
    modes = [(part, part.training) for part in module.model.modules()]
    module.to(device).eval()
    found = []
    try:
        with own_randomness(), torch.no_grad():
            for batch in batches:
                x = module.preparation({name: batch["x"][name].to(device) for name in graph.inputs})
                x = x if weight is None else like(x, weight)
                found.append({name: value.cpu() for name, value in module.task.in_graph(module.model, x).items()})
    finally:
        for part, training in modes:
            part.training = training
    return found


def agreement_of(learner: Learner, found: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Tensor]]) -> Agreement:
    """How far what a file gave is from what the learner gave; what has no order is brought into one."""
    right = [{name: value.numpy() for name, value in each.items()} for each in expected]
    pairs = [learner.data.task.aligned(*pair) for pair in zip(found, right, strict=True)]
    return compare([mine for mine, _ in pairs], [theirs for _, theirs in pairs])


def metrics_of(learner: Learner, batches: Sequence[Batch], outputs: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """The learner's metrics that can be told from the outputs; empty where the items have no targets."""
    metrics: Any = learner.task_module().val_metrics
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few items may lack a class
        for batch, found in zip(batches, outputs):
            if batch["y"]:
                learner.data.task.judge(metrics, found, batch["y"])
        computed = {name: metric.compute() for name, metric in metrics.items() if metric.update_called}
    values = {name: v for key, each in computed.items() for name, v in (each if isinstance(each, dict) else {key: each}).items()}
    return {name: float(value) for name, value in values.items() if isinstance(value, Tensor) and value.numel() == 1 and not value.isnan()}


def _sizes(n: int) -> list[int]:
    """`n` as a sum of the sizes, the last of them as often as needed."""
    found: list[int] = []
    for size in itertools.chain(SIZES, itertools.repeat(SIZES[-1])):
        if sum(found) == n:
            return found
        found.append(min(size, n - sum(found)))
    return found
