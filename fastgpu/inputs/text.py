"""Text: strings to token numbers, by a tokenizer that is trained on the data or given."""

from __future__ import annotations

import dataclasses
import os
import textwrap
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from fastgpu.data.columns import Columns, RaggedColumns
from fastgpu.errors import ArgumentError, BadItemError, DataError
from fastgpu.inputs.base import INPUTS, Input

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TextInput"]

VOCABULARY = 8000
"""Most tokens that a tokenizer trained here has; small data give fewer."""

MAX_LENGTH = 256
"""Most tokens of a text that a network gets."""

_TRAINED_ON = 100_000
_MEASURED_ON = 20_000
_AT_ONCE = 10_000


@INPUTS.register("text")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TextInput(Input):
    """Texts as token numbers: `input_ids` `(b, longest)` int64 and `attention_mask`, bool, True on tokens.

    Args:
        tokenizer: JSON of a `tokenizers.Tokenizer`.
        max_length: tokens after which a text is cut.
        vocabulary: how many token numbers there are.
        pad: number that fills up short texts.
        unknown: number that stands for a text without any token.

    Example:
        >>> text = TextInput.fit(np.array(["a good film", "a bad film"], dtype=object))
        >>> text.encode(["a film"]).gather(torch.tensor([0]))["attention_mask"].shape
        torch.Size([1, 2])
    """

    kind: ClassVar[str] = "text"
    keys: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask")
    options: ClassVar[tuple[str, ...]] = ("tokenizer",)

    tokenizer: str
    max_length: int
    vocabulary: int
    pad: int = 0
    unknown: int = 1

    @classmethod
    def fit(
        cls, items: Any, *, size: tuple[int, int] | None = None, tokenizer: Tokenizer | str | os.PathLike[str] | None = None
    ) -> TextInput:
        """Train a tokenizer on the texts, or take a given one, and measure how long texts are.

        The tokenizer is byte-pair encoding (Sennrich et al., 2016, https://arxiv.org/abs/1508.07909) of lower-cased
        text. Texts are cut at the length that 99 % of them do not exceed, 256 tokens at most.

        Args:
            items: `(n,)` strings.
            size: unused.
            tokenizer: a `tokenizers.Tokenizer` or the path of its `tokenizer.json`; None trains one.

        Raises:
            DataError: no item has a word.
            ArgumentError: the given tokenizer cannot be read.
        """
        texts = [text for text in items if isinstance(text, str) and text.strip()]
        if not texts:
            raise DataError(f"Texts must hold words. None of the {len(items)} items does. Check the text column.")
        chosen = _given(tokenizer) if tokenizer is not None else _train(_spread(texts, _TRAINED_ON))
        unknown = _token(chosen, ("[UNK]", "<unk>", "<|endoftext|>"), default=0)
        fitted = cls(
            tokenizer=chosen.to_str(),
            max_length=MAX_LENGTH,
            vocabulary=max(chosen.get_vocab(with_added_tokens=True).values()) + 1,  # numbers may have gaps
            pad=_token(chosen, ("[PAD]", "<pad>", "<|endoftext|>"), default=0),
            unknown=unknown,
        )
        sample = _spread(texts, _MEASURED_ON)
        lengths = np.fromiter(map(len, fitted._tokens(sample)), np.int64, len(sample))
        return dataclasses.replace(fitted, max_length=max(1, int(np.ceil(np.quantile(lengths, 0.99)))))

    def encode(self, items: Any) -> Columns:
        """Texts `(n,)` -> their tokens; a missing text counts as an empty one.

        Raises:
            BadItemError: an item is not a string.
        """
        texts = _strings(items)
        # A text without tokens still needs one, for a mean or an attention over nothing has no value.
        tokens = [ids or [self.unknown] for ids in self._tokens(texts)]
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        flat = np.fromiter(chain.from_iterable(tokens), np.int64, int(lengths.sum()))
        return RaggedColumns(torch.from_numpy(flat), torch.from_numpy(lengths), pad=self.pad)

    def _tokens(self, texts: list[str]) -> Iterator[list[int]]:
        tokenizer = _loaded(self.tokenizer, self.max_length)
        # In parts: an encoding holds much more than its numbers.
        for start in range(0, len(texts), _AT_ONCE):
            yield from (e.ids for e in tokenizer.encode_batch_fast(texts[start : start + _AT_ONCE]))

    def as_items(self, given: Any) -> Any:
        """A string, or a list, array, Series or one-column DataFrame of strings -> `(n,)` strings."""
        if isinstance(given, str):
            given = [given]
        if getattr(given, "ndim", 1) == 2 and given.shape[1] == 1:
            given = given.iloc[:, 0] if hasattr(given, "iloc") else given[:, 0]
        if not isinstance(given, Iterable) or getattr(given, "ndim", 1) != 1:
            raise DataError(f"Texts must be a string or a list of strings. {_came(given)} came.")
        listed = list(given)
        items = np.empty(len(listed), dtype=object)
        items[:] = listed
        return items

    def facts(self) -> dict[str, Any]:
        return {"kind": self.kind, "vocabulary": self.vocabulary, "max_length": self.max_length, "pad": self.pad}

    def describe(self) -> str:
        return f"texts, vocabulary of {self.vocabulary:,} tokens, cut after {self.max_length} tokens"

    def draw(self, axes: Any, columns: Columns, index: int) -> None:
        batch = columns.gather(torch.tensor([index]))
        ids = batch["input_ids"][0][batch["attention_mask"][0]].tolist()
        text = _loaded(self.tokenizer, self.max_length).decode(ids, skip_special_tokens=False)
        lines = textwrap.wrap(text, 24, max_lines=9, placeholder=" ...")
        # A dollar sign would start a formula.
        axes.text(0.0, 1.0, "\n".join(lines).replace("$", r"\$"), ha="left", va="top", fontsize=8, family="monospace")
        axes.set_axis_off()


def _train(texts: list[str]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    # Word starts are marked by this pair: with the trainer's own prefix or suffix for word parts (as with
    # WordPiece) the order of the vocabulary differs from run to run.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=2,
        limit_alphabet=VOCABULARY // 2,
        special_tokens=["[PAD]", "[UNK]"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return tokenizer


def _given(tokenizer: Tokenizer | str | os.PathLike[str]) -> Tokenizer:
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
def _loaded(saved: str, max_length: int) -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(saved)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


def _token(tokenizer: Tokenizer, names: tuple[str, ...], *, default: int) -> int:
    numbers = (tokenizer.token_to_id(name) for name in names)
    return next((number for number in numbers if number is not None), default)


def _spread(texts: list[str], most: int) -> list[str]:
    """At most `most` texts, evenly spread, the same ones each time."""
    if len(texts) <= most:
        return texts
    return [texts[i] for i in np.linspace(0, len(texts) - 1, most, dtype=np.int64)]


def _strings(items: Any) -> list[str]:
    texts = list(items)
    bad = [i for i, text in enumerate(texts) if not isinstance(text, str) and not _missing(text)]
    if bad:
        raise BadItemError(f"Texts must be strings. {_came(texts[bad[0]])} came as item {bad[0]} ({len(bad)} such).", bad)
    return [text if isinstance(text, str) else "" for text in texts]


def _missing(text: Any) -> bool:
    return text is None or type(text).__name__ == "NAType" or (isinstance(text, float) and text != text)


def _came(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:40]!r}"
