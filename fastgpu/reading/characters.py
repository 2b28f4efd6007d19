"""Texts as characters, none of which is cut off: what is read aloud."""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from fastgpu.errors import BadItemError, DataError
from fastgpu.reading.base import READERS, Reader, objects
from fastgpu.reading.encoded import Encoded, Ragged
from fastgpu.reading.shell import texts_of

__all__ = ["FIRST", "LONGEST", "PAD", "CharacterReader", "plain"]

PAD, UNKNOWN, FIRST = 0, 1, 2

LONGEST = 200
"""Characters of a text that can be spoken however short those of training were."""


@READERS.register("characters")
@dataclasses.dataclass(frozen=True, kw_only=True)
class CharacterReader(Reader):
    """Texts as numbers of their characters, in lower case and Unicode's form NFKC, with single spaces.

    0 fills up, 1 stands for a character that training did not have, characters count from 2.

    Args:
        characters: the characters of the training texts, sorted.
        longest: most characters of a text that is spoken.

    Example:
        >>> CharacterReader(characters=("!", "a", "h")).arrays(["Ha"]).gather(np.array([0]))["input_ids"]
        array([[4, 3]])
    """

    kind: ClassVar[str] = "characters"
    keys: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask")

    characters: tuple[str, ...]
    longest: int = LONGEST

    def arrays(self, items: Any) -> Encoded:
        texts = [plain(item) for item in items]
        bad = [i for i, text in enumerate(texts) if not text]
        if bad:
            raise BadItemError(f"A text to speak must not be empty. {len(bad)} of {len(texts)} are, first item {bad[0]}. Leave such out.", bad)
        numbers = {character: FIRST + i for i, character in enumerate(self.characters)}
        flat = np.fromiter((numbers.get(c, UNKNOWN) for text in texts for c in text), np.int64)
        return Ragged(flat, np.fromiter(map(len, texts), np.int64, len(texts)), pad=PAD)

    def as_items(self, given: Any) -> Any:
        """A string, the path of a file of texts, or a list, array or Series of strings -> `(n,)` strings whose characters were all
        trained on."""
        if isinstance(given, (str, os.PathLike)):
            given = texts_of([os.fspath(given)])
        texts = list(given) if isinstance(given, Iterable) else [given]
        wrong = [type(text).__name__ for text in texts if not isinstance(text, str)]
        if wrong:
            raise DataError(f"Texts to speak are strings. {wrong[0]} came. Give a string or a list of strings.")
        for text in texts:
            if len(plain(text)) > self.longest:
                raise DataError(
                    f"A text to speak has at most {self.longest} characters here: four times the longest of training, at least {LONGEST}. "
                    f"One of {len(plain(text)):,} came. Part it at its sentences."
                )
            strange = sorted(set(plain(text)) - set(self.characters))
            if strange:
                raise DataError(
                    f"Only what was trained on can be spoken. {text!r} has {', '.join(map(repr, strange))}, which no training "
                    f"text had. Spell it with {''.join(self.characters)!r}."
                )
        return objects(texts)

    def from_shell(self, given: Sequence[str]) -> tuple[Sequence[Any], Any]:
        texts = texts_of(given)
        return texts, self.as_items(texts)


def plain(text: Any) -> str:
    """A text as it is read: NFKC, lower case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", str(text)).lower().split())
