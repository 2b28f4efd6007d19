"""DeepFM and DCNv2 of torch-rechub: rankers that let every feature of a user and an item meet every other."""

from __future__ import annotations

from typing import Any

import torch

from fastgpu.optional import require
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family
from fastgpu.zoo.recommend.facts import TYPICAL

__all__: list[str] = []

SOURCES = {
    "deepfm": "DeepFM, Guo et al., 2017, arXiv 1703.04247",
    "dcnv2": "DCN V2, Wang et al., 2021, arXiv 2008.13535",
}
WIDTH = 16
"""Length of a feature's vector."""

LAYERS: dict[str, Any] = {"dims": [64, 32], "activation": "relu", "dropout": 0.2}


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the ranker for these users, items and their side features."""
    require("torch_rechub", need=name)
    from torch_rechub.basic.features import SparseFeature
    from torch_rechub.models.ranking import DCNv2, DeepFM

    sizes = {"user": facts["users"], "item": facts["items"]}
    for side in ("user", "item"):
        sizes |= {f"{side}_{i}": size for i, size in enumerate(facts[f"{side}_cardinalities"])}
    # A feature holds its embedding, so each network gets features of its own.
    features = [SparseFeature(field, vocab_size=size, embed_dim=WIDTH) for field, size in sizes.items()]
    if name == "deepfm":
        net: Any = DeepFM(deep_features=features, fm_features=features, mlp_params=dict(LAYERS))
        head = ("linear", "mlp")
    else:
        net = DCNv2(features=features, n_cross_layers=2, mlp_params=dict(LAYERS), use_low_rank_mixture=False)
        head = ("crossnet", "parallel_dnn", "linear")
    with torch.no_grad():
        for table in net.embedding.embed_dict.values():
            table.weight[0] = 0.0  # what training did not have starts, and then stays, in the middle
    return Built(net=net, head=head)


def entry(name: str) -> Entry:
    """Facts about a ranker of torch-rechub."""
    return Entry(
        name=name,
        inputs=("interactions",),
        tasks=("ranking",),
        source=f"{SOURCES[name]}; torch-rechub, vectors of {WIDTH}",
        licence="MIT",
        typical=TYPICAL,
        extra="recommend",
    )


FAMILIES.register("rechub")(Family(names=lambda: list(SOURCES), entry=entry, build=build))
