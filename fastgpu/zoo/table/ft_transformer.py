"""FT-Transformer (Gorishniy et al., 2021), the authors' package `rtdl_revisiting_models`."""

from __future__ import annotations

from typing import Any

import torch

from fastgpu.optional import require
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__: list[str] = []

BLOCKS: dict[str, int] = {
    "ft_transformer/tiny": 1,
    "ft_transformer/small": 2,
    "ft_transformer/base": 3,
    "ft_transformer/large": 6,
}
"""Name -> number of blocks; width and dropout follow from it in the authors' table of defaults."""


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the Transformer for a table's columns, each of them a token."""
    rtdl: Any = require("rtdl_revisiting_models", need=name)
    settings = rtdl.FTTransformer.get_default_kwargs(n_blocks=BLOCKS[name])
    net = rtdl.FTTransformer(
        n_cont_features=facts["numbers"], cat_cardinalities=list(facts["cardinalities"]), d_out=target["outputs"], **settings
    )
    if net.cat_embeddings is not None:
        with torch.no_grad():
            # Code 0, a missing or unseen category, may never occur in training: it starts, and then stays, in the middle.
            for table in net.cat_embeddings.embeddings:
                table.weight[0] = 0.0
    return Built(net=net, head=("backbone.output",))


def entry(name: str) -> Entry:
    """Facts about an FT-Transformer."""
    return Entry(
        name=name,
        inputs=("table",),
        tasks=("classification", "multilabel", "regression"),
        source=f"Gorishniy et al., 2021, arXiv 2106.11959; rtdl_revisiting_models, {BLOCKS[name]} block(s)",
        licence="Apache-2.0",
        extra="tables",
    )


FAMILIES.register("ft_transformer")(Family(names=lambda: list(BLOCKS), entry=entry, build=build))
