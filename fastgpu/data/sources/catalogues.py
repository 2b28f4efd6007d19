"""Message catalogues of gettext: `.po` and `.mo` files."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

from fastgpu.data.raw import Items, Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, count
from fastgpu.data.sources.pairs import pairs, raw_pairs
from fastgpu.errors import DataError
from fastgpu.optional import require

__all__ = ["read_catalogue"]

SUFFIXES = (".po", ".mo")


def read_catalogue(path: Path, request: Request, notes: list[str]) -> Items:
    """Messages of a program with their translations; those without, and those marked as fuzzy, are left out and counted.

    Args:
        path: ends in `.po` or `.mo`; the encoding is the one that the file states.
        request: what the user asked for.
        notes: takes what was left out.

    Raises:
        DataError: the file is no catalogue, or translates nothing.
        MissingPackageError: Babel is not installed.
    """
    need = "Reading a gettext catalogue"
    try:
        if path.suffix.lower() == ".mo":
            with path.open("rb") as file:
                catalogue = require("babel.messages.mofile", need=need).read_mo(file)
        else:
            with path.open("rb") as file:
                catalogue = require("babel.messages.pofile", need=need).read_po(file)
    except UnicodeDecodeError as error:
        raise DataError(f"A catalogue must be in the encoding that it states. {path} is not, at byte {error.start}. Mend it.") from None
    except (OSError, ValueError, LookupError, AttributeError, TypeError, struct.error) as error:
        if isinstance(error, PermissionError):
            raise
        raise DataError(f"A gettext catalogue must be readable. {path} is not: {error}. Make it anew with msgfmt or msgmerge.") from None
    source: list[str] = []
    target: list[str] = []
    without = 0
    for message in catalogue:
        if not message.id:
            continue  # the header
        ids, strings = _several(message.id), _several(message.string)
        if message.fuzzy or not all(text and text.strip() for text in (*ids, *strings)):
            without += 1
            continue
        for text, translation in zip(ids, strings):  # singular and plural; further plural forms have no text of their own
            source.append(text)
            target.append(translation)
    if without:
        notes.append(f"{count(without, 'message')} of {path.name} without a translation left out")
    return pairs(source, target, request, notes, words=str(path), row="message")


def _several(text: Any) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text or ("",))


def _recognise(data: Any, request: Request) -> bool:
    path = as_path(data) if isinstance(data, (str, os.PathLike)) else None
    return path is not None and path.is_file() and path.suffix.lower() in SUFFIXES


def _load(data: Any, request: Request) -> Raw:
    request.refuse_target("a gettext catalogue")
    path, notes = Path(data).expanduser(), []
    return raw_pairs(path.stem, {"train": read_catalogue(path, request, notes)}, origin=str(path), notes=notes)


SOURCES.register("catalogues")(
    Source(order=32, form="the path of a gettext catalogue, .po or .mo", recognise=_recognise, load=_load)
)
