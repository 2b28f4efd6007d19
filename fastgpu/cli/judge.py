"""`fastgpu evaluate` and `fastgpu predict`: use a saved learner."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastgpu.cli.options import given, keywords, options
from fastgpu.errors import ArgumentError, RunFolderError

if TYPE_CHECKING:
    from pandas import DataFrame

    from fastgpu.learner import Learner

__all__ = ["evaluate", "predict"]

_KEYWORDS = keywords("__init__")
WHERE = [_KEYWORDS[name] for name in ("devices", "precision")]
WHICH = [_KEYWORDS[name] for name in ("target", "on_bad_item", "data_dir")]


@click.command(
    epilog="\b\nExamples:\n  fastgpu evaluate runs/resnet18-digits\n  fastgpu evaluate runs/resnet18-photos new_photos/\n"
    "  fastgpu evaluate model.safetensors test.csv --target price"
)
@click.argument("model")
@click.argument("data", required=False)
@options([*WHERE, *WHICH])
@click.pass_context
def evaluate(ctx: click.Context, **_: Any) -> None:
    """Print loss and metrics of MODEL on DATA.

    MODEL is a run folder (its best weights) or a saved file. DATA is anything that fastgpu fit takes: of other data
    the test split is used where there is one, else val, else all. Without DATA: the validation items of training.
    """
    changes = given(ctx)
    model, data = changes.pop("model"), changes.pop("data", None)

    from fastgpu.learner import Learner

    learn = Learner.load(model, **changes, verbose=False)
    if data is None:
        learn = Learner.load(model, _data_of(learn), **changes, verbose=False)
    values = learn.evaluate(data)
    width = max(map(len, values))
    for name, value in values.items():
        click.echo(f"{name:<{width}}  {value:.4f}")


@click.command(
    epilog="\b\nExamples:\n  fastgpu predict runs/resnet18-photos new/1.jpg new/2.jpg\n"
    "  fastgpu predict runs/resnet18-photos new/ --out results.csv\n  fastgpu predict runs/mlp-houses houses.csv\n"
    "  fastgpu predict runs/text_bag-reviews 'good from end to end'"
)
@click.argument("model")
@click.argument("items", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(),
    help="File to write: a CSV, or a sound, mask or video where the task gives one. Default: a table in a terminal, else CSV on stdout.",
)
@options(WHERE)
@click.pass_context
def predict(ctx: click.Context, **_: Any) -> None:
    """Print what MODEL says about ITEMS, in the order given.

    MODEL is a run folder (its best weights) or a saved file. ITEMS are files or folders of pictures; files of sound or of
    sensor series; texts in quotes or a CSV file with a column of them; or one CSV or Parquet file of rows. Columns
    p_<class> hold the probabilities.
    """
    changes = given(ctx)
    model, items, out = changes.pop("model"), changes.pop("items"), changes.pop("out", None)
    if out is not None and not Path(out).resolve().parent.is_dir():
        raise ArgumentError(f"--out must be in a folder that is there. {out} is not. Make the folder, or choose another.")

    from fastgpu.learner import Learner

    learn = Learner.load(model, **changes, verbose=False)
    names, asked = _items(learn, items)
    results = learn.predict(asked)
    if out is not None and Path(out).suffix != ".csv":
        for file in results.save(out):
            click.echo(file)
        return
    frame = results.to_frame()
    # A video gives a row a frame, a long run a row a window.
    frame.insert(0, "item", names if len(names) == len(frame) else range(len(frame)))
    if out is not None:
        try:
            frame.to_csv(out, index=False)
        except OSError as error:
            raise RunFolderError(f"--out must be a file that can be written. {out}: {error.strerror}. Choose another.") from None
        click.echo(f"{len(frame)} predictions in {out}")
    elif sys.stdout.isatty():
        _show(frame)
    else:
        click.echo(frame.to_csv(index=False, float_format="%.6g"), nl=False)


def _data_of(learn: Learner) -> str:
    """The data that a saved learner was trained on, by name or path, where they can be found again."""
    from fastgpu.data.sources import list_names

    name, origin = str(learn.data.name), learn.data.origin
    if name in list_names() or name.startswith("hf:"):
        return name
    if origin and Path(origin).exists():
        return origin
    raise ArgumentError(f"evaluate needs data. {name!r}, on which this model was trained, is not found from here. Give DATA.")


def _items(learn: Learner, given: tuple[str, ...]) -> tuple[list[Any], Any]:
    """What stands on the command line -> a name for each item, and what `predict` takes."""
    kind = learn.data.input.kind
    if kind == "image":
        files = [str(file) for item in given for file in learn.data.input.as_items(item)]
        return files, files
    if kind in ("audio", "series"):
        return list(given), list(given)
    tables = [item for item in given if Path(item).suffix.lower() in (".csv", ".tsv", ".parquet", ".gz")]
    if kind == "text" and not tables:
        return list(given), list(given)
    if kind == "tensors":
        raise ArgumentError("A shell cannot give the tensors that this model takes. Use predict in Python.")
    if len(given) != 1 or not tables:
        raise ArgumentError(f"Rows to predict come in one CSV or Parquet file. {' '.join(given)} came. Give one such file.")
    frame = _table(Path(given[0]))
    if kind == "text":
        column = _text_column(frame, given[0])
        return frame[column].tolist(), frame[column]
    return list(range(len(frame))), frame


def _table(path: Path) -> DataFrame:
    from fastgpu.data.sources.table import read_table

    if not path.is_file():
        raise ArgumentError(f"A path must lead to a file. {path} does not. Check the path.")
    return read_table(path, [])


def _text_column(frame: DataFrame, path: str) -> str:
    from fastgpu.data.sources.frames import TEXT_NAMES

    columns = [str(c) for c in frame.columns]
    named = columns if len(columns) == 1 else [c for c in columns if c.lower() in TEXT_NAMES]
    if len(named) != 1:
        raise ArgumentError(f"A file of texts has one column, or one called text. {path} has: {', '.join(columns)}. Rename one.")
    return named[0]


def _show(frame: DataFrame) -> None:
    """A table in a terminal, without the probability of every class."""
    from rich.console import Console
    from rich.table import Table

    shown = frame[[c for c in frame.columns if not str(c).startswith("p_")]]
    table = Table(*map(str, shown.columns), box=None, pad_edge=False)
    for row in shown.itertuples(index=False):
        table.add_row(*[f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row])
    Console().print(table)
