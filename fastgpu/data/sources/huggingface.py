"""Hugging Face data sets: `"hf:<name>"`, `"hf:<name>:<configuration>"`, or an object of the package `datasets`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fastgpu.data.raw import Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, objects, split_name
from fastgpu.data.sources.frames import Origin, read_frames
from fastgpu.data.sources.network import hosts, reachable
from fastgpu.errors import DataError, NetworkError
from fastgpu.optional import available, require

__all__ = ["StoredPicture", "read_hub", "read_object"]

_NEED = "Reading Hugging Face data sets"


class StoredPicture:
    """An encoded picture inside a data set, as a file that Pillow opens; read where it lies, decoded when asked for.

    Args:
        content: the encoded bytes, any object with the buffer interface.
        name: what an error calls it.
    """

    def __init__(self, content: Any, name: str) -> None:
        self._content, self._name, self._at = memoryview(content), name, 0

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, all that are left for a negative size."""
        end = len(self._content) if size is None or size < 0 else self._at + size
        piece = bytes(self._content[self._at : end])
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place and return it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._content)}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def __repr__(self) -> str:
        return self._name


def read_hub(name: str, request: Request) -> Raw:
    """Load a data set of the Hugging Face Hub from the cache, or fetch it.

    `HF_HUB_OFFLINE`, `HF_DATASETS_OFFLINE`, `HF_ENDPOINT` and `HF_HOME` mean what they mean for `datasets`.

    Args:
        name: `"owner/name"`, or `"owner/name:configuration"`.
        request: what the user asked for.

    Raises:
        NetworkError: it is not in the cache, and the Hub does not answer.
        DataError: the Hub has no such data set, or it needs a configuration.
        MissingPackageError: `datasets` is not installed.
    """
    repository, _, configuration = name.partition(":")
    if not available("datasets"):
        require("datasets", need=_NEED)
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    forced = any(os.environ.get(v, "").upper() in ("1", "TRUE", "YES", "ON") for v in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"))
    offline = forced or not reachable([endpoint])
    datasets = require("datasets", need=_NEED)
    cache = str(request.data_dir / "huggingface") if request.data_dir else None
    with _offline(datasets) if offline else contextlib.nullcontext():
        try:
            loaded = datasets.load_dataset(repository, configuration or None, cache_dir=cache)
        except datasets.exceptions.DatasetNotFoundError as error:
            raise DataError(f"hf: names a data set of the Hugging Face Hub. {error} Check the name.") from None
        except Exception as error:
            # datasets gives ConnectionError, FileNotFoundError, or a ValueError for a configuration that is not cached.
            if not offline and not isinstance(error, (ConnectionError, TimeoutError)):
                raise DataError(f"The data set hf:{name} must be one that datasets can load. {error} Check it.") from error
            why = "HF_HUB_OFFLINE is set" if forced else f"{hosts([endpoint])} does not answer"
            raise NetworkError(f"The data set hf:{name} must be fetched once, and is not in the cache: {why}. Connect.") from None
    return read_object(loaded, request, name=repository.rsplit("/", 1)[-1], words=f"hf:{name}")


@contextlib.contextmanager
def _offline(datasets: Any) -> Iterator[None]:
    """Keep `datasets` from asking a network that does not answer, which takes it a minute and more."""
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def read_object(data: Any, request: Request, *, name: str = "dataset", words: str = "the datasets object") -> Raw:
    """Items of a `datasets.Dataset` or `DatasetDict`, by its features.

    A column of pictures (`Image`) is the input where there is one, then a column of text, then all columns as a table.
    The target is the one column of class names (`ClassLabel`), else it is found as in a table.
    """
    if type(data).__name__.startswith("Iterable"):
        raise DataError(
            f"A data set must have a length. {type(data).__name__} came, which is streamed. Load it without streaming."
        )
    parts, notes = _splits(data)
    features = parts["train"].features
    classes = {c: tuple(f.names) for c, f in features.items() if _is(f, "ClassLabel")}
    images = [c for c, f in features.items() if _is(f, "Image")]
    if not request.target and len(classes) == 1:
        request = dataclasses.replace(request, target=tuple(classes))
    frames = {split: _frame(part, [c for c, f in features.items() if not _is(f, "Image")]) for split, part in parts.items()}
    pictures = None
    if images:
        pictures = {split: _pictures(part, images[0], split) for split, part in parts.items()}
        notes.append(f"input: column {images[0]!r} as pictures")
    return read_frames(frames, request, Origin(name=name, words=words, classes=classes, pictures=pictures, notes=tuple(notes)))


def _is(feature: Any, name: str) -> bool:
    return type(feature).__name__ == name


def _splits(data: Any) -> tuple[dict[str, Any], list[str]]:
    if not isinstance(data, dict):
        return {"train": data}, []
    parts: dict[str, Any] = {}
    others: list[str] = []
    for name, part in data.items():
        split = split_name(name)
        if split is None or split in parts:
            others.append(str(name))
        else:
            parts[split] = part
    if "train" not in parts:
        if len(data) != 1:
            raise DataError(f"A data set needs a split 'train'. {', '.join(map(str, data))} came. Name the training part so.")
        return {"train": next(iter(data.values()))}, [f"split {next(iter(data))!r} taken for training"]
    return parts, [f"splits not used: {', '.join(others)}"] if others else []


def _frame(part: Any, columns: list[str]) -> Any:
    """The columns but pictures as a DataFrame, numbers of classes as their names, -1 (no label) as missing."""
    import pandas as pd

    if not columns:
        return pd.DataFrame(index=range(len(part)))
    frame = part.select_columns(columns).with_format(None).to_pandas()
    for column in columns:
        feature = part.features[column]
        inner = getattr(feature, "feature", None)
        if _is(feature, "ClassLabel"):
            names = np.asarray([*feature.names, None], dtype=object)  # the last one is for -1
            codes = frame[column].fillna(-1).astype(int).to_numpy()
            frame[column] = pd.Series(names[codes], dtype=object)
        elif inner is not None and _is(inner, "ClassLabel"):
            named = np.asarray(inner.names, dtype=object)
            lists = objects(named[np.asarray(codes, dtype=int)].tolist() for codes in frame[column])
            frame[column] = pd.Series(lists, dtype=object)
    return frame


def _pictures(part: Any, column: str, split: str) -> np.ndarray:
    """Pictures as files that are opened later: paths where there are only these, else the bytes in the data set's own memory."""
    datasets = require("datasets", need=_NEED)
    encoded = part.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    cells = encoded.with_format("arrow")[:].column(column)
    items: list[Any] = []
    for chunk in cells.chunks:
        contents, paths = chunk.field("bytes"), chunk.field("path").to_pylist()
        for row, path in enumerate(paths):
            if contents[row].is_valid:
                label = f"picture {len(items)} of {split}" + (f" ({path})" if path else "")
                items.append(StoredPicture(contents[row].as_buffer(), label))
            elif path:
                items.append(path)
            else:
                raise DataError(f"Every item must have a picture. Item {len(items)} of {split} (from 0) has none. Drop it first.")
    return objects(items)


def _recognise(data: Any, request: Request) -> bool:
    if isinstance(data, str):
        return data.startswith("hf:")
    kind = type(data)
    known = ("Dataset", "DatasetDict", "IterableDataset", "IterableDatasetDict")
    return kind.__module__.split(".")[0] == "datasets" and kind.__name__ in known


def _load(data: Any, request: Request) -> Raw:
    if not isinstance(data, str):
        return read_object(data, request)
    name = data.removeprefix("hf:").strip()
    if not name or name.count("/") > 1 or Path(name).is_absolute():
        raise DataError(f"hf: takes the name of a data set, 'hf:owner/name' or 'hf:owner/name:configuration'. {data!r} came.")
    return read_hub(name, request)


SOURCES.register("huggingface")(
    Source(
        order=30,
        form="'hf:<name>', or a Dataset or DatasetDict of the package datasets",
        recognise=_recognise,
        load=_load,
    )
)
