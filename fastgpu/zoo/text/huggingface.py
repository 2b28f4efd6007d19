"""A folder with a checkpoint of transformers, `config.json` and weights, is an architecture by its path: `Learner("models/my-bert", data)`.

Its weights are loaded whatever `pretrained` says, and its own tokenizer is taken. Nothing is fetched, and no code in the folder is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from fastgpu.errors import ArgumentError, ModelError
from fastgpu.optional import require
from fastgpu.zoo.checkpoints import configuration, quiet, readable
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__: list[str] = []

ENCODERS = (
    "albert", "bert", "camembert", "convbert", "deberta", "deberta-v2", "distilbert", "electra", "ernie", "megatron-bert",
    "mobilebert", "modernbert", "mpnet", "roberta", "xlm-roberta",
)  # fmt: skip
DECODERS = ("bart", "marian", "mt5", "pegasus", "t5", "umt5")
"""Types of networks (`model_type` of the configuration) that classify texts, and that write them."""


def answers(name: str) -> bool:
    """Whether a name is the path of such a folder."""
    return configuration(name).get("model_type") in (*ENCODERS, *DECODERS)


def entry(name: str) -> Entry:
    """Facts about a checkpoint, from its `config.json`."""
    config = configuration(name)
    writes = config["model_type"] in DECODERS
    vocabulary = config.get("vocab_size", 8000)
    facts = {"kind": "text", "vocabulary": vocabulary, "max_length": 1, "pad": config.get("pad_token_id") or 0}
    target = {"outputs": vocabulary, "end": config.get("eos_token_id"), "length": 1} if writes else {"outputs": 2}
    tasks = ("translation",) if writes else ("classification", "multilabel", "regression")
    return Entry(
        name=name,
        inputs=("text",),
        tasks=tasks,
        source=f"the checkpoint in {name}, {config['model_type']}",
        licence="that of the checkpoint",
        pretrained=True,
        typical=(facts, {"task": tasks[0], **target}),
        extra="text",
        settings={"tokenizer": str(Path(name).expanduser() / "tokenizer.json")},
    )


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Load the network; only its layout where `pretrained` is `"layout"`, or on torch's meta device."""
    transformers = require("transformers", need=f"The checkpoint {name}")
    folder = Path(name).expanduser()
    writes = target["task"] == "translation"
    kind = transformers.AutoModelForSeq2SeqLM if writes else transformers.AutoModelForSequenceClassification
    options = {} if writes else {"num_labels": target["outputs"]}
    with quiet(transformers), readable(folder):
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, **options)
        _check_fit(config, folder, facts, target)
        if pretrained == "layout" or torch.get_default_device().type == "meta":
            net = kind.from_config(config)
            if (folder / "generation_config.json").exists():
                net.generation_config = transformers.GenerationConfig.from_pretrained(folder, local_files_only=True)
        else:
            net = kind.from_pretrained(
                folder, config=config, dtype=torch.float32, ignore_mismatched_sizes=True, local_files_only=True
            )
    declares = {"last": facts.get("end")} if writes else {"first": facts.get("begin"), "last": facts.get("end")}
    return Built(net=net, declares=declares, pretrained=True, head=_head(net, writes), notes=(f"weights and tokenizer: {folder}",))


def _check_fit(config: Any, folder: Path, facts: dict[str, Any], target: dict[str, Any]) -> None:
    """Refuse a tokenizer that the embedding was not trained with."""
    wrong = ""
    if facts["vocabulary"] > config.vocab_size:
        wrong = f"it has {facts['vocabulary']:,} tokens, {folder} knows {config.vocab_size:,}"
    elif config.pad_token_id is not None and facts["pad"] != config.pad_token_id:
        wrong = f"it pads with token {facts['pad']}, {folder} with {config.pad_token_id}"
    elif "end" in target and target["end"] != config.eos_token_id:
        wrong = f"its sentences end with token {target['end']}, those of {folder} with {config.eos_token_id}"
    if wrong:
        raise ArgumentError(f"The tokenizer has to fit the checkpoint: {wrong}. Leave tokenizer= out: the checkpoint brings its own.")
    positions = getattr(config, "max_position_embeddings", None)
    around = sum(facts.get(token) is not None for token in ("begin", "end"))
    longest = max(facts["max_length"] + around, target.get("length", 0))
    if positions is not None and longest > positions:
        raise ModelError(f"Texts have to fit the network. {folder} takes {positions} tokens, these texts have {longest}. Shorten them.")


def _head(net: nn.Module, writes: bool) -> tuple[str, ...]:
    if not writes:
        return tuple(name for name in ("pre_classifier", "classifier") if hasattr(net, name))
    decoder: Any = net.get_decoder()  # pyright: ignore[reportCallIssue]
    last = (decoder.block if hasattr(decoder, "block") else decoder.layers)[-1]
    return tuple(name for name, module in net.named_modules() if module is last)


FAMILIES.register("huggingface")(Family(names=list, entry=entry, build=build, answers=answers))
