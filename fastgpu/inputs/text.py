"""Text: strings to token numbers, by a tokenizer that is trained on the data or given."""

from __future__ import annotations

import dataclasses
import os
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fastgpu.data.columns import Columns, columns_of
from fastgpu.errors import DataError
from fastgpu.inputs.base import INPUTS, Input, Preparation
from fastgpu.reading.text import TextReader
from fastgpu.reading.tokenizer import BEGIN, END, PAD, UNKNOWN, given, loaded, number_of, spread, train, wraps

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TextInput"]

VOCABULARY = 8000
"""Most tokens that a tokenizer trained here has; small data give fewer."""

MAX_LENGTH = 256
"""Most tokens of a text that a network gets."""

HIDDEN = 0.3
"""Share of the tokens that augmentation hides."""

_TRAINED_ON = 100_000
_MEASURED_ON = 20_000


class TextPreparation(Preparation):
    """Puts the special tokens around each text that the network asks for.

    Args:
        first: number of the token before each text, None: there is none.
        last: number of the token after each text, None: there is none.
        pad: number that fills up.
        unknown: number that stands for a token which is hidden.
    """

    def __init__(self, first: int | None, last: int | None, pad: int, unknown: int) -> None:
        super().__init__()
        self.first, self.last, self.pad, self.unknown = first, last, pad, unknown

    def forward(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        ids, mask = x["input_ids"], x["attention_mask"]
        if self.first is not None:
            ids, mask = F.pad(ids, (1, 0), value=self.first), F.pad(mask, (1, 0), value=True)
        if self.last is not None:
            end = mask.sum(1, keepdim=True)
            ids = F.pad(ids, (0, 1), value=self.pad).scatter(1, end, self.last)
            mask = F.pad(mask, (0, 1), value=False).scatter(1, end, True)
        return {**x, "input_ids": ids, "attention_mask": mask}

    def augment(self, x: dict[str, Any], y: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Hide three tokens of ten (word dropout: Iyyer et al., 2015, https://aclanthology.org/P15-1162), none of the special ones."""
        ids = x["input_ids"]
        hidden = torch.rand(ids.shape, device=ids.device) < HIDDEN
        for special in (self.first, self.last, self.pad):
            if special is not None:
                hidden &= ids != special
        return {**x, "input_ids": ids.masked_fill(hidden, self.unknown)}, y


@INPUTS.register("text")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TextInput(TextReader, Input):
    """Texts as token numbers: `input_ids` `(b, longest)` int64 and `attention_mask`, bool, True on tokens.

    Args:
        tokenizer: as max_length, pad and unknown of a `TextReader`.
        vocabulary: how many token numbers there are.
        first: number of the token before each text, where the network asks for one.
        last: number of the token after each text, likewise.

    Example:
        >>> text = TextInput.fit(np.array(["a good film", "a bad film"], dtype=object))
        >>> text.encode(["a film"]).gather(torch.tensor([0]))["attention_mask"].shape
        torch.Size([1, 2])
    """

    options: ClassVar[tuple[str, ...]] = ("tokenizer",)

    vocabulary: int
    first: int | None = None
    last: int | None = None

    @classmethod
    def fit(
        cls,
        items: Any,
        *,
        size: tuple[int, int] | None = None,
        tokenizer: Tokenizer | str | os.PathLike[str] | None = None,
        also: Sequence[str] | None = None,
        vocabulary: int = VOCABULARY,
        cased: bool = False,
    ) -> TextInput:
        """Train a tokenizer on the texts, or take a given one, and measure how long texts are.

        The tokenizer is byte-pair encoding (Sennrich et al., 2016, https://arxiv.org/abs/1508.07909) of lower-cased
        text. Texts are cut at the length that 99 % of them do not exceed (all of them, where `also` is given), 256
        tokens at most.

        Args:
            items: `(n,)` strings.
            size: unused.
            tokenizer: a `tokenizers.Tokenizer` or the path of its `tokenizer.json`; None trains one.
            also: further texts that a trained tokenizer has to know, such as translations.
            vocabulary: most tokens that a trained tokenizer has.
            cased: whether a trained tokenizer keeps capitals.

        Raises:
            DataError: no item has a word.
            ArgumentError: the given tokenizer cannot be read.
        """
        texts = [text for text in items if isinstance(text, str) and text.strip()]
        if not texts:
            raise DataError(f"Texts must hold words. None of the {len(items)} items does. Check the text column.")
        if tokenizer is not None:
            chosen = given(tokenizer)
        else:
            known = [*texts, *(text for text in also or () if isinstance(text, str))]
            chosen = train(spread(known, _TRAINED_ON), vocabulary=vocabulary, cased=cased)
        fitted = cls(
            tokenizer=chosen.to_str(),
            max_length=MAX_LENGTH,
            vocabulary=max(chosen.get_vocab(with_added_tokens=True).values()) + 1,  # numbers may have gaps
            pad=number_of(chosen, PAD) or 0,
            unknown=number_of(chosen, UNKNOWN) or 0,
        )
        sample = spread(texts, _MEASURED_ON)
        lengths = np.fromiter(map(len, fitted.tokens(sample)), np.int64, len(sample))
        share = 0.99 if also is None else 1.0
        return dataclasses.replace(fitted, max_length=max(1, int(np.ceil(np.quantile(lengths, share)))))

    def encode(self, items: Any) -> Columns:
        return columns_of(self.arrays(items))

    def facts(self) -> dict[str, Any]:
        """Beside the sizes `"begin"` and `"end"`: tokens that a network may ask for around a text, None where there are none.

        They are None, too, where the tokenizer itself puts special tokens around each text.
        """
        tokenizer = loaded(self.tokenizer, self.max_length)
        around = {"begin": BEGIN, "end": END}
        return {
            "kind": self.kind,
            "vocabulary": self.vocabulary,
            "max_length": self.max_length,
            "pad": self.pad,
            **{name: None if wraps(tokenizer) else number_of(tokenizer, names) for name, names in around.items()},
        }

    def preparation(self) -> Preparation:
        return TextPreparation(self.first, self.last, self.pad, self.unknown)

    def describe(self) -> str:
        return f"texts, vocabulary of {self.vocabulary:,} tokens, cut after {self.max_length} tokens"

    def plain(self, columns: Columns, index: int) -> str:
        batch = columns.gather(torch.tensor([index]))
        ids = batch["input_ids"][0][batch["attention_mask"][0]].tolist()
        return loaded(self.tokenizer, self.max_length).decode(ids, skip_special_tokens=False)

    def draw(self, axes: Any, columns: Columns, index: int) -> None:
        lines = textwrap.wrap(self.plain(columns, index), 24, max_lines=9, placeholder=" ...")
        # A dollar sign would start a formula.
        axes.text(0.0, 1.0, "\n".join(lines).replace("$", r"\$"), ha="left", va="top", fontsize=8, family="monospace")
        axes.set_axis_off()
