"""safetensors: the weights alone with what rebuilds their network, read by `Learner.load` and by any reader of safetensors."""

from __future__ import annotations

from pathlib import Path

from fastgpu.export.base import FORMATS, Format, Run, Source

__all__ = ["load", "write"]


def write(source: Source, path: Path) -> None:
    """Write the weights, without the state of training."""
    from fastgpu.train import checkpoint

    checkpoint.write(path, source.weights, dict(source.facts))


def load(path: Path, threads: int) -> Run:
    """The network, built again from its name and filled with the weights."""
    import torch

    from fastgpu import zoo
    from fastgpu.compress.restore import load_weights, take_form
    from fastgpu.export.graph import Graph
    from fastgpu.export.pt2 import torch_run
    from fastgpu.inputs import Input
    from fastgpu.tasks import Task
    from fastgpu.train import checkpoint

    torch.set_num_threads(threads)
    saved = checkpoint.read(path)
    facts = saved.facts
    input, task = Input.from_dict(facts["data"]["input"]), Task.from_dict(facts["data"]["task"])
    net = zoo.build(facts["architecture"], input.facts(), task.facts(), "layout" if facts["pretrained"] else False).net
    kinds = {t.dtype for t in saved.weights.values() if t.is_floating_point()}
    if len(kinds) == 1:
        net.to(kinds.pop())
    take_form(net, saved.weights)
    load_weights(net, saved.weights)
    graph: Graph | None = None

    def run(x):  # the outputs are known when the first batch has come
        nonlocal graph
        graph = graph or Graph(net, input, task, {name: torch.from_numpy(value) for name, value in x.items()})
        return torch_run(graph, list(graph.inputs), list(graph.outputs))(x)

    return run


FORMATS.register("safetensors")(Format(suffix=".safetensors", write=write, load=f"{__name__}:load", rebuilds=True))
