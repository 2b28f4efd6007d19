"""What the families have in common that transformers (Wolf et al., 2020, https://arxiv.org/abs/1910.03771) builds from a configuration.

Nothing is downloaded: networks start from random weights. A folder with a checkpoint is an architecture of its own, see
`huggingface`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from fastgpu.errors import ModelError
from fastgpu.optional import require
from fastgpu.zoo.entry import Built, Entry, Family

__all__ = ["CLASSIFIERS", "TRANSLATORS", "Size", "classifiers", "special_tokens", "translators"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """A size of a network.

    Args:
        width: values a token has.
        layers: layers of the encoder, and of the decoder where there is one.
        heads: heads of each attention.
        inner: values inside a layer's feed-forward part.
    """

    width: int
    layers: int
    heads: int
    inner: int


CLASSIFIERS: dict[str, Size] = {
    "tiny": Size(width=128, layers=2, heads=2, inner=512),
    "mini": Size(width=256, layers=4, heads=4, inner=1024),
    "small": Size(width=512, layers=4, heads=8, inner=2048),
    "base": Size(width=768, layers=12, heads=12, inner=3072),
}
"""Sizes of the small BERT models, table 1 of Turc et al., 2019, https://arxiv.org/abs/1908.08962, and BERT-base."""

TRANSLATORS: dict[str, Size] = {
    "tiny": Size(width=160, layers=2, heads=4, inner=640),
    "small": Size(width=256, layers=3, heads=4, inner=1024),
    "base": Size(width=512, layers=6, heads=8, inner=2048),
}
"""`base` is that of Vaswani et al., 2017, https://arxiv.org/abs/1706.03762; the others are for data of thousands of sentences."""

BEAMS = 4
"""Sentences that are followed at a time while one is generated; one alone gave 1.8 BLEU less."""

Configure = Callable[[Any, Size, Mapping[str, Any], Mapping[str, Any]], Any]
"""`(transformers, size, facts of the input, facts of the target) -> configuration`."""

_TEXT = {"kind": "text", "vocabulary": 8000, "max_length": 256, "pad": 0, "begin": 2, "end": 3}


def special_tokens(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of the special tokens, by the names that transformers' configurations have for them."""
    return {"pad_token_id": facts["pad"], "bos_token_id": facts.get("begin"), "eos_token_id": facts.get("end")}


def classifiers(family: str, configure: Configure, *, source: str, licence: str = "Apache-2.0") -> Family:
    """Encoders that give each text `outputs` numbers, in the sizes of `CLASSIFIERS`; a text stands between two special tokens."""

    def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
        transformers = require("transformers", need=f"The architecture {name}")
        config = configure(transformers, CLASSIFIERS[name.partition("/")[2]], facts, target)
        config.num_labels = target["outputs"]
        net = transformers.AutoModelForSequenceClassification.from_config(config)
        return Built(net=net, declares={"first": facts.get("begin"), "last": facts.get("end")}, head=("classifier",))

    def entry(name: str) -> Entry:
        return Entry(
            name=name,
            inputs=("text",),
            tasks=("classification", "multilabel", "regression"),
            source=f"{source}; transformers' implementation{_shape(CLASSIFIERS[name.partition('/')[2]])}",
            licence=licence,
            typical=(_TEXT, {"task": "classification", "outputs": 2}),
            extra="text",
        )

    return Family(names=lambda: [f"{family}/{size}" for size in CLASSIFIERS], entry=entry, build=build)


def translators(family: str, configure: Configure, *, head: str, source: str, licence: str = "Apache-2.0") -> Family:
    """Encoders with a decoder, in the sizes of `TRANSLATORS`; a text ends with a special token.

    Args:
        family: first part of the names.
        configure: gives the configuration.
        head: dotted name of the decoder's list of layers; the last of them is what trains where only the head does.
        source: paper.
        licence: licence of the code.
    """

    def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
        transformers = require("transformers", need=f"The architecture {name}")
        size = TRANSLATORS[name.partition("/")[2]]
        if target["outputs"] != facts["vocabulary"]:
            raise ModelError(f"{name} shares one vocabulary between source and target. {facts['vocabulary']} and {target['outputs']} tokens came.")
        net = transformers.AutoModelForSeq2SeqLM.from_config(configure(transformers, size, facts, target))
        net.generation_config.num_beams = BEAMS
        if getattr(net.config, "scale_embedding", False):
            _widen_embeddings(net)
        return Built(net=net, declares={"last": facts.get("end")}, head=(f"{head}.{size.layers - 1}",))

    def entry(name: str) -> Entry:
        return Entry(
            name=name,
            inputs=("text",),
            tasks=("translation",),
            source=f"{source}; transformers' implementation{_shape(TRANSLATORS[name.partition('/')[2]])}",
            licence=licence,
            typical=(_TEXT, {"task": "translation", "outputs": _TEXT["vocabulary"], "end": _TEXT["end"], "length": 256}),
            extra="text",
        )

    return Family(names=lambda: [f"{family}/{size}" for size in TRANSLATORS], entry=entry, build=build)


def _widen_embeddings(net: Any) -> None:
    """Tokens begin with a deviation of `width ** -0.5`, so that, scaled, they weigh as much as positions (Vaswani et al., 2017, section 3.4).

    With the library's 0.02 a small network did not learn to look at the source within 40 epochs of 128 pairs; with the
    larger deviation in all weights it learnt 14,768 pairs more slowly (BLEU 46 against 50 after 8 epochs).
    """
    tokens = net.get_input_embeddings()
    with torch.no_grad():
        tokens.weight.normal_(std=tokens.embedding_dim**-0.5)[net.config.pad_token_id] = 0.0


def _shape(size: Size) -> str:
    return f", {size.layers} layers of width {size.width}"
