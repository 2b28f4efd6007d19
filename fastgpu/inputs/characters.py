"""Texts as characters, none of which is cut off: what is read aloud."""

from __future__ import annotations

import dataclasses
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from fastgpu.data.columns import Columns, RaggedColumns
from fastgpu.errors import BadItemError, DataError
from fastgpu.inputs.base import INPUTS, Input
from fastgpu.reading.shell import texts_of

__all__ = ["CharacterInput"]

PAD, UNKNOWN, FIRST = 0, 1, 2

LONGEST = 200
"""Characters of a text that can be spoken however short those of training were."""


@INPUTS.register("characters")
@dataclasses.dataclass(frozen=True, kw_only=True)
class CharacterInput(Input):
    """Texts as numbers of their characters: `input_ids` `(b, longest)` int64 and `attention_mask`, bool, True on characters.

    Texts are taken in lower case and Unicode's form NFKC, with single spaces. 0 fills up, 1 stands for a character that
    training did not have, characters count from 2.

    Args:
        characters: the characters of the training texts, sorted.
        longest: most characters of a text that is spoken: four times as many as the longest of training has, at least 200.

    Example:
        >>> CharacterInput.fit(["Aha!"]).encode(["ha"]).gather(torch.tensor([0]))["input_ids"].tolist()
        [[4, 3]]
    """

    kind: ClassVar[str] = "characters"
    keys: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask")

    characters: tuple[str, ...]
    longest: int = LONGEST

    @classmethod
    def fit(cls, items: Any, *, size: tuple[int, int] | None = None) -> CharacterInput:
        """Collect the characters of the training texts `(n,)`; `size` is unused."""
        texts = list(map(_plain, items))
        characters = sorted(set("".join(texts)))
        if not characters:
            raise DataError(f"Texts must hold characters. None of the {len(items)} items does. Check the text column.")
        return cls(characters=tuple(characters), longest=max(LONGEST, 4 * max(map(len, texts))))

    def encode(self, items: Any) -> Columns:
        texts = [_plain(item) for item in items]
        bad = [i for i, text in enumerate(texts) if not text]
        if bad:
            raise BadItemError(f"A text to speak must not be empty. Item {bad[0]} is ({len(bad)} such). Leave it out.", bad)
        numbers = {character: FIRST + i for i, character in enumerate(self.characters)}
        flat = np.fromiter((numbers.get(c, UNKNOWN) for text in texts for c in text), np.int64)
        return RaggedColumns(torch.from_numpy(flat), torch.tensor([len(text) for text in texts]), pad=PAD)

    def as_items(self, given: Any) -> Any:
        """A string, or a list, array or Series of strings -> `(n,)` strings whose characters were all trained on."""
        texts = [given] if isinstance(given, str) else list(given)
        wrong = next((text for text in texts if not isinstance(text, str)), None)
        if wrong is not None:
            raise DataError(f"Texts to speak are strings. {type(wrong).__name__} came. Give a string or a list of strings.")
        for text in texts:
            if len(_plain(text)) > self.longest:
                raise DataError(
                    f"A text to speak has at most {self.longest} characters here, four times the longest of training. One of {len(_plain(text)):,} "
                    "came. Part it at its sentences."
                )
            strange = sorted(set(_plain(text)) - set(self.characters))
            if strange:
                raise DataError(
                    f"Only what was trained on can be spoken. {text!r} has {', '.join(map(repr, strange))}, which no training "
                    f"text had. Spell it with {''.join(self.characters)!r}."
                )
        array = np.empty(len(texts), dtype=object)
        array[:] = texts
        return array

    def from_shell(self, given: Sequence[str]) -> tuple[Sequence[Any], Any]:
        texts = texts_of(given)
        return texts, self.as_items(texts)

    def facts(self) -> dict[str, Any]:
        return {"kind": self.kind, "vocabulary": FIRST + len(self.characters), "pad": PAD}

    def describe(self) -> str:
        return f"texts by {len(self.characters)} characters: {''.join(self.characters)}"

    def draw(self, axes: Any, columns: Columns, index: int) -> None:
        batch = columns.gather(torch.tensor([index]))
        names = ("", "\N{REPLACEMENT CHARACTER}", *self.characters)
        text = "".join(names[i] for i in batch["input_ids"][0].tolist())
        lines = textwrap.wrap(text, 28, max_lines=4, placeholder=" ...")
        # A dollar sign would start a formula.
        shown = "\n".join(lines).replace("$", r"\$")
        axes.text(0.02, 0.98, shown, ha="left", va="top", fontsize=8, family="monospace", transform=axes.transAxes)
        axes.set(yticks=[])


def _plain(text: Any) -> str:
    return " ".join(unicodedata.normalize("NFKC", str(text)).lower().split())
