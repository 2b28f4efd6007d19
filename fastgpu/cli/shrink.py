"""`fastgpu prune`: make a saved learner's network smaller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fastgpu.cli.judge import data_of
from fastgpu.cli.options import given, keywords, options
from fastgpu.errors import ArgumentError

__all__ = ["prune"]

OF_PRUNE = {name: keyword for name, keyword in keywords("prune").items() if name != "callbacks"}
OF_PRUNING = {name: keyword for name, keyword in keywords("__init__", "callbacks/pruning.py", "Pruning").items() if name != "network"}
OF_LEARNER = {name: keyword for name, keyword in keywords("__init__").items() if name in ("devices", "precision", "data_dir", "seed")}


@click.command(
    epilog="\b\nExamples:\n  fastgpu prune runs/resnet18-digits --amount 0.5 --epochs 3 --out pruned.safetensors\n"
    "  fastgpu prune model.safetensors --data photos/ --ignore layer4 --lr 1e-4"
)
@click.argument("model")
@click.option("--data", help="What to train on meanwhile. Default: the data that MODEL was trained on, where they are found again.")
@click.option("--out", type=click.Path(), default="pruned.safetensors", show_default=True, help="File for the pruned learner.")
@options((OF_PRUNE | OF_PRUNING).values())
@options(OF_LEARNER.values())
@click.pass_context
def prune(ctx: click.Context, **_: Any) -> None:
    """Prune MODEL while it trains on, cut it, and print what that gained.

    MODEL is a run folder (its best weights) or a saved file.
    """
    arguments = given(ctx)
    model, data, out = arguments.pop("model"), arguments.pop("data", None), Path(ctx.params["out"])
    arguments.pop("out", None)
    if not out.resolve().parent.is_dir() or out.is_dir():
        raise ArgumentError(f"--out must be a file in a folder that is there. {out} is not. Make the folder, or choose another.")
    changes = {name: arguments.pop(name) for name in OF_LEARNER if name in arguments}

    from fastgpu.learner import Learner

    if data is None:
        data = data_of(Learner.load(model, **changes, verbose=False))
    learn = Learner.load(model, data, **changes, verbose=True)
    learn.prune(**arguments)
    click.echo(f"saved: {learn.save(out)}")
