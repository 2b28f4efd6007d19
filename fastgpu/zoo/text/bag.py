"""Bag of tokens: a text is the mean of its tokens' vectors. Fast, and hard to beat on short texts."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from fastgpu.nn.text import masked_mean
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["TextBag"]

WIDTHS: dict[str, int] = {"text_bag": 64}


class TextBag(nn.Module):
    """Mean of a text's token vectors, then a linear head (fastText, Joulin et al., 2016, arXiv 1607.01759).

    Args:
        vocabulary: how many token ids there are.
        outputs: numbers a text gets.
        width: values a token has.
        pad: id of the token that fills up.
    """

    def __init__(self, vocabulary: int, outputs: int, *, width: int = 64, pad: int = 0) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width, padding_idx=pad)
        self.head = nn.Linear(width, outputs)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token ids `(batch, length)` int64 and their mask, bool -> `(batch, outputs)` logits."""
        return self.head(masked_mean(self.tokens(input_ids), attention_mask))


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the bag for a tokenizer's vocabulary."""
    return Built(net=TextBag(facts["vocabulary"], target["outputs"], width=WIDTHS[name], pad=facts["pad"]), head=("head",))


def entry(name: str) -> Entry:
    """Facts about the bag of tokens."""
    return Entry(
        name=name,
        inputs=("text",),
        tasks=("classification", "multilabel", "regression"),
        source=f"fastText, Joulin et al., 2016, arXiv 1607.01759; width {WIDTHS[name]}",
        licence="Apache-2.0",
    )


FAMILIES.register("text_bag")(Family(names=lambda: list(WIDTHS), entry=entry, build=build))
