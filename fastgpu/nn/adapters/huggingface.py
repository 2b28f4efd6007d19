"""The adapter of transformers' networks for texts: sequence classification and sequence to sequence."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.errors import ModelError
from fastgpu.nn.adapters.base import ADAPTERS, of_library
from fastgpu.nn.adapters.writing import Writer

__all__ = ["HuggingFaceText"]

ENDINGS = ("ForSequenceClassification", "ForConditionalGeneration", "MTModel")


@ADAPTERS.register("huggingface_text")
class HuggingFaceText(Writer):
    """Calls a network by keyword with `input_ids` and `attention_mask`.

    A classifier gives `{"logits": (b, outputs)}`: the loss is the task's. An encoder with a decoder gives
    `{"logits": (b, tokens, vocabulary)}`, and its own `"loss"` where `y` has `"labels"` `(b, tokens)`, -100 on padding;
    without `y` the logits are those of the first token.
    """

    @classmethod
    def suits(cls, net: nn.Module) -> bool:
        named = any(kind.__name__.endswith(ENDINGS) for kind in type(net).__mro__)
        return named and of_library(net, "transformers") and getattr(net, "main_input_name", "") == "input_ids"

    def forward(self, x: Mapping[str, Tensor], y: Mapping[str, Any] | None = None) -> dict[str, Any]:
        given = self._given(x)
        if not self._generates:
            return {"logits": self.net(**given).logits}
        if y is not None and "labels" in y:
            out = self.net(**given, labels=y["labels"], use_cache=False)
            return {"logits": out.logits, "loss": out.loss}
        start = self.net.generation_config.decoder_start_token_id  # pyright: ignore[reportAttributeAccessIssue]
        first = torch.full_like(given["input_ids"][:, :1], start)  # pyright: ignore[reportArgumentType]
        return {"logits": self.net(**given, decoder_input_ids=first, use_cache=False).logits}

    @property
    def _generates(self) -> bool:
        return bool(self.net.config.is_encoder_decoder) and not type(self.net).__name__.endswith(ENDINGS[0])  # pyright: ignore

    def settings(self, most: int) -> Any:
        if not self._generates:
            raise ModelError(f"Sentences need a network with a decoder. {type(self.net).__name__} has none. Take for example 'marian/tiny'.")
        settings: Any = copy.deepcopy(self.net.generation_config)
        settings.update(max_new_tokens=most, max_length=None, do_sample=False)
        return settings

    def generate(self, x: Mapping[str, Tensor], *, most: int) -> Tensor:
        settings = self.settings(most)
        with torch.no_grad():
            return self.net.generate(**self._given(x), generation_config=settings)[:, 1:]  # pyright: ignore

    def encoded(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        given = self._given(x)
        hidden = self.net.get_encoder()(**given).last_hidden_state  # pyright: ignore
        return {"hidden": hidden, **{key: given[key] for key in ("attention_mask",) if key in given}}

    def _given(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {key: x[key] for key in ("input_ids", "attention_mask") if key in x}
