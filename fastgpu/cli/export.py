"""`fastgpu export` and `fastgpu benchmark`: a saved learner as a file for another runtime, and what the formats cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fastgpu.cli.judge import data_of
from fastgpu.cli.options import given, keywords, model_argument, options, shrinking

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["benchmark", "export"]

_INIT = keywords("__init__")
WHERE = [_INIT[name] for name in ("target", "data_dir")]


@click.command(
    epilog="\b\nExamples:\n  fastgpu export runs/resnet18-digits --out model.onnx\n"
    "  fastgpu export runs/resnet18-photos photos/ --format openvino --out model.xml\n"
    "  fastgpu export model.safetensors --format pt2 --out model.pt2 --tolerance 1e-4"
)
@model_argument()
@click.argument("data", required=False)
@click.option("--out", type=click.Path(), required=True, help="File to write; its suffix tells the format.")
@options([*shrinking("export").values(), *WHERE])
@click.pass_context
def export(ctx: click.Context, **_: Any) -> None:
    """Write MODEL as a file for another runtime, and prove that it does the same.

    MODEL is a run folder (its best weights) or a saved file. DATA are the items on which the file is compared with it.
    Without DATA: the validation items of training.
    """
    asked = given(ctx)
    how = {name: asked[name] for name in shrinking("export") if name in asked}
    _loaded(asked, verbose=True).export(asked["out"], **how)  # which says what it writes, and why


@click.command(
    epilog="\b\nExamples:\n  fastgpu benchmark runs/resnet18-digits\n  fastgpu benchmark runs/resnet18-digits --formats torch,onnx,openvino"
)
@model_argument()
@click.argument("data", required=False)
@options([*shrinking("benchmark").values(), *WHERE])
@click.pass_context
def benchmark(ctx: click.Context, **_: Any) -> None:
    """Print what the formats of MODEL cost: metric, time, size, memory.

    MODEL is a run folder (its best weights) or a saved file. DATA are the items that are predicted. Without DATA: the
    validation items of training.
    """
    asked = given(ctx)
    how = {name: asked[name] for name in shrinking("benchmark") if name in asked}
    click.echo(repr(_loaded(asked).benchmark(**how)))


def _loaded(asked: dict[str, Any], *, verbose: bool = False) -> Learner:
    from fastgpu.learner import Learner

    changes = {name: asked[name] for name in ("target", "data_dir") if name in asked}
    data = asked.get("data")
    if data is None:
        data = data_of(Learner.load(asked["model"], verbose=False))
    return Learner.load(asked["model"], data, **changes, verbose=verbose)
