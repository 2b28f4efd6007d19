"""Texts: strings, or a file with a column of them -> numbers of tokens."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, ClassVar

import numpy as np

from fastgpu.errors import BadItemError, DataError
from fastgpu.reading.base import READERS, Reader, objects
from fastgpu.reading.encoded import Encoded, Ragged
from fastgpu.reading.shell import texts_in, texts_of
from fastgpu.reading.tokenizer import loaded

__all__ = ["TextReader"]

_AT_ONCE = 10_000


@READERS.register("text")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TextReader(Reader):
    """Texts, by the tokenizer of training.

    Args:
        tokenizer: JSON of a `tokenizers.Tokenizer`.
        max_length: tokens after which a text is cut.
        pad: number that fills up short texts.
        unknown: number that stands for a text without any token.
    """

    kind: ClassVar[str] = "text"
    keys: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask")

    tokenizer: str
    max_length: int
    pad: int = 0
    unknown: int = 1

    def arrays(self, items: Any) -> Encoded:
        """Texts `(n,)` -> their tokens; a missing text counts as an empty one.

        Raises:
            BadItemError: an item is not a string.
        """
        texts = _strings(items)
        # A text without tokens still needs one, for a mean or an attention over nothing has no value.
        tokens = [ids or [self.unknown] for ids in self.tokens(texts)]
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        flat = np.fromiter(chain.from_iterable(tokens), np.int64, int(lengths.sum()))
        return Ragged(flat, lengths, pad=self.pad)

    def tokens(self, texts: list[str]) -> Iterator[list[int]]:
        """Numbers of the tokens of each text."""
        tokenizer = loaded(self.tokenizer, self.max_length)
        # In parts: an encoding holds much more than its numbers.
        for start in range(0, len(texts), _AT_ONCE):
            yield from (e.ids for e in tokenizer.encode_batch_fast(texts[start : start + _AT_ONCE]))

    def as_items(self, given: Any) -> Any:
        """A string, the path of a file of texts, or a list, array, Series or DataFrame of strings -> `(n,)` strings."""
        if isinstance(given, (str, os.PathLike)):
            given = texts_of([os.fspath(given)])
        if getattr(given, "ndim", 1) == 2:
            if hasattr(given, "iloc"):
                given = texts_in(given, "The DataFrame")
            elif given.shape[1] == 1:
                given = given[:, 0]
        if not isinstance(given, Iterable) or getattr(given, "ndim", 1) != 1:
            raise DataError(f"Texts must be a string or a list of strings. {_came(given)} came.")
        items = objects(list(given))
        empty = [i for i, text in enumerate(items) if _missing(text) or (isinstance(text, str) and not text.strip())]
        if empty:
            raise BadItemError(f"A text must hold a word. {len(empty)} of {len(items)} hold none, first item {empty[0]}. Leave such out.", empty)
        return items

    def from_shell(self, given: Sequence[str]) -> tuple[Sequence[Any], Any]:
        texts = texts_of(given)
        return texts, self.as_items(texts)


def _strings(items: Any) -> list[str]:
    texts = list(items)
    bad = [i for i, text in enumerate(texts) if not isinstance(text, str) and not _missing(text)]
    if bad:
        raise BadItemError(f"Texts must be strings. {len(bad)} of {len(texts)} are none, first item {bad[0]}: {_came(texts[bad[0]])}.", bad)
    return [text if isinstance(text, str) else "" for text in texts]


def _missing(text: Any) -> bool:
    return text is None or type(text).__name__ == "NAType" or (isinstance(text, float) and text != text)


def _came(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:40]!r}"
