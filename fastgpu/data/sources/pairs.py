"""Pairs of a text and its translation -> raw items; what is missing on either side is refused by its place, or left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastgpu.data.raw import SPLITS, Items, Raw
from fastgpu.data.sources.base import Request, count, objects
from fastgpu.errors import DataError

__all__ = ["ROLES", "pairs", "raw_pairs"]


ROLES = ("source", "target")
"""What `columns=` may name."""


def pairs(
    source: Sequence[Any], target: Sequence[Any], request: Request, notes: list[str], *, words: str, row: str = "line", first: int = 1
) -> Items:
    """Check pairs.

    Args:
        source: `n` texts; what is no string, or empty, is missing.
        target: their translations.
        request: says whether bad pairs are left out.
        notes: takes how many were left out.
        words: where they come from.
        row: what a pair is called there.
        first: number of the first one.

    Raises:
        DataError: a side of a pair is missing, and they are not to be left out; or no pair is left.
    """
    bad = np.array([_missing(a) or _missing(b) for a, b in zip(source, target, strict=True)], dtype=bool)
    at = np.flatnonzero(bad)
    named = ", ".join(str(i + first) for i in at[:3]) + (f" and {len(at) - 3} more" if len(at) > 3 else "")
    if len(at) and not request.skip:
        raise DataError(
            f"Every pair has a text and its translation, in UTF-8. {words} lacks one, or has one that is not UTF-8, in "
            f"{row}{'s' if len(at) > 1 else ''} {named}. Mend them, or leave them out with on_bad_item='skip'."
        )
    if len(at):
        notes.append(f"{count(len(at), 'pair')} of {words} left out, empty or not UTF-8: {row}{'s' if len(at) > 1 else ''} {named}")
    keep = np.flatnonzero(~bad).tolist()
    if not keep:
        raise DataError(f"Data must have pairs of texts. {words} has none. Check the file.")
    return Items(objects(source[i].strip() for i in keep), objects(target[i].strip() for i in keep))


def _missing(text: Any) -> bool:
    return not isinstance(text, str) or not text.strip()


def raw_pairs(name: str, splits: Mapping[str, Items], *, origin: str, notes: Sequence[str]) -> Raw:
    """The recognised source."""
    ordered = {split: splits[split] for split in SPLITS if split in splits}
    return Raw(name=name, kind="text", splits=ordered, task="translation", origin=origin, notes=tuple(notes))
