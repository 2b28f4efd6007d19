"""Texts as characters, none of which is cut off: what is read aloud."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any

import torch

from fastgpu.data.columns import Columns, columns_of
from fastgpu.errors import DataError
from fastgpu.inputs.base import INPUTS, Input
from fastgpu.reading.characters import FIRST, LONGEST, PAD, CharacterReader, plain

__all__ = ["CharacterInput"]


@INPUTS.register("characters")
@dataclasses.dataclass(frozen=True, kw_only=True)
class CharacterInput(CharacterReader, Input):
    """Texts as numbers of their characters: `input_ids` `(b, longest)` int64 and `attention_mask`, bool, True on characters.

    Texts are taken in lower case and Unicode's form NFKC, with single spaces. 0 fills up, 1 stands for a character that
    training did not have, characters count from 2.

    Args:
        characters: see `CharacterReader`.
        longest: likewise; four times as many as the longest text of training has, at least 200.

    Example:
        >>> CharacterInput.fit(["Aha!"]).encode(["ha"]).gather(torch.tensor([0]))["input_ids"].tolist()
        [[4, 3]]
    """

    @classmethod
    def fit(cls, items: Any, *, size: tuple[int, int] | None = None) -> CharacterInput:
        """Collect the characters of the training texts `(n,)`; `size` is unused."""
        texts = list(map(plain, items))
        characters = sorted(set("".join(texts)))
        if not characters:
            raise DataError(f"Texts must hold characters. None of the {len(items)} items does. Check the text column.")
        return cls(characters=tuple(characters), longest=max(LONGEST, 4 * max(map(len, texts))))

    def encode(self, items: Any) -> Columns:
        return columns_of(self.arrays(items))

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
