"""Small Transformer encoders for texts, trained from the data alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.nn.text import masked_mean
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["TextEncoder"]

SIZES: dict[str, tuple[int, int]] = {
    "text_encoder/tiny": (128, 2),
    "text_encoder/mini": (256, 4),
    "text_encoder/small": (512, 4),
}
"""Name -> width and layers, as in table 1 of Turc et al., 2019."""


class TextEncoder(nn.Module):
    """Transformer encoder with learnt positions; the mean over a text's tokens goes to a linear head.

    Layers with the normalisation first (Xiong et al., 2020, https://arxiv.org/abs/2002.04745), sizes as the small
    BERT models of Turc et al., 2019, https://arxiv.org/abs/1908.08962: 64 values a head, `4 * width` inside a layer.

    Args:
        vocabulary: how many token ids there are.
        max_length: most tokens a text has.
        outputs: numbers a text gets.
        width: values a token has, a multiple of 64.
        layers: encoder layers.
        pad: id of the token that fills up.
        dropout: share of values dropped in training, 0 to 1.
    """

    def __init__(
        self,
        vocabulary: int,
        max_length: int,
        outputs: int,
        *,
        width: int = 128,
        layers: int = 2,
        pad: int = 0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width, padding_idx=pad)
        self.positions = nn.Embedding(max_length, width)
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(
            width, width // 64, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, outputs)
        self._initialise()

    def _initialise(self) -> None:
        # TransformerEncoder copies one layer, weights and all: draw each anew, at BERT's scale.
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=0.02)
            elif name.endswith("in_proj_bias"):
                nn.init.zeros_(weight)
        with torch.no_grad():
            self.tokens.weight[self.tokens.padding_idx] = 0.0

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Score a batch of texts.

        Args:
            input_ids: `(batch, length)` int64 token ids.
            attention_mask: `(batch, length)` bool, True on tokens, False on padding.

        Returns:
            `(batch, outputs)` logits.
        """
        steps = torch.arange(input_ids.shape[1], device=input_ids.device)
        x = self.dropout(self.tokens(input_ids) + self.positions(steps))
        x = self.encoder(x, src_key_padding_mask=~attention_mask)
        return self.head(masked_mean(x, attention_mask))


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the encoder for a tokenizer's vocabulary and length."""
    width, layers = SIZES[name]
    net = TextEncoder(facts["vocabulary"], facts["max_length"], target["outputs"], width=width, layers=layers, pad=facts["pad"])
    return Built(net=net, head=("head",))


def entry(name: str) -> Entry:
    """Facts about a text encoder."""
    width, layers = SIZES[name]
    return Entry(
        name=name,
        inputs=("text",),
        tasks=("classification", "multilabel", "regression"),
        source=f"Transformer encoder, {layers} layers of width {width} (sizes: Turc et al., 2019, arXiv 1908.08962)",
        licence="Apache-2.0",
    )


FAMILIES.register("text_encoder")(Family(names=lambda: list(SIZES), entry=entry, build=build))
