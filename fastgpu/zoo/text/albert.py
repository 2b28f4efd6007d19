"""ALBERT (Lan et al., 2020, https://arxiv.org/abs/1909.11942), from random weights: all layers share their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastgpu.zoo.entry import FAMILIES
from fastgpu.zoo.text.configured import Size, classifiers, special_tokens

__all__: list[str] = []


def configure(transformers: Any, size: Size, facts: Mapping[str, Any], target: Mapping[str, Any]) -> Any:
    """The embedding is narrower than the layers: at most 128, as in the paper."""
    return transformers.AlbertConfig(
        vocab_size=facts["vocabulary"],
        embedding_size=min(128, size.width),
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.inner,
        max_position_embeddings=facts["max_length"] + 2,
        **special_tokens(facts),
    )


FAMILIES.register("albert")(classifiers("albert", configure, source="ALBERT, Lan et al., 2020, arXiv 1909.11942"))
