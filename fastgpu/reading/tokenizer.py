"""Tokenizers: trained on texts, or read from a `tokenizer.json`."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fastgpu.errors import ArgumentError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["BEGIN", "END", "PAD", "UNKNOWN", "given", "loaded", "number_of", "spread", "train", "wraps"]

PAD = ("[PAD]", "<pad>", "<|endoftext|>")
UNKNOWN = ("[UNK]", "<unk>", "<|endoftext|>")
BEGIN = ("[BOS]", "[CLS]", "<s>")
END = ("[EOS]", "[SEP]", "</s>")
"""Names of the special tokens, in the order in which they are looked for; a tokenizer trained here has the first of each."""


def train(texts: list[str], *, vocabulary: int, cased: bool = False) -> Tokenizer:
    """Train byte-pair encoding (Sennrich et al., 2016, https://arxiv.org/abs/1508.07909).

    Args:
        texts: what it learns from.
        vocabulary: most tokens that it has; few texts give fewer.
        cased: whether capitals are kept.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN[0]))
    tokenizer.normalizer = normalizers.NFC() if cased else normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    # Word starts are marked by this pair: with the trainer's own prefix or suffix for word parts (as with
    # WordPiece) the order of the vocabulary differs from run to run.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        limit_alphabet=vocabulary // 2,
        special_tokens=[PAD[0], UNKNOWN[0], BEGIN[0], END[0]],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return tokenizer


def given(tokenizer: Tokenizer | str | os.PathLike[str]) -> Tokenizer:
    """The user's own tokenizer: an object, or the path of its `tokenizer.json`.

    Raises:
        ArgumentError: there is no such file, or it holds no tokenizer.
    """
    from tokenizers import Tokenizer

    if isinstance(tokenizer, Tokenizer):
        return tokenizer
    if not os.path.isfile(tokenizer):
        raise ArgumentError(
            f"tokenizer must be a tokenizers.Tokenizer or the path of a tokenizer.json. There is no file {tokenizer}."
        )
    try:
        return Tokenizer.from_file(os.fspath(tokenizer))
    except Exception as error:  # the library raises no narrower class
        raise ArgumentError(f"{tokenizer} is not a tokenizer.json of the tokenizers library. {error}") from None


@lru_cache(maxsize=8)
def loaded(saved: str, max_length: int) -> Tokenizer:
    """The tokenizer in its JSON, without padding, set to cut texts after `max_length` tokens."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(saved)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


def number_of(tokenizer: Tokenizer, names: tuple[str, ...]) -> int | None:
    """Number of the first token of these names that the tokenizer has."""
    numbers = (tokenizer.token_to_id(name) for name in names)
    return next((number for number in numbers if number is not None), None)


def wraps(tokenizer: Tokenizer) -> bool:
    """Whether the tokenizer itself puts special tokens around a text."""
    return tokenizer.num_special_tokens_to_add(False) > 0


def spread(texts: list[str], most: int) -> list[str]:
    """At most `most` texts, evenly spread, the same ones each time."""
    if len(texts) <= most:
        return texts
    return [texts[i] for i in np.linspace(0, len(texts) - 1, most, dtype=np.int64)]
