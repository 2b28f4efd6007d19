"""What is said in a recording."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastgpu.answers.base import ANSWERS, Answers

__all__ = ["BLANK", "END", "FIRST", "SpokenAnswers"]

BLANK, END, FIRST = 0, 1, 2
"""Output of CTC's blank, of the end of a text, and of the first character."""


@ANSWERS.register("recognition")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SpokenAnswers(Answers):
    """Numbers of characters -> texts.

    Args:
        characters: the characters of the transcripts, sorted.

    Example:
        >>> SpokenAnswers(characters=("a", "h")).complete({"tokens": np.array([[2, 0, 3, 2]])}, {})
        {'texts': ['aha']}
    """

    name: ClassVar[str] = "recognition"

    characters: tuple[str, ...]

    def complete(self, outputs: Mapping[str, np.ndarray], x: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """`tokens` `(b, n)`, up to the end or among blanks -> `texts`, a list of `b`."""
        rows = outputs["tokens"].tolist()
        return {"texts": [self._text(row[: row.index(END)] if END in row else row) for row in rows]}

    def _text(self, numbers: list[int]) -> str:
        return "".join(self.characters[n - FIRST] for n in numbers if n >= FIRST).strip()

    def columns(self, predictions: Mapping[str, Any]) -> dict[str, Any]:
        return {"texts": predictions["texts"]}

    def title(self, columns: Mapping[str, Any], index: int) -> str:
        lines = textwrap.wrap(columns["texts"][index], 36, max_lines=2, placeholder=" ...")
        return "\n".join(lines).replace("$", r"\$")  # a dollar sign would start a formula
