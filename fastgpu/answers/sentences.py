"""A text for an item: numbers of tokens -> texts."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastgpu.answers.base import ANSWERS, Answers
from fastgpu.reading.tokenizer import loaded

__all__ = ["SentenceAnswers"]

LONGEST = 1
"""Where the tokenizer would cut what it reads, which it does not here."""


@ANSWERS.register("translation")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SentenceAnswers(Answers):
    """Numbers of tokens -> sentences.

    Args:
        tokenizer: JSON of a `tokenizers.Tokenizer`.
        end: number of the token that ends a sentence.
    """

    name: ClassVar[str] = "translation"

    tokenizer: str
    end: int

    def complete(self, outputs: Mapping[str, np.ndarray], x: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """`tokens` `(b, n)`, up to the end of each sentence -> `texts`, a list of `b`."""
        numbers = [row[: row.index(self.end)] if self.end in row else row for row in outputs["tokens"].tolist()]
        texts = loaded(self.tokenizer, LONGEST).decode_batch(numbers, skip_special_tokens=True)
        return {"texts": [text.strip() for text in texts]}

    def columns(self, predictions: Mapping[str, Any]) -> dict[str, Any]:
        return {"texts": predictions["texts"]}

    def title(self, columns: Mapping[str, Any], index: int) -> str:
        lines = textwrap.wrap(columns["texts"][index], 40, max_lines=2, placeholder=" ...")
        return "\n".join(lines).replace("$", r"\$")  # a dollar sign would start a formula
