"""Sources of data: one argument takes any of them, and `load` recognises which.

They are asked in the order of their `order`, and the first that recognises the data takes them:

- names: the samples that ship (`"digits"`), public data sets fetched through torchvision (`"mnist"`), `"hf:<name>"`;
- layouts of a field, by what surely is theirs: `masks_folder`, `coco_masks`, `defects` (the MVTec layout), `coco`, `yolo`, `voc`,
  `kitti`, `speech`, `interactions`, `catalogues` and `aligned_files` (translation), `translation_table`, `series`, `anomaly_table`;
- `table`: a CSV, TSV, Parquet or JSON Lines file, a folder with `train.csv`, or a DataFrame;
- `text_folder` and `folder`: texts or pictures, one folder a class;
- `torch_data`: a torch `Dataset` or `DataLoader`, several of them, or a `LightningDataModule`;
- `arrays`: `(x, y)`, `((x, y), (x_val, y_val))` or `{"train": (x, y), "val": ...}`.

A name wins over a folder of the same name; `"./digits"` or a `Path` is always the folder. A new source is one new file here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastgpu.data.raw import Raw
from fastgpu.data.ready import Ready
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path
from fastgpu.errors import ArgumentError, DataError, FastGPUError, UnknownNameError

__all__ = ["Raw", "Ready", "list_names", "load"]


def load(
    data: Any,
    *,
    target: str | Sequence[str] | None = None,
    task: str | None = None,
    kinds: tuple[str, ...] = (),
    columns: Mapping[str, str] | None = None,
    window: int | None = None,
    stride: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    on_bad_item: str = "raise",
    data_dir: str | Path | None = None,
) -> Raw | Ready:
    """Recognise data and read what is needed to use them: items, targets, splits, class names.

    Args:
        data: a name, a path, or an object, in one of the forms above.
        target: name of the target column of a table, or of several; None: a column called `target`, `label`, `class` or `y`.
        task: the task, where the user named one; a source refuses a task that its targets cannot serve.
        kinds: input kinds that the architecture takes; empty: any. It decides what a table or folder is read as.
        columns: what a column is -> its name, where it has no usual one: `{"user": "customer"}`.
        window: time steps of one item that is cut from a longer series; None: a whole run is an item.
        stride: time steps from one window to the next; None: the window.
        image_size: height and width in pixels that pictures will be used at; chooses among sizes that a public set comes in.
        on_bad_item: `"raise"`, or `"skip"` to leave out rows that lack a target, a text or a picture; a note counts them.
        data_dir: folder for data that are fetched; None: `$FASTGPU_DATA`, else `~/.cache/fastgpu/data`.

    Returns:
        `Raw` items, or `Ready` where the user's own objects already give tensors.

    Raises:
        UnknownNameError: a name that no source has, and that is no file or folder.
        DataError: nothing recognises the data, or they cannot be used.
        NetworkError: a public data set is not on the disk, and cannot be fetched.

    Example:
        >>> digits = load("digits")
        >>> digits.kind, len(digits.splits["train"])
        ('image', 1797)
    """
    if on_bad_item not in ("raise", "skip"):
        raise UnknownNameError("value of on_bad_item", on_bad_item, ("raise", "skip"))
    request = Request(
        target=_columns(target),
        task=None if task == "auto" else task,
        kinds=kinds,
        columns={role: str(name) for role, name in (columns or {}).items()},
        window=window,
        stride=stride,
        image_size=_size(image_size),
        on_bad_item=on_bad_item,
        data_dir=None if data_dir is None else Path(data_dir).expanduser(),
    )
    for source in _sources():
        if source.recognise(data, request):
            source.check(request)
            try:
                return source.load(data, request)
            except PermissionError as error:
                raise DataError(f"Data must be readable. {error.filename}: {error.strerror}. Change its permissions.") from None
    raise _unrecognised(data)


def list_names() -> list[str]:
    """Names that `load` answers: the samples that ship, and the public data sets.

    Example:
        >>> "digits" in list_names()
        True
    """
    return sorted(name for source in _sources() for name in source.names)


def _sources() -> list[Source]:
    return sorted(SOURCES.values(), key=lambda source: source.order)


def _columns(target: str | Sequence[str] | None) -> tuple[str, ...]:
    if target is None:
        return ()
    if isinstance(target, str) or not isinstance(target, Sequence):  # a column of a DataFrame may be named by a number
        return (str(target),)
    return tuple(str(name) for name in target)


def _size(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ArgumentError(f"image_size is a number of pixels, or (height, width). {image_size!r} came. Give one of these.")
    return sides


def _unrecognised(data: Any) -> FastGPUError:
    if isinstance(data, os.PathLike):
        return _missing(Path(data))
    if isinstance(data, str) and len(data) < 1000:  # a longer one is a text, not a path
        looks_like_path = os.sep in data or "/" in data or data.startswith(("~", ".")) or Path(data).suffix
        if looks_like_path or not data.strip():
            return _missing(Path(data))
        hint = "No file or folder here has that name either; fastgpu.data.sources.list_names() lists the names."
        return UnknownNameError("data set", data, list_names(), hint)
    if (isinstance(data, list) and data) or hasattr(data, "shape"):
        raise DataError(f"Data are items with their targets. {_came(data)} came, without targets. Give (x, y).")
    forms = "; ".join(source.form for source in _sources())
    return DataError(f"Data come in one of these forms: {forms}. {_came(data)} came. Bring them into one of these.")


def _missing(path: Path) -> DataError:
    parent = path.expanduser().absolute().parent
    known = f"{parent} is there, {path.name!r} is not in it" if as_path(parent) else f"{parent} is not there either"
    return DataError(f"A path must lead to a file or folder. {path} does not: {known}. Check the path.")


def _came(data: Any) -> str:
    if isinstance(data, (tuple, list)):
        inside = ", ".join(type(part).__name__ for part in data[:3])
        return f"A {type(data).__name__} of {len(data)} ({inside}{', ...' if len(data) > 3 else ''})"
    if isinstance(data, str):
        return f"A string of {len(data):,} characters"
    if hasattr(data, "shape"):
        return f"Items of shape {tuple(data.shape)}"
    return f"An object of type {type(data).__name__}"
