"""BART (Lewis et al., 2020, https://arxiv.org/abs/1910.13461), from random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastgpu.zoo.entry import FAMILIES
from fastgpu.zoo.text.configured import Size, translators

__all__: list[str] = []


def configure(transformers: Any, size: Size, facts: Mapping[str, Any], target: Mapping[str, Any]) -> Any:
    """The decoder starts from the end-of-sentence token, as in the published BART models.

    Initial weights deviate by `width ** -0.5`: with the library's 0.02, meant for a width of 1,024, small networks learn late.
    """
    return transformers.BartConfig(
        vocab_size=facts["vocabulary"],
        d_model=size.width,
        encoder_layers=size.layers,
        decoder_layers=size.layers,
        encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads,
        encoder_ffn_dim=size.inner,
        decoder_ffn_dim=size.inner,
        max_position_embeddings=max(facts["max_length"] + 1, target["length"]) + 1,
        init_std=size.width**-0.5,
        pad_token_id=facts["pad"],
        bos_token_id=facts.get("begin"),
        eos_token_id=target["end"],
        decoder_start_token_id=target["end"],
        forced_eos_token_id=target["end"],
    )


FAMILIES.register("bart")(
    translators("bart", configure, head="model.decoder.layers", source="BART, Lewis et al., 2020, arXiv 1910.13461")
)
