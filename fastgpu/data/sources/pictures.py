"""Which files are pictures: by their suffix, as Pillow registers them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from fastgpu.errors import DataError

__all__ = ["are_pictures", "by_name", "find_pictures", "is_picture"]

# Pillow registers these, but cannot open them by itself, or they hold no single picture.
_OTHER = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}


@functools.cache
def _suffixes() -> frozenset[str]:
    from PIL import Image

    formats = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in formats.items() if kind in Image.OPEN and kind not in _OTHER)


def is_picture(path: str | Path) -> bool:
    """Whether a file name ends like a picture's: `.jpg`, `.png`, `.webp`, `.tiff`, ..."""
    return os.path.splitext(path)[1].lower() in _suffixes()


def are_pictures(values: Sequence[object]) -> bool:
    """Whether all values are names of picture files; False for none at all."""
    return len(values) > 0 and all(isinstance(v, (str, Path)) and is_picture(v) for v in values)


def find_pictures(folder: Path) -> tuple[list[str], int]:
    """Pictures anywhere under a folder, in sorted order, and how many other files there are; hidden ones are passed over."""
    found: list[str] = []
    others = 0
    for at, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in sorted(f for f in files if not f.startswith(".")):
            if is_picture(file):
                found.append(os.path.join(at, file))
            else:
                others += 1
    return found, others


def by_name(folder: Path, name: Callable[[str], str]) -> dict[str, str]:
    """Name -> file of all pictures under a folder.

    Args:
        folder: where to look.
        name: file -> the name by which it is found again, without its suffix.

    Raises:
        DataError: two files have one name.
    """
    found: dict[str, str] = {}
    for file in find_pictures(folder)[0]:
        other = found.setdefault(name(file), file)
        if other != file:
            raise DataError(f"A picture is found by its name without the suffix. {other} and {file} have one name. Rename or remove one.")
    return found
