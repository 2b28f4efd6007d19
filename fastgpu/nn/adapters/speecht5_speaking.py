"""Speaking by SpeechT5: frame after frame as one loop, which a graph can hold, several texts at once, which do not change one another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fastgpu.nn.adapters.speaking import filled_up
from fastgpu.nn.loops import looped
from fastgpu.nn.writing import Memory

__all__ = ["DRAWN", "drawn", "spoken"]

FRAMES = 20
"""Most frames of a character, as the library has it."""

ENOUGH = 0.5
"""Chance of the end at which a text ends, likewise."""

ROOM = 64
"""Steps for which there is room at first, where no graph is made."""

DRAWN = 512
"""Steps after which the numbers that are drawn at random come again."""


def spoken(net: Any, ids: Tensor, mask: Tensor, voice: Tensor) -> tuple[Tensor, Tensor]:
    """Texts -> spectrograms, by the network's own modules.

    Its prenet drops out when it speaks, too. What it drops at a step is the same for every text, on every device and in a graph.

    Args:
        net: transformers' `SpeechT5ForTextToSpeech`.
        ids: `(b, characters)` int64.
        mask: `(b, characters)` bool, True on characters.
        voice: `(b, width)` of the speakers.

    Returns:
        spectrogram: `(b, most frames, mels)`, filled up with 0.
        frames: `(b,)` int64, at least 1.
    """
    model, end, config = net.speecht5, net.speech_decoder_postnet, net.config
    hidden = model.encoder(input_values=ids, attention_mask=mask.long(), return_dict=True).last_hidden_state
    limits = mask.sum(1) * FRAMES // config.reduction_factor
    most = ids.shape[1] * FRAMES // config.reduction_factor
    rows, step = hidden.shape[0], _decoder(model.decoder, hidden, mask, voice)

    def on(at: Tensor, frame: Tensor, spectrogram: Tensor, steps: Tensor, memory: Memory) -> Tensor:
        return (steps == 0).any() & (at < spectrogram.shape[1])

    def further(at: Tensor, frame: Tensor, spectrogram: Tensor, steps: Tensor, memory: Memory) -> tuple[Any, ...]:
        places = torch.arange(spectrogram.shape[1], device=ids.device)
        out, memory = step(frame, at, places, memory)
        frames = end.feat_out(out)
        ends = (end.prob_out(out).sigmoid().sum(1) >= ENOUGH) | (at + 1 >= limits)
        steps = torch.where((steps == 0) & ends, at + 1, steps)
        spectrogram = torch.where((places == at)[:, None], frames[:, None], spectrogram)
        return at + 1, frames[:, -config.num_mel_bins :].clone(), spectrogram, steps, memory

    heads = [(layer.self_attn.num_heads, layer.self_attn.head_dim) for layer in model.decoder.wrapped_decoder.layers for _ in range(2)]
    state: Any = (
        torch.zeros((), dtype=torch.int64, device=ids.device),
        hidden.new_zeros(rows, config.num_mel_bins),
        hidden.new_zeros(rows, 0, config.num_mel_bins * config.reduction_factor),
        torch.zeros_like(ids[:, 0]),
        tuple(hidden.new_zeros(rows, count, 0, width) for count, width in heads),
    )
    graph = torch.compiler.is_exporting()
    for size in [most] if graph else _sizes(most):
        at, frame, spectrogram, steps, memory = state
        more = (0, 0, 0, size - spectrogram.shape[1])
        state = looped(on, further, (at, frame, F.pad(spectrogram, more), steps, tuple(F.pad(each, more) for each in memory)))
        if not graph and state[3].all():  # each has ended: no more room is made
            break
    _, _, spectrogram, steps, _ = state
    longest: Any = steps.max().item()
    torch._check(longest >= 1)
    torch._check(longest <= most)
    spectrogram = spectrogram[:, :longest].unflatten(2, (config.reduction_factor, config.num_mel_bins)).flatten(1, 2)
    frames = steps * config.reduction_factor
    there = torch.arange(spectrogram.shape[1], device=ids.device) < frames[:, None]
    with filled_up(end, ~there):
        return end.postnet(spectrogram).masked_fill(~there[..., None], 0), frames


def _sizes(most: int) -> Iterator[int]:
    """Steps for which room is made, one after another: few texts are as long as they may be."""
    size = ROOM
    while size < most:
        yield size
        size *= 2
    yield most


def drawn(prenet: Any) -> Tensor:
    """Which numbers of its layers a prenet keeps at a step: `(DRAWN, layers, width)` bool, by a generator of its own."""
    shape = (DRAWN, len(prenet.layers), prenet.layers[0].out_features)
    # As the library has it, a number is kept with the chance of being dropped, which is one half.
    return torch.from_numpy(np.random.RandomState(0).random_sample(shape) < prenet.config.speech_decoder_prenet_dropout)


def _decoder(decoder: Any, hidden: Tensor, mask: Tensor, voice: Tensor) -> Any:
    """`(frame (b, mels), at (), places (n,), memory) -> (hidden (b, width), memory)`: the decoder after the frame at place `at`."""
    prenet, layers = decoder.prenet, decoder.wrapped_decoder.layers
    share = prenet.config.speech_decoder_prenet_dropout
    kept = drawn(prenet).to(hidden.device)
    voice = F.normalize(voice)
    lowest = torch.finfo(hidden.dtype).min
    barred = torch.where(mask, 0.0, lowest).to(hidden.dtype)[:, None, None]
    barred = torch.stack((barred, barred), -1)  # so that no stride is equal to the length, as in `Writer`
    heard = [_keys_and_values(layer.encoder_attn, hidden) for layer in layers]

    def step(frame: Tensor, at: Tensor, places: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        keep = kept.index_select(0, (at % DRAWN).reshape(1))[0]
        for i, layer in enumerate(prenet.layers):
            frame = torch.where(keep[i], layer(frame).relu(), 0) / (1 - share)
        positions = prenet.encode_positions
        frame = prenet.final_layer(frame) + positions.alpha * positions.pe[0].index_select(0, at.clamp_max(positions.pe.shape[1] - 1).reshape(1))
        out = prenet.speaker_embeds_layer(torch.cat((frame, voice), 1)).relu()[:, None]
        later, here = torch.where(places <= at, 0.0, lowest).to(out.dtype), (places == at)[:, None]
        written = []
        for layer, before, given in zip(layers, zip(memory[::2], memory[1::2]), heard):
            own = [torch.where(here, new, old) for new, old in zip(_keys_and_values(layer.self_attn, out), before)]
            out = layer.self_attn_layer_norm(out + _attended(layer.self_attn, out, own, later))
            out = layer.encoder_attn_layer_norm(out + _attended(layer.encoder_attn, out, given, barred[..., 0]))
            out = layer.final_layer_norm(out + layer.feed_forward(out))
            written += own
        return out[:, 0], tuple(written)

    return step


def _keys_and_values(attention: Any, hidden: Tensor) -> list[Tensor]:
    """`(b, n, width)` -> keys and values `(b, heads, n, width of one)`."""
    return [_heads(attention, project(hidden)) for project in (attention.k_proj, attention.v_proj)]


def _attended(attention: Any, hidden: Tensor, given: list[Tensor], barred: Tensor) -> Tensor:
    """What an attention of the library gives for `(b, 1, width)`, with keys and values, and what is added for each `(..., n)`."""
    keys, values = given
    queries = _heads(attention, attention.q_proj(hidden) * attention.scaling)
    weights = (queries @ keys.transpose(2, 3) + barred).softmax(-1)
    return attention.out_proj((weights @ values).transpose(1, 2).flatten(2))


def _heads(attention: Any, values: Tensor) -> Tensor:
    return values.unflatten(2, (attention.num_heads, attention.head_dim)).transpose(1, 2)
