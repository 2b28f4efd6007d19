"""SASRec: a Transformer over a user's earlier items says which one comes next (Kang and McAuley, 2018)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.errors import ArgumentError
from fastgpu.nn.recommend import dot, widened
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family
from fastgpu.zoo.recommend.facts import TYPICAL

__all__ = ["SASRec"]

SIZES: dict[str, tuple[int, int]] = {"sasrec/tiny": (32, 1), "sasrec": (64, 2)}
"""Name -> width and layers; two layers as in the paper."""


class SASRec(nn.Module):
    """Self-attentive sequential recommendation (Kang and McAuley, 2018, https://arxiv.org/abs/1808.09781).

    The vector of a history is what the last position gives; it is compared with an item's vector by an inner product. A
    learnt start stands before the history, so that an empty one has a vector too. The user's id is not used.

    Args:
        items: how many codes items have, 0 being none.
        length: most items of a history.
        width: length of a vector.
        layers: layers of the Transformer.
        dropout: share of values dropped in training, 0 to 1.
    """

    def __init__(self, items: int, length: int, *, width: int = 64, layers: int = 2, dropout: float = 0.2) -> None:
        super().__init__()
        self.items = nn.Embedding(items, width, padding_idx=0)
        self.positions = nn.Parameter(torch.empty(length + 1, width))
        self.item_bias = nn.Embedding(items, 1, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(width, max(1, width // 32), width, dropout, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        for weight in (self.items.weight, self.positions, *(p for p in self.encoder.parameters() if p.ndim > 1)):
            nn.init.normal_(weight, std=0.05)
        nn.init.zeros_(self.item_bias.weight)
        with torch.no_grad():
            self.items.weight[0] = 0.0

    def forward(self, user: Tensor, item: Tensor, history: Tensor, user_features: Tensor, item_features: Tensor) -> Tensor:
        """Histories `(b, length)`, latest last, and items `(b,)`, `(b, m)` or `(1, m)`, codes -> scores `(b, m)`."""
        item, _ = widened(item, item_features)
        steps = torch.cat((history.new_zeros(history.shape[0], 1), history), 1)
        x = self.dropout(self.items(steps) + self.positions)
        nothing = steps == 0
        nothing[:, 0] = False
        # Only the last position is used, which may look at all before it: no causal mask is needed.
        last = self.encoder(x, src_key_padding_mask=nothing)[:, -1] if history.shape[1] else x[:, 0]
        return dot(last, self.items(item)) + self.item_bias(item)[..., 0]


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the Transformer for these items.

    Raises:
        ArgumentError: the interactions have no times.
    """
    if not facts["history"]:
        raise ArgumentError(f"{name} looks at what came before. These interactions have no times. Name their column: columns={{'time': ...}}.")
    width, layers = SIZES[name]
    return Built(net=SASRec(facts["items"], facts["history"], width=width, layers=layers), head=("encoder",))


def entry(name: str) -> Entry:
    """Facts about a SASRec."""
    width, layers = SIZES[name]
    return Entry(
        name=name,
        inputs=("interactions",),
        tasks=("ranking",),
        source=f"Kang and McAuley, 2018, arXiv 1808.09781; {layers} layer(s) of width {width}",
        licence="Apache-2.0",
        typical=TYPICAL,
    )


FAMILIES.register("sasrec")(Family(names=lambda: list(SIZES), entry=entry, build=build))
