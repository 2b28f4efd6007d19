"""ModernBERT (Warner et al., 2024, https://arxiv.org/abs/2412.13663), from random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastgpu.zoo.entry import FAMILIES
from fastgpu.zoo.text.configured import Size, classifiers, special_tokens

__all__: list[str] = []


def configure(transformers: Any, size: Size, facts: Mapping[str, Any], target: Mapping[str, Any]) -> Any:
    """The gated feed-forward part is 1.5 times as wide as the layers; every third layer looks at the whole text."""
    return transformers.ModernBertConfig(
        vocab_size=facts["vocabulary"],
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.width * 3 // 2,
        max_position_embeddings=facts["max_length"] + 2,
        cls_token_id=facts.get("begin"),
        sep_token_id=facts.get("end"),
        **special_tokens(facts),
    )


FAMILIES.register("modernbert")(classifiers("modernbert", configure, source="ModernBERT, Warner et al., 2024, arXiv 2412.13663"))
