"""DistilBERT (Sanh et al., 2019, https://arxiv.org/abs/1910.01108), from random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastgpu.zoo.entry import FAMILIES
from fastgpu.zoo.text.configured import Size, classifiers, special_tokens

__all__: list[str] = []


def configure(transformers: Any, size: Size, facts: Mapping[str, Any], target: Mapping[str, Any]) -> Any:
    """Half of BERT's layers: that is what the paper keeps."""
    return transformers.DistilBertConfig(
        vocab_size=facts["vocabulary"],
        dim=size.width,
        n_layers=size.layers // 2,
        n_heads=size.heads,
        hidden_dim=size.inner,
        max_position_embeddings=facts["max_length"] + 2,
        **special_tokens(facts),
    )


FAMILIES.register("distilbert")(
    classifiers("distilbert", configure, source="DistilBERT, Sanh et al., 2019, arXiv 1910.01108 (half of these layers)")
)
