"""Public data sets by name, fetched and read by torchvision, which checks the MD5 digest of each file."""

from __future__ import annotations

import http.client
import os
import shutil
import sys
import tempfile
import urllib.error
from pathlib import Path
from typing import Any

from fastgpu.data.raw import Items, Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, class_targets, objects
from fastgpu.data.sources.catalogue import PUBLIC, PublicSet
from fastgpu.data.sources.network import hosts, reachable
from fastgpu.data.sources.vision import class_names, vision_items
from fastgpu.errors import DataError, NetworkError, RunFolderError
from fastgpu.optional import require

__all__ = ["read_public"]


def _canonical(data: Any) -> str:
    return data.lower().replace("-", "_") if isinstance(data, str) else ""


def data_folder(asked: Path | None) -> Path:
    """The folder for fetched data: what was asked for, `$FASTGPU_DATA`, or `~/.cache/fastgpu/data`."""
    return asked or Path(os.environ.get("FASTGPU_DATA") or "~/.cache/fastgpu/data").expanduser()


def read_public(name: str, root: Path, size: tuple[int, int] | None = None) -> Raw:
    """Read a public data set from the disk, after fetching it where it is not there.

    Args:
        name: its name in the catalogue: `"mnist"`.
        root: folder that holds the data, laid out as torchvision does.
        size: `(height, width)` that pictures will be used at; chooses among sizes that a set comes in.

    Raises:
        NetworkError: it is not on the disk, and its host does not answer.
        DataError: what was fetched does not have the digest that torchvision knows.
        RunFolderError: the folder cannot be written, or is full.
    """
    known = PUBLIC[name]
    if known.needs is not None:
        require(known.needs, need=f"Reading the data set {name}")
    notes: list[str] = []
    try:
        parts = _open(known, root, size)
    except (RuntimeError, FileNotFoundError):  # not on the disk, or not whole
        _fetch(name, known, root, size)
        parts = _open(known, root, size)
        notes.append(f"{name} fetched into {root}; torchvision checked its digests")
    pictures = {split: _items(name, dataset, split, root) for split, dataset in parts.items()}
    classes = class_names(parts["train"])
    return Raw(
        name=name,
        kind="image",
        splits=pictures,
        classes=classes or _numbers(pictures["train"]),
        task="classification",
        origin=f"{name} ({known.source})",
        notes=tuple(notes),
    )


def _numbers(items: Items) -> tuple[int, ...]:
    return () if items.y is None else tuple(range(int(items.y.max()) + 1))


def _open(known: PublicSet, root: Path, size: tuple[int, int] | None, download: bool = False) -> dict[str, Any]:
    """The torchvision data set of each split."""
    make = known.make()
    return {split: make(str(root), download=download, **options) for split, options in known.options(size).items()}


def _items(name: str, dataset: Any, split: str, root: Path) -> Items:
    if name == "oxford_iiit_pet":  # torchvision shows neither its files nor its labels: read the list that they come from
        folder = root / "oxford-iiit-pet"
        listed = "trainval.txt" if split == "train" else "test.txt"
        entries = [line.split() for line in (folder / "annotations" / listed).read_text().splitlines() if line.strip()]
        paths = objects(str(folder / "images" / f"{entry[0]}.jpg") for entry in entries)
        return Items(paths, class_targets([int(entry[1]) - 1 for entry in entries], class_names(dataset)))
    items = vision_items(dataset)
    if items is None:
        raise DataError(f"The data set {name} must show its pictures. This torchvision hides them. Update torchvision.")
    return items


def _fetch(name: str, known: PublicSet, root: Path, size: tuple[int, int] | None) -> None:
    """Fetch into a folder of its own and move what came when all is there: an interrupt leaves nothing half-done."""
    files = known.files(size)
    lacking = [(url, place) for url, place in files if not (root / place).is_file()]
    # One file may have several mirrors.
    if lacking and not reachable([*(url for url, _ in lacking), *known.mirrors()]):
        folder = root / Path(lacking[0][1]).parent
        names = ", ".join(url.rsplit("/", 1)[-1] for url, _ in lacking)
        base = lacking[0][0].rsplit("/", 1)[0]
        raise NetworkError(
            f"The data set {name!r} must be fetched once. {hosts(url for url, _ in lacking)} does not answer. "
            f"Connect, or put {names} from {base}/ into {folder}."
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}-") as partial:
            for _, place in files:
                if (root / place).is_file():
                    _lend(root / place, Path(partial) / place)
            print(f"Fetching {name} into {root}", file=sys.stderr)
            _open(known, Path(partial), size, download=True)
            _move(Path(partial), root)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise NetworkError(f"The data set {name!r} could not be fetched: {error}. Try again, or connect.") from error
    except OSError as error:
        raise RunFolderError(
            f"Fetched data need a folder with room. {root}: {error.strerror or error}. Name another with data_dir=."
        ) from error
    except RuntimeError as error:
        if "corrupted" not in str(error):
            raise NetworkError(f"The data set {name!r} could not be fetched: {error}. Try again, or connect.") from error
        raise DataError(
            f"What is fetched must have the digest that torchvision knows. {name!r}: {error} Try again later."
        ) from error


def _lend(file: Path, to: Path) -> None:
    """The file at a second place, without a copy where the disk allows it."""
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


def _move(folder: Path, to: Path) -> None:
    for entry in folder.iterdir():
        place = to / entry.name
        if entry.is_dir() and place.is_dir():
            _move(entry, place)
        else:
            os.replace(entry, place)


def _load(data: str, request: Request) -> Raw:
    request.refuse_target("a public data set")
    return read_public(_canonical(data), data_folder(request.data_dir), request.image_size)


SOURCES.register("public")(
    Source(
        order=20,
        form="the name of a public data set ('mnist', 'cifar10', 'imagenette', ...)",
        recognise=lambda data, request: _canonical(data) in PUBLIC,
        load=_load,
        names=tuple(PUBLIC),
    )
)
