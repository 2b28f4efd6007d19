"""Marian's Transformer for translation (Junczys-Dowmunt et al., 2018, https://arxiv.org/abs/1804.00344), from random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastgpu.zoo.entry import FAMILIES
from fastgpu.zoo.text.configured import Size, translators

__all__: list[str] = []


def configure(transformers: Any, size: Size, facts: Mapping[str, Any], target: Mapping[str, Any]) -> Any:
    """The decoder starts from the padding token, as in the published Marian models.

    Initial weights deviate by `width ** -0.5`, so that scaled embeddings weigh as much as positions (Vaswani et al., 2017,
    section 3.4). With the library's 0.02 a small network did not learn to look at the source within 40 epochs of 128 pairs.
    """
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
        init_std=size.width**-0.5,
        pad_token_id=facts["pad"],
        bos_token_id=facts.get("begin"),
        eos_token_id=target["end"],
        decoder_start_token_id=facts["pad"],
        forced_eos_token_id=target["end"],
    )


FAMILIES.register("marian")(
    translators("marian", configure, head="model.decoder.layers", source="Marian, Junczys-Dowmunt et al., 2018, arXiv 1804.00344")
)
