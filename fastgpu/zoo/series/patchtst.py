"""PatchTST: a Transformer over patches of each channel, from transformers' configuration."""

from __future__ import annotations

from typing import Any

from fastgpu.errors import ModelError
from fastgpu.nn.series import TYPICAL, patches
from fastgpu.optional import require
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

SIZES: dict[str, tuple[int, int, int, int]] = {
    "patchtst/tiny": (32, 4, 2, 64),
    "patchtst/small": (64, 8, 3, 128),
    "patchtst/base": (128, 16, 3, 256),
}
"""Name -> width, heads, layers, width inside a layer; base is the paper's."""


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the encoder with a linear head over the mean of the patches of all channels."""
    transformers = require("transformers", need=f"{name}", extra="sensors")
    if facts["length"] < 2:
        raise ModelError(f"{name} cuts a series into patches. A series of {facts['length']} step came. Give a longer window=.")
    width, heads, layers, inner = SIZES[name]
    patch, stride = patches(facts["length"])
    config = transformers.PatchTSTConfig(
        num_input_channels=facts["channels"],
        context_length=facts["length"],
        patch_length=patch,
        patch_stride=stride,
        d_model=width,
        num_attention_heads=heads,
        num_hidden_layers=layers,
        ffn_dim=inner,
        num_targets=target["outputs"],
        attention_dropout=0.1,
        ff_dropout=0.1,
        head_dropout=0.1,
        scaling=None,  # a scale for each series alone would lose its level, which tells many faults
        do_mask_input=False,
    )
    return Built(net=transformers.PatchTSTForClassification(config), head=("head",))


def entry(name: str) -> Entry:
    """Facts about a PatchTST."""
    width, _, layers, _ = SIZES[name]
    return Entry(
        name=name,
        inputs=("series",),
        tasks=("classification", "multilabel", "regression"),
        source=f"Nie et al., 2023, arXiv 2211.14730, {layers} layers of width {width}; transformers' PatchTSTForClassification",
        licence="Apache-2.0",
        typical=TYPICAL,
        extra="sensors",
    )


FAMILIES.register("patchtst")(Family(names=lambda: list(SIZES), entry=entry, build=build, prefixes=("patchtst/",)))
