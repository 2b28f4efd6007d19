"""T5 (Raffel et al., 2020, https://arxiv.org/abs/1910.10683), from random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastgpu.zoo.entry import FAMILIES
from fastgpu.zoo.text.configured import Size, translators

__all__: list[str] = []


def configure(transformers: Any, size: Size, facts: Mapping[str, Any], target: Mapping[str, Any]) -> Any:
    """Positions are relative, so texts may have any length; the decoder starts from the padding token."""
    return transformers.T5Config(
        vocab_size=facts["vocabulary"],
        d_model=size.width,
        d_kv=size.width // size.heads,
        d_ff=size.inner,
        num_layers=size.layers,
        num_heads=size.heads,
        pad_token_id=facts["pad"],
        eos_token_id=target["end"],
        decoder_start_token_id=facts["pad"],
    )


FAMILIES.register("t5")(translators("t5", configure, head="decoder.block", source="T5, Raffel et al., 2020, arXiv 1910.10683"))
