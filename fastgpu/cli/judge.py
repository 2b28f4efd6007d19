"""`fastgpu evaluate` and `fastgpu predict`: use a saved learner."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastgpu.cli.options import check_out, given, keywords, model_argument, options
from fastgpu.errors import ArgumentError, RunFolderError

if TYPE_CHECKING:
    from pandas import DataFrame

    from fastgpu.answers.base import Answers
    from fastgpu.learner import Learner
    from fastgpu.predictor import Predictor
    from fastgpu.reading import Reader
    from fastgpu.results import Results

__all__ = ["data_of", "evaluate", "predict"]

_KEYWORDS = keywords("__init__")
WHERE = [_KEYWORDS[name] for name in ("devices", "precision")]
WHICH = [_KEYWORDS[name] for name in ("target", "on_bad_item", "data_dir")]


@click.command(
    epilog="\b\nExamples:\n  fastgpu evaluate runs/resnet18-digits\n  fastgpu evaluate runs/resnet18-photos new_photos/\n"
    "  fastgpu evaluate model.safetensors test.csv --target price"
)
@model_argument()
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
        learn = Learner.load(model, data_of(learn), **changes, verbose=False)
    values = learn.evaluate(data)
    width = max(map(len, values))
    for name, value in values.items():
        click.echo(f"{name:<{width}}  {value:.4f}")


def _words(ctx: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    """`"cuda, cpu"` -> its words."""
    return None if value is None else [word.strip() for word in value.split(",") if word.strip()]


@click.command(
    epilog="\b\nExamples:\n  fastgpu predict runs/resnet18-photos new/1.jpg new/2.jpg\n"
    "  fastgpu predict runs/resnet18-photos new/ --out results.csv\n  fastgpu predict runs/mlp-houses houses.csv\n"
    "  fastgpu predict model.onnx new/ --out results.csv\n"
    "  fastgpu predict runs/text_bag-reviews 'good from end to end'\n"
    "  fastgpu predict runs/detector drive.mp4 --out boxes.mp4\n  fastgpu predict runs/voice 'hello' --out hello.wav"
)
@model_argument(exported=True)
@click.argument("items", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(),
    help="File to write: a CSV, or a sound, mask or video where the task gives one. Default: a table in a terminal, else CSV on stdout.",
)
@options(WHERE)
@click.option("--providers", callback=_words, help="Of an exported file: what computes: cpu, cuda, tensorrt, openvino, coreml. Default: cpu.")
@click.option("--threads", type=int, help="Of an exported file: threads of one operation. Default: one a core.")
@click.pass_context
def predict(ctx: click.Context, **_: Any) -> None:
    """Print what MODEL says about ITEMS, in the order given.

    MODEL is a run folder (its best weights), a saved file, or an exported .onnx file, which needs no torch. ITEMS are
    files or folders of pictures, of sound or of sensor series; one film; texts in quotes, or one file of them, a table
    or the lines of a .txt; or one file of rows. Tables are CSV, TSV, Parquet or JSON Lines. Columns p_<class> hold the
    probabilities.
    """
    changes = given(ctx)
    model, items, out = changes.pop("model"), changes.pop("items"), changes.pop("out", None)
    if out is not None:
        check_out(Path(out))

    opened, reader, answers = _opened(model, changes)
    names, asked = reader.from_shell(items)
    if out is not None:
        from fastgpu.answers.presenting import forms_of
        from fastgpu.results import refuse_form

        refuse_form(Path(out), forms_of(answers, reader, asked))
    results = opened.predict(asked)
    if out is not None and Path(out).suffix.lower() != ".csv":
        for file in results.save(out):
            click.echo(file)
        return
    frame = _named(results, names)
    if out is not None:
        try:
            Path(out).parent.mkdir(parents=True, exist_ok=True)
            frame.to_csv(out, index=False)
        except OSError as error:
            raise RunFolderError(f"--out must be a file that can be written. {out}: {error.strerror}. Choose another.") from None
        click.echo(f"{len(results)} predictions in {out}")
    elif sys.stdout.isatty():
        _show(frame)
    else:
        click.echo(frame.to_csv(index=False, float_format="%.6g"), nl=False)


def _opened(model: str, changes: dict[str, Any]) -> tuple[Predictor | Learner, Reader, Answers]:
    """What predicts, what reads its items, and what answers; of an exported file without torch."""
    exported = Path(model).suffix == ".onnx"
    wrong = [name for name in changes if (name in ("providers", "threads")) is not exported]
    if wrong:
        right = "--providers and --threads" if exported else "--devices and --precision"
        what = "An exported file" if exported else "A run folder or saved file"
        raise ArgumentError(f"{what} takes {right}. --{wrong[0]} came. Leave it out.")
    if exported:
        from fastgpu.predictor import Predictor

        predictor = Predictor.load(model, **changes)
        return predictor, predictor.reader, predictor.answers
    from fastgpu.learner import Learner

    learn = Learner.load(model, **changes, verbose=False)
    return learn, learn.data.input, learn.data.task


def data_of(learn: Learner) -> str:
    """The data that a saved learner was trained on, by name or path, where they can be found again."""
    from fastgpu.data.sources import list_names

    name, origin = str(learn.data.name), learn.data.origin
    if name in list_names() or name.startswith("hf:"):
        return name
    if origin and Path(origin).exists():
        return origin
    raise ArgumentError(f"This needs data. {name!r}, on which this model was trained, is not found from here. Give DATA.")


def _named(results: Results, names: Sequence[Any]) -> DataFrame:
    """The table of the results with the items' names; numbers where a film gives a row a frame, a long run one a window."""
    frame = results.to_frame()
    named = names if len(names) == len(results) else range(len(results))
    if "item" in frame:  # several rows an item, or none
        return frame.assign(item=[named[i] for i in frame["item"]])
    frame.insert(0, "item", named)
    return frame


def _show(frame: DataFrame) -> None:
    """A table in a terminal, without the probability of every class."""
    from rich.console import Console
    from rich.table import Table

    shown = frame[[c for c in frame.columns if not str(c).startswith("p_")]]
    table = Table(*map(str, shown.columns), box=None, pad_edge=False)
    for row in shown.itertuples(index=False):
        table.add_row(*[f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row])
    Console().print(table)
