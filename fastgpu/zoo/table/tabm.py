"""TabM (Gorishniy et al., 2024): many perceptrons in one, the authors' package `tabm`."""

from __future__ import annotations

import itertools
from typing import Any

import torch

from fastgpu.optional import require
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__: list[str] = []

SIZES: dict[str, tuple[int, int, int]] = {
    "tabm/tiny": (2, 64, 8),
    "tabm/small": (2, 128, 16),
    "tabm/base": (3, 512, 32),
}
"""Name -> blocks, width and members; base has the authors' defaults."""

AVERAGE = {"classification": "softmax", "multilabel": "sigmoid", "regression": "mean"}
"""Task -> what is averaged over the members, see `fastgpu.nn.adapters.tabular.TabMAdapter`."""


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the ensemble for a table's columns."""
    tabm: Any = require("tabm", need=name)
    blocks, width, members = SIZES[name]
    cardinalities = list(facts["cardinalities"])
    net = tabm.TabM.make(
        n_num_features=facts["numbers"], cat_cardinalities=cardinalities, d_out=target["outputs"],
        n_blocks=blocks, d_block=width, k=members,
    )  # fmt: skip
    net.average = AVERAGE[target["task"]]
    unseen = [facts["numbers"] + at for at in itertools.accumulate(cardinalities[:-1], initial=0)] if cardinalities else []
    with torch.no_grad():
        # Code 0, a missing or unseen category, may never occur in training: its inputs start, and then stay, at no effect.
        first = next(module for module in net.backbone.modules() if hasattr(module, "weight"))
        first.weight[:, unseen] = 0.0
    return Built(net=net, head=("output",))


def entry(name: str) -> Entry:
    """Facts about a TabM."""
    blocks, width, members = SIZES[name]
    return Entry(
        name=name,
        inputs=("table",),
        tasks=("classification", "multilabel", "regression"),
        source=f"Gorishniy et al., 2024, arXiv 2410.24210; tabm, {members} members, {blocks} blocks of width {width}",
        licence="Apache-2.0",
        extra="tables",
    )


FAMILIES.register("tabm")(Family(names=lambda: list(SIZES), entry=entry, build=build))
