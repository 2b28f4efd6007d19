"""BERT (Devlin et al., 2019, https://arxiv.org/abs/1810.04805), from random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastgpu.zoo.entry import FAMILIES
from fastgpu.zoo.text.configured import Size, classifiers, special_tokens

__all__: list[str] = []


def configure(transformers: Any, size: Size, facts: Mapping[str, Any], target: Mapping[str, Any]) -> Any:
    """A position for each token and two special ones."""
    return transformers.BertConfig(
        vocab_size=facts["vocabulary"],
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.inner,
        max_position_embeddings=facts["max_length"] + 2,
        **special_tokens(facts),
    )


FAMILIES.register("bert")(classifiers("bert", configure, source="BERT, Devlin et al., 2019, arXiv 1810.04805"))
