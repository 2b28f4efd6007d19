"""Marian's Transformer for translation (Junczys-Dowmunt et al., 2018, https://arxiv.org/abs/1804.00344), from random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastgpu.zoo.entry import FAMILIES
from fastgpu.zoo.text.configured import Size, translators

__all__: list[str] = []


def configure(transformers: Any, size: Size, facts: Mapping[str, Any], target: Mapping[str, Any]) -> Any:
    """The decoder starts from the padding token, as in the published Marian models."""
    return transformers.MarianConfig(
        vocab_size=facts["vocabulary"],
        decoder_vocab_size=facts["vocabulary"],
        d_model=size.width,
        encoder_layers=size.layers,
        decoder_layers=size.layers,
        encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads,
        encoder_ffn_dim=size.inner,
        decoder_ffn_dim=size.inner,
        max_position_embeddings=max(facts["max_length"] + 1, target["length"]) + 1,
        scale_embedding=True,
        pad_token_id=facts["pad"],
        bos_token_id=facts.get("begin"),
        eos_token_id=target["end"],
        decoder_start_token_id=facts["pad"],
        forced_eos_token_id=target["end"],
    )


FAMILIES.register("marian")(
    translators("marian", configure, head="model.decoder.layers", source="Marian, Junczys-Dowmunt et al., 2018, arXiv 1804.00344")
)
