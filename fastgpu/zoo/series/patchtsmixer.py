"""PatchTSMixer: perceptrons over patches, features and channels, from transformers' configuration."""

from __future__ import annotations

from typing import Any

from fastgpu.errors import ModelError
from fastgpu.nn.series import TYPICAL, patches
from fastgpu.optional import require
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

SIZES: dict[str, tuple[int, int]] = {
    "patchtsmixer/tiny": (16, 3),
    "patchtsmixer/small": (32, 4),
    "patchtsmixer/base": (64, 8),
}
"""Name -> width and layers."""


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the mixer with a linear head over the largest value of each feature over the patches."""
    transformers = require("transformers", need=f"{name}", extra="sensors")
    if facts["length"] < 2:
        raise ModelError(f"{name} cuts a series into patches. A series of {facts['length']} step came. Give a longer window=.")
    width, layers = SIZES[name]
    patch, stride = patches(facts["length"])
    config = transformers.PatchTSMixerConfig(
        num_input_channels=facts["channels"],
        context_length=facts["length"],
        patch_length=patch,
        patch_stride=stride,
        d_model=width,
        num_layers=layers,
        dropout=0.1,
        head_dropout=0.1,
        mode="mix_channel",  # sensors of one plant belong together
        num_targets=target["outputs"],
        scaling=None,  # a scale for each series alone would lose its level, which tells many faults
    )
    return Built(net=transformers.PatchTSMixerForTimeSeriesClassification(config), head=("head",))


def entry(name: str) -> Entry:
    """Facts about a PatchTSMixer."""
    width, layers = SIZES[name]
    return Entry(
        name=name,
        inputs=("series",),
        tasks=("classification", "multilabel", "regression"),
        source=f"Ekambaram et al., 2023, arXiv 2306.09364, {layers} layers of width {width}; transformers' PatchTSMixer",
        licence="Apache-2.0",
        typical=TYPICAL,
        extra="sensors",
    )


FAMILIES.register("patchtsmixer")(Family(names=lambda: list(SIZES), entry=entry, build=build, prefixes=("patchtsmixer/",)))
