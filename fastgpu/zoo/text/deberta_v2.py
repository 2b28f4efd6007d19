"""DeBERTa-v2 and -v3 (He et al., 2021, https://arxiv.org/abs/2111.09543), from random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastgpu.zoo.entry import FAMILIES
from fastgpu.zoo.text.configured import Size, classifiers, special_tokens

__all__: list[str] = []


def configure(transformers: Any, size: Size, facts: Mapping[str, Any], target: Mapping[str, Any]) -> Any:
    """Relative positions in attention, as in the published configurations; there are no absolute ones."""
    return transformers.DebertaV2Config(
        vocab_size=facts["vocabulary"],
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.inner,
        max_position_embeddings=facts["max_length"] + 2,
        relative_attention=True,
        position_buckets=256,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        position_biased_input=False,
        type_vocab_size=0,
        pooler_hidden_size=size.width,
        **special_tokens(facts),
    )


FAMILIES.register("deberta_v2")(
    classifiers("deberta_v2", configure, source="DeBERTa-v3, He et al., 2021, arXiv 2111.09543", licence="Apache-2.0")
)
