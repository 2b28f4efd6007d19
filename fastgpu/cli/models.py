"""`fastgpu models`: list the architectures, or tell the facts about one."""

from __future__ import annotations

import sys

import click

from fastgpu.errors import ArgumentError

__all__ = ["models"]


@click.command(
    epilog="\b\nExamples:\n  fastgpu models\n  fastgpu models '*resnet*'\n  fastgpu models --input text --task classification\n"
    "  fastgpu models resnet18"
)
@click.argument("pattern", required=False)
@click.option("--task", help="Only those for this task: classification, multilabel, regression.")
@click.option("--input", "kind", help="Only those that take this kind of input: image, text, table.")
def models(pattern: str | None, task: str | None, kind: str | None) -> None:
    """List architectures whose name matches PATTERN (* and ?), or the facts about the one that PATTERN names."""
    from fastgpu.zoo import list_models, model_info

    if pattern is not None and task is None and kind is None and not set(pattern) & set("*?["):
        click.echo(str(model_info(pattern)))
        return
    names = list_models(pattern or "*", task=task, input=kind)
    if not names:
        raise ArgumentError(f"No architecture matches {pattern!r} with these options. Give a wider pattern: '*resnet*'.")
    if sys.stdout.isatty():
        from rich.columns import Columns
        from rich.console import Console

        Console().print(Columns(names, padding=(0, 2), column_first=True))
    else:
        click.echo("\n".join(names))
