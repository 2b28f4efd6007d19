"""A folder of texts: one folder a class with one `.txt` file a text, at the top or under `train/`, `val/` and `test/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastgpu.data.raw import SPLITS, Items, Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, count, objects, split_name
from fastgpu.data.sources.pictures import is_picture
from fastgpu.errors import ArgumentError, DataError
from fastgpu.reading.text_files import read_text

__all__ = ["read_text_folder"]


def read_text_folder(folder: Path, request: Request) -> Raw:
    """Read all texts; a file is a text, the folder that holds it is its class.

    Raises:
        DataError: a file is empty or not UTF-8 and such are not to be left out, or there are fewer than two classes.
    """
    by_split: dict[str, tuple[list[str], list[str]]] = {}
    notes: list[str] = []
    bad: list[str] = []
    with_splits = _has_splits(folder)
    for file in sorted(folder.rglob("*.txt")):
        parts = file.relative_to(folder).parts
        split = split_name(parts[0]) if with_splits else "train"
        label = parts[1 if with_splits else 0]
        if any(part.startswith(".") for part in parts) or split is None or len(parts) < (3 if with_splits else 2):
            continue
        text = _text(file, request)
        if text is None:
            bad.append(str(file.relative_to(folder)))
            continue
        texts, labels = by_split.setdefault(split, ([], []))
        texts.append(text)
        labels.append(label)
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        notes.append(f"{count(len(bad), 'text')} left out, empty or not UTF-8: {', '.join(bad[:3])}{more}")
    classes = tuple(sorted(set(by_split.get("train", ([], []))[1])))
    if len(classes) < 2:
        raise DataError(f"Classification needs at least two classes. {folder} has {len(classes)} with texts. Add a folder for each class.")
    for split, (_, labels) in by_split.items():
        strange = sorted(set(labels) - set(classes))
        if strange:
            raise DataError(f"Every class must be in the training folder. {split} of {folder} also has {', '.join(strange)}. Add or remove it.")
    splits = {split: Items(objects(by_split[split][0]), objects(by_split[split][1]).astype(str)) for split in SPLITS if split in by_split}
    return Raw(
        name=folder.resolve().name,
        kind="text",
        splits=splits,
        classes=classes,
        task="classification",
        origin=str(folder),
        notes=tuple(notes),
    )


def _text(file: Path, request: Request) -> str | None:
    """What a file says, or None where it is bad and is to be left out."""
    try:
        text = read_text(file).strip()
        if not text:
            raise DataError(f"Every item must have a text. {file} is empty. Remove it, or leave such out with on_bad_item='skip'.")
    except DataError:
        if not request.skip:
            raise
        return None
    return text


def _has_splits(folder: Path) -> bool:
    """Whether the top folders are splits that hold the folders of the classes."""
    inside = {split_name(f.name): f for f in folder.iterdir() if f.is_dir()}
    return "train" in inside and any(f.is_dir() for f in inside["train"].iterdir())


def _recognise(data: Any, request: Request) -> bool:
    folder = as_path(data)
    if folder is None or not folder.is_dir() or (request.kinds and "text" not in request.kinds):
        return False
    inside = [f for top in folder.iterdir() if top.is_dir() for f in (top, *(g for g in top.iterdir() if g.is_dir()))]
    files = [f for each in inside for f in each.iterdir() if f.is_file() and not f.name.startswith(".")]
    texts = sum(f.suffix == ".txt" for f in files)
    return texts * 2 > len(files) and not any(is_picture(f.name) for f in files)


def _load(data: Any, request: Request) -> Raw:
    request.refuse_target("a folder of texts")
    if request.task not in (None, "classification"):
        raise ArgumentError(
            f"A folder of texts gives one class a text: task='classification'. task={request.task!r} came. "
            "For other targets give a CSV with a column of texts."
        )
    return read_text_folder(Path(data).expanduser(), request)


SOURCES.register("text_folder")(
    Source(order=45, form="the path of a folder of .txt files with one folder a class", recognise=_recognise, load=_load)
)
