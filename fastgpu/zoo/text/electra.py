"""ELECTRA (Clark et al., 2020, https://arxiv.org/abs/2003.10555), from random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastgpu.zoo.entry import FAMILIES
from fastgpu.zoo.text.configured import Size, classifiers, special_tokens

__all__: list[str] = []


def configure(transformers: Any, size: Size, facts: Mapping[str, Any], target: Mapping[str, Any]) -> Any:
    """The embedding is 128 wide below the base size, as in ELECTRA-small."""
    return transformers.ElectraConfig(
        vocab_size=facts["vocabulary"],
        embedding_size=size.width if size.layers >= 12 else 128,
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.inner,
        max_position_embeddings=facts["max_length"] + 2,
        **special_tokens(facts),
    )


FAMILIES.register("electra")(classifiers("electra", configure, source="ELECTRA, Clark et al., 2020, arXiv 2003.10555"))
