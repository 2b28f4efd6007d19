"""A folder with a checkpoint of transformers that hears, `config.json` and weights, is an architecture by its path.

Its weights are loaded whatever `pretrained` says; what writes the text is new, for the characters of the transcripts. A letter
that the checkpoint's own `vocab.json` names keeps what it has learnt of it. Nothing is fetched, and no code in the folder is run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fastgpu.optional import require
from fastgpu.zoo.checkpoints import configuration, quiet, readable
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__: list[str] = []

CLASSES = {
    "hubert": "HubertForCTC",
    "parakeet_ctc": "ParakeetForCTC",
    "wav2vec2": "Wav2Vec2ForCTC",
    "wavlm": "WavLMForCTC",
    "whisper": "WhisperForConditionalGeneration",
}
"""Type of network (`model_type` of the configuration) -> its class in transformers."""


def answers(name: str) -> bool:
    """Whether a name is the path of such a folder."""
    return configuration(name).get("model_type") in CLASSES


def entry(name: str) -> Entry:
    """Facts about a checkpoint, from its `config.json`."""
    return Entry(
        name=name,
        inputs=("audio",),
        tasks=("recognition",),
        source=f"the checkpoint in {name}, {configuration(name)['model_type']}",
        licence="that of the checkpoint",
        pretrained=True,
        typical=(
            {"kind": "audio", "sampling_rate": 16000, "seconds": 15.0, "mels": 80},
            {"task": "recognition", "outputs": 30, "blank": 0, "end": 1, "longest": 200, "characters": ()},
        ),
        extra="audio",
        settings={"sampling_rate": _sampling_rate(Path(name).expanduser())},
    )


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Load the network; only its layout where `pretrained` is `"layout"`, or on torch's meta device."""
    transformers = require("transformers", need=f"The checkpoint {name}", extra="audio")
    folder = Path(name).expanduser()
    with quiet(transformers), readable(folder):
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        kind = getattr(transformers, CLASSES[config.model_type])
        if pretrained == "layout" or torch.get_default_device().type == "meta":
            net = kind(config)
        else:
            net = kind.from_pretrained(folder, config=config, dtype=torch.float32, local_files_only=True)
    notes = (f"weights: {folder}",)
    if config.model_type == "whisper":
        _rewrite_decoder(net, target)
        declares = {"features": "mel", "mels": config.num_mel_bins, "limit": config.max_source_positions / 50}
        return Built(net=net, declares=declares, pretrained=True, head=("model.decoder",), notes=notes)
    head = "ctc_head" if hasattr(net, "ctc_head") else "lm_head"
    kept = _renew(net, head, target, _letters(folder))
    if kept:
        notes = (f"{notes[0]}, of {kept} of the {len(target['characters'])} characters too",)
    declares = {"features": "wave"} if head == "lm_head" else {"features": "mel", "mels": config.encoder_config.num_mel_bins}
    return Built(net=net, declares=declares, pretrained=True, head=(head,), notes=notes)


def _sampling_rate(folder: Path) -> int:
    try:
        return int(json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))["sampling_rate"])
    except (OSError, ValueError, KeyError, TypeError):
        return 16000


def _letters(folder: Path) -> dict[str, int]:
    """Lower-case character -> its row in the checkpoint's last layer; the space is `|` in such lists."""
    try:
        listed = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {" " if token == "|" else token.lower(): row for token, row in listed.items() if len(token) == 1 and isinstance(row, int)}


def _renew(net: Any, head: str, target: dict[str, Any], letters: dict[str, int]) -> int:
    """A last layer for the data's characters; returns how many rows of the old one it keeps, beside the blank."""
    old = getattr(net, head)
    outputs = target["outputs"]
    # Parakeet's is a convolution of one step, in a class of its own.
    new = nn.Linear(old.in_features, outputs) if isinstance(old, nn.Linear) else type(old)(old.in_channels, outputs, kernel_size=1)
    first = outputs - len(target["characters"])
    pairs = [(first + i, letters[c]) for i, c in enumerate(target["characters"]) if letters.get(c, len(old.weight)) < len(old.weight)]
    if letters:
        pairs.append((target["blank"], net.config.pad_token_id))
        _copy_rows(old, new, *zip(*pairs))
    setattr(net, head, new)
    net.config.vocab_size, net.config.pad_token_id = outputs, target["blank"]
    return len(pairs) - 1 if letters else 0


def _copy_rows(old: Any, new: Any, to: Sequence[int], rows: Sequence[int]) -> None:
    with torch.no_grad():
        new.weight[list(to)] = old.weight[list(rows)]
        new.bias[list(to)] = old.bias[list(rows)]


def _rewrite_decoder(net: Any, target: dict[str, Any]) -> None:
    """Characters instead of the checkpoint's word pieces: new embeddings, which are the last layer too."""
    net.resize_token_embeddings(target["outputs"], mean_resizing=False)
    embeddings = net.get_input_embeddings()
    embeddings.padding_idx = target["blank"]
    with torch.no_grad():
        embeddings.weight.normal_(std=net.config.init_std)
    net.config.pad_token_id = target["blank"]
    net.config.bos_token_id = net.config.eos_token_id = net.config.decoder_start_token_id = target["end"]


FAMILIES.register("speech_checkpoint")(Family(names=list, entry=entry, build=build, answers=answers))
