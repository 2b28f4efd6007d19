"""The command line: the Learner's verbs under the same names. One file a command or pair of commands.

`--help` needs neither torch nor Lightning: each command imports what it needs when it runs.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

import click

import fastgpu
from fastgpu.cli.doctor import doctor
from fastgpu.cli.export import benchmark, export
from fastgpu.cli.fit import fit
from fastgpu.cli.judge import evaluate, predict
from fastgpu.cli.models import models
from fastgpu.cli.options import INTERRUPTED
from fastgpu.cli.shrink import compress, prune, quantize
from fastgpu.cli.tune import tune
from fastgpu.errors import ExportError, FastGPUError, NetworkError, NonFiniteLossError, UnknownNameError, nearest

__all__ = ["main"]

WRONG_CALL = 2


class _Commands(click.Group):
    """A group that answers a misspelt command with the nearest ones."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            raise UnknownNameError("command", args[0], self.commands, "fastgpu --help explains them.")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="\b\nExamples:\n  fastgpu fit resnet18 digits --epochs 5\n  fastgpu evaluate runs/resnet18-digits\n"
    "  fastgpu predict runs/resnet18-digits picture.png\n  fastgpu models '*resnet*'\n  fastgpu fit --help",
)
@click.version_option(fastgpu.__version__, prog_name="fastgpu", message="%(prog)s %(version)s")
@click.pass_context
def _fastgpu(ctx: click.Context) -> None:
    """Train, judge and use models from a shell, with the names of the Python package."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for command in (fit, tune, evaluate, predict, prune, quantize, compress, export, benchmark, models, doctor):
    _fastgpu.add_command(command)


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        args: what follows the program's name; None: this process's own.

    Returns:
        The exit status: 0; 1 where the work failed; 2 for a wrong call, with one line on stderr; 130 after Ctrl-C.
    """
    args = list(sys.argv[1:] if args is None else args)
    try:
        status = _fastgpu.main(args, prog_name="fastgpu", standalone_mode=False, obj=shlex.join(["fastgpu", *args]))
        return status if isinstance(status, int) else 0
    except click.Abort:  # Ctrl-C outside of training, which answers it itself
        return _fail("interrupted", INTERRUPTED)
    except click.NoSuchOption as error:
        return _fail(_unknown_option(error), WRONG_CALL)
    except click.BadParameter as error:
        return _fail(error.format_message() if error.message else _usage(error), WRONG_CALL)
    except click.UsageError as error:
        return _fail(_usage(error), WRONG_CALL)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except (ExportError, NetworkError, NonFiniteLossError) as error:
        return _fail(str(error), 1)
    except FastGPUError as error:
        return _fail(str(error), WRONG_CALL)


def _fail(line: str, status: int) -> int:
    sys.stdout.flush()
    click.echo(f"fastgpu: {' '.join(line.split())}", err=True)
    return status


def _usage(error: click.UsageError) -> str:
    text = error.format_message()
    return f"{text}{'' if text.endswith(('.', '?')) else '.'} {_where(error.ctx)} --help explains it."


def _where(ctx: click.Context | None) -> str:
    return ctx.command_path if ctx else "fastgpu"


def _unknown_option(error: click.NoSuchOption) -> str:
    """The rule, what came, and the nearest options; click's own wording varies with its version."""
    parameters = error.ctx.command.get_params(error.ctx) if error.ctx else []
    long = [name for p in parameters for name in (*p.opts, *p.secondary_opts) if name.startswith("--")]
    near = nearest(error.option_name, long)
    advice = f"Did you mean {' or '.join(near)}?" if near else f"{_where(error.ctx)} --help lists them."
    return f"Unknown option {error.option_name} of {_where(error.ctx)}. {advice}"
