"""`fastgpu tune`: search settings."""

from __future__ import annotations

from typing import Any

import click

from fastgpu.cli.options import INTERRUPTED, given, keywords, noted_interrupts, options
from fastgpu.errors import ArgumentError, FastGPUError

__all__ = ["tune"]

OF_TUNE = keywords("tune", "search_verbs.py", "SearchVerbs")
OF_LEARNER = {name: keyword for name, keyword in keywords("__init__").items() if name not in OF_TUNE}


@click.command(
    epilog="\b\nExamples:\n  fastgpu tune mlp digits --search lr=1e-4:1e-1:log --search optimizer=adamw,sgd --trials 20\n"
    "  fastgpu tune resnet18 photos/ --search lr=1e-4:1e-2:log --search batch_size=16:128 --epochs 3 --max-time 3600"
)
@click.argument("architecture")
@click.argument("data")
@click.option("--search", "searched", multiple=True, help="NAME=FIRST,SECOND,... or NAME=LOW:HIGH or NAME=LOW:HIGH:log; once a setting.")
@options(OF_TUNE.values())
@options(OF_LEARNER.values())
@click.pass_context
def tune(ctx: click.Context, **_: Any) -> int:
    """Search settings of ARCHITECTURE on DATA, print the trials, and leave the best one's run folder."""
    arguments = given(ctx)
    space = dict(_range(each) for each in arguments.pop("searched", ()))
    if not space:
        raise ArgumentError("tune needs something to search. No --search came. Give for example --search lr=1e-4:1e-1:log.")

    from fastgpu.learner import Learner

    learn = Learner(**{name: value for name, value in arguments.items() if name not in OF_TUNE})
    before = set(learn.run_folder.out.glob("*"))
    try:
        with noted_interrupts() as interrupts:
            learn.tune(space, **{name: value for name, value in arguments.items() if name in OF_TUNE})
    except FastGPUError as error:
        if set(learn.run_folder.out.glob("*")) == before:
            raise  # nothing was tried: the call was wrong
        raise click.ClickException(str(error)) from error
    if learn.run_dir is not None:
        click.echo(f"run folder: {learn.run_dir}")
    return INTERRUPTED if interrupts else 0


def _range(text: str) -> tuple[str, Any]:
    """`lr=1e-4:1e-1:log` -> a setting and its range, `optimizer=adamw,sgd` -> a setting and its choices."""
    name, equals, values = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not values.strip():
        raise ArgumentError(f"--search takes NAME=FIRST,SECOND or NAME=LOW:HIGH. {text!r} came. Give for example lr=1e-4:1e-1:log.")
    if ":" in values:
        return name, tuple(_value(part.strip()) for part in values.split(":"))
    return name, [_value(part.strip()) for part in values.split(",")]


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)
