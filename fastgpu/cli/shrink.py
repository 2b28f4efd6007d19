"""`fastgpu prune`, `quantize` and `compress`: make a saved learner's network smaller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fastgpu.cli.judge import data_of
from fastgpu.cli.options import INTERRUPTED, check_out, given, keywords, model_argument, noted_interrupts, options, shrinking
from fastgpu.errors import ArgumentError

__all__ = ["compress", "prune", "quantize"]

DATA = "What to train on meanwhile. Default: the data that MODEL was trained on, where they are found again."

OF_PRUNE = {name: keyword for name, keyword in shrinking("prune").items() if name != "callbacks"}
OF_PRUNING = {name: keyword for name, keyword in keywords("__init__", "callbacks/pruning.py", "Pruning").items() if name != "network"}
OF_LEARNER = {name: keyword for name, keyword in keywords("__init__").items() if name in ("devices", "precision", "data_dir", "seed")}


@click.command(
    epilog="\b\nExamples:\n  fastgpu prune runs/resnet18-digits --amount 0.5 --epochs 3 --out pruned.safetensors\n"
    "  fastgpu prune model.safetensors --data photos/ --ignore layer4 --lr 1e-4"
)
@model_argument()
@click.option("--data", help=DATA)
@click.option("--out", type=click.Path(), default="pruned.safetensors", show_default=True, help="File for the pruned learner.")
@options((OF_PRUNE | OF_PRUNING).values())
@options(OF_LEARNER.values())
@click.pass_context
def prune(ctx: click.Context, **_: Any) -> int:
    """Prune MODEL while it trains on, cut it, and print what that gained.

    MODEL is a run folder (its best weights) or a saved file.
    """
    return _shrunk(ctx, lambda learn, arguments: learn.prune(**arguments))


@click.command(
    epilog="\b\nExamples:\n  fastgpu quantize runs/resnet18-digits --out int8.safetensors\n"
    "  fastgpu quantize model.safetensors --data photos/ --max-drop 1"
)
@model_argument()
@click.option("--data", help=DATA)
@click.option("--out", type=click.Path(), default="quantized.safetensors", show_default=True, help="File for the quantized learner.")
@options([keyword for name, keyword in shrinking("quantize").items() if name != "data"])
@options(OF_LEARNER.values())
@click.pass_context
def quantize(ctx: click.Context, **_: Any) -> int:
    """Let MODEL compute with whole numbers, where that is faster and good enough, and print what was measured.

    MODEL is a run folder (its best weights) or a saved file.
    """
    return _shrunk(ctx, lambda learn, arguments: learn.quantize(**arguments))


@click.command(epilog="\b\nExamples:\n  fastgpu compress runs/resnet18-digits --size 0.1 --epochs 5 --out small.safetensors")
@model_argument()
@click.option("--data", help=DATA)
@click.option("--out", type=click.Path(), default="compressed.safetensors", show_default=True, help="File for the compressed learner.")
@click.option("--size", type=float, help="Largest share of the ONNX file's bytes.")
@click.option("--latency", type=float, help="Largest share of its time for one item.")
@options(shrinking("compress").values())
@options(OF_LEARNER.values())
@click.pass_context
def compress(ctx: click.Context, **_: Any) -> int:
    """Prune, distill and quantize MODEL until --size or --latency is met, and print what was measured.

    MODEL is a run folder (its best weights) or a saved file.
    """
    target = {name: ctx.params[name] for name in ("size", "latency") if ctx.params[name] is not None}
    if len(target) != 1:
        raise ArgumentError(f"compress takes one of --size and --latency. {'Both' if target else 'None'} came. Give for example --size 0.1.")

    def run(learn: Any, arguments: dict[str, Any]) -> None:
        learn.compress(target, **{name: value for name, value in arguments.items() if name not in target})

    return _shrunk(ctx, run)


def _shrunk(ctx: click.Context, run: Callable[[Any, dict[str, Any]], Any]) -> int:
    """Load, run the verb, save what it changed."""
    arguments = given(ctx)
    model, data, out = arguments.pop("model"), arguments.pop("data", None), Path(ctx.params["out"])
    arguments.pop("out", None)
    check_out(out, new=True)
    changes = {name: arguments.pop(name) for name in OF_LEARNER if name in arguments}

    from fastgpu.learner import Learner

    if data is None:
        data = data_of(Learner.load(model, **changes, verbose=False))
    learn = Learner.load(model, data, **changes, verbose=True)
    before = {name: value.clone() for name, value in learn.module.state_dict().items()}
    with noted_interrupts() as interrupts:
        run(learn, arguments)
    after = learn.module.state_dict()
    if before.keys() == after.keys() and all(value.equal(after[name]) for name, value in before.items()):
        click.echo(f"the network is as it came: {out} is not written")
    else:
        click.echo(f"saved: {learn.save(out)}")
    return INTERRUPTED if interrupts else 0
