"""What the adapters of transformers' encoders with decoders have in common: they write a text token after token."""

from __future__ import annotations

import functools
import inspect
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fastgpu.nn.adapters.base import Adapter
from fastgpu.nn.writing import Memory, Next, Rules, padded, write

__all__ = ["Writer"]


class Writer(Adapter):
    """An encoder with a decoder that writes."""

    @abstractmethod
    def settings(self, most: int) -> Any:
        """The `transformers.GenerationConfig` by which texts of at most `most` tokens are written."""

    @abstractmethod
    def generate(self, x: Mapping[str, Any], *, most: int) -> Tensor:
        """Token numbers `(b, tokens)` that the decoder gives for a prepared batch, by `settings`; after the end they mean nothing.

        Args:
            x: a prepared batch.
            most: most tokens that are generated.
        """

    @abstractmethod
    def encoded(self, x: Mapping[str, Any]) -> dict[str, Tensor]:
        """What the encoder gives for a prepared batch, `hidden` `(b, steps, width)`, and what else the decoder is called with."""

    def generate_in_graph(self, x: Mapping[str, Any], *, most: int) -> Tensor:
        """Token numbers `(b, most)` of a prepared batch, filled up after the end; while a graph is made, by a loop in it.

        Elsewhere they are those of `generate`, so that a file is compared with what `predict` gives.

        Raises:
            ExportError: the network's settings ask for what a graph does not hold.
        """
        settings = self.settings(most)
        rules = Rules.of(settings, settings.max_new_tokens)
        if not torch.compiler.is_exporting():
            return padded(self.generate(x, most=most), rules)
        given = self.encoded(x)
        items, device = given["hidden"].shape[0], given["hidden"].device
        following, memory = self._decoder({name: value.repeat_interleave(rules.beams, 0) for name, value in given.items()}, rules)
        return write(following, memory, items, rules, device)

    def _decoder(self, given: dict[str, Tensor], rules: Rules) -> tuple[Next, Memory]:
        """The decoder's step, for `given` of each text, and its memory: keys and values of each layer `(n, heads, most, width)`."""
        from transformers import EncoderDecoderCache

        net: Any = self.net
        hidden = given.pop("hidden")
        name = next(each for each in ("cache", "past_key_values") if each in inspect.signature(net.forward).parameters)
        start = torch.full_like(hidden[:, :1, 0], rules.start, dtype=torch.int64)
        first = net(**given, encoder_outputs=(hidden,), decoder_input_ids=start, use_cache=True)[name]
        heard = [(layer.keys, layer.values) for layer in first.cross_attention_cache.layers]
        memory = tuple(
            part.new_zeros(hidden.shape[0], part.shape[1], rules.most, part.shape[3])  # without looking at the part: it is not computed then
            for layer in first.self_attention_cache.layers
            for part in (layer.keys, layer.values)
        )
        # Twice, so that no stride is equal to the length: the tracer of a loop would take the one for the other, and ONNX has no strides.
        given = {key: torch.stack((value, value), -1) for key, value in given.items()}
        places = torch.arange(rules.most, device=hidden.device)[:, None]
        Written, Heard, Layers = _caches()

        def following(tokens: Tensor, at: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
            own = [Written(*pair, at, places == at) for pair in zip(memory[::2], memory[1::2])]
            cache = EncoderDecoderCache(Layers(layers=own), Layers(layers=[Heard(*pair) for pair in heard]))
            once = {key: value[..., 0] for key, value in given.items()}
            out = net(**once, encoder_outputs=(hidden,), decoder_input_ids=tokens[:, None], use_cache=True, **{name: cache})
            return out.logits[:, 0], tuple(part for layer in own for part in (layer.keys, layer.values))

        return following, memory


@functools.cache
def _caches() -> tuple[Any, Any, Any]:
    """Layers of caches whose tensors are never written to, as a loop of a graph needs them: what is written, what was heard."""
    from transformers.cache_utils import Cache, StaticLayer

    class Written(StaticLayer):
        """Keys and values of the tokens up to one place, of a fixed number of places."""

        keys: Any
        values: Any

        def __init__(self, keys: Tensor, values: Tensor, at: Tensor, here: Tensor) -> None:
            self.keys, self.values, self.at, self.here = keys, values, at, here
            self.is_initialized, self.max_cache_len = True, keys.shape[2]

        def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
            self.keys, self.values = torch.where(self.here, key_states, self.keys), torch.where(self.here, value_states, self.values)
            return self.keys, self.values

        def get_seq_length(self) -> Any:
            return self.at

    class Heard(StaticLayer):
        """Keys and values of what the encoder gave."""

        def __init__(self, keys: Tensor, values: Tensor) -> None:
            self.keys, self.values, self.is_initialized = keys, values, True

        def get_seq_length(self) -> int:
            return 1  # more than none

    return Written, Heard, Cache
