"""`fastgpu fit`: train an architecture on data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fastgpu.cli.options import INTERRUPTED, given, keywords, options
from fastgpu.config import has_object
from fastgpu.errors import ArgumentError, FastGPUError, UnknownNameError

__all__ = ["fit"]

OF_LEARNER = keywords("__init__")
OF_FIT = {name: keyword for name, keyword in keywords("fit").items() if name not in OF_LEARNER}


@click.command(
    epilog="\b\nExamples:\n  fastgpu fit resnet18 digits --epochs 5\n"
    "  fastgpu fit convnext_atto photos/ --epochs 10 --pretrained auto\n"
    "  fastgpu fit mlp houses.csv --target price --metrics mae,r2\n"
    "  fastgpu fit mlp digits --epochs 20 --schedule one_cycle --patience 5\n"
    "  fastgpu fit resnet18 digits --resume runs/resnet18-digits\n  fastgpu fit --config runs/resnet18-digits/args.yaml --lr 3e-4"
)
@click.argument("architecture", required=False)
@click.argument("data", required=False)
@options(OF_FIT.values())
@options(OF_LEARNER.values())
@click.option("--config", type=click.Path(), help="YAML file of arguments, such as a run's args.yaml; the command line wins.")
@click.pass_context
def fit(ctx: click.Context, **_: Any) -> int:
    """Train ARCHITECTURE on DATA and leave a run folder.

    ARCHITECTURE is a name that fastgpu models lists. DATA is the name of a data set, a folder of pictures, or a CSV or
    Parquet file. Several values are parted by commas. "none" and "auto" are values too, where an option knows them.
    """
    arguments = given(ctx)
    config = arguments.pop("config", None)
    arguments = (_read(config) if config else {}) | arguments
    for name, value in arguments.items():
        if has_object(value):
            raise ArgumentError(
                f"A file holds names and numbers. In {config}, {name} was an object, {_named(value)}. Take the line out, or give {name} "
                "on the command line."
            )
    for name in ("architecture", "data"):
        if not arguments.get(name):
            raise ArgumentError(f"fit takes ARCHITECTURE and DATA. No {name} came. Run for example: fastgpu fit resnet18 digits")

    from fastgpu.learner import Learner

    learn = Learner(**{name: value for name, value in arguments.items() if name not in OF_FIT})
    try:
        learn.fit(**{name: value for name, value in arguments.items() if name in OF_FIT})
    except FastGPUError as error:
        if learn.run_dir is None:
            raise
        # The folder is made when every check has passed: this call was right, and the work failed.
        raise click.ClickException(str(error)) from error
    if not learn.history.interrupted:
        return 0
    if learn.trainer is not None and len(learn.history) < learn.epoch_offset + (learn.trainer.max_epochs or 0):  # else all epochs are whole
        there = learn.run_dir is not None and "resume" not in arguments
        click.echo(f"in a shell: {ctx.obj}{f' --resume {learn.run_dir}' if there else ''}")
    return INTERRUPTED


def _named(value: Any) -> str:
    return str(value["object"]) if isinstance(value, dict) and "object" in value else str(value)


def _read(path: str) -> dict[str, Any]:
    """Arguments in a YAML file."""
    import yaml

    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ArgumentError(f"--config must be a file that can be read. {path}: {error.strerror}. Check the path.") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ArgumentError(f"--config must be a YAML file. {path} is none. Give for example a run's args.yaml.") from None
    if not isinstance(found, dict):
        raise ArgumentError(f"--config must hold names and values. {path} holds none. Give for example a run's args.yaml.")
    known = {"architecture", "data", *OF_LEARNER, *OF_FIT}
    for name in found:
        if name not in known:
            raise UnknownNameError(f"argument in {path}:", name, known)
    return found
