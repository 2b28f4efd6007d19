"""Speech recognition: every item is a recording, its target what is said in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fastgpu.answers.spoken import BLANK, END, FIRST, SpokenAnswers
from fastgpu.data.columns import Columns, JoinedColumns, ListColumns, RaggedColumns
from fastgpu.errors import DataError, ModelError, UnknownNameError
from fastgpu.inputs.base import Input
from fastgpu.tasks.base import TASKS, Task

__all__ = ["Recognition"]


@TASKS.register("recognition")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Recognition(SpokenAnswers, Task):
    """Characters in the order in which they are heard.

    The network owns the loss: CTC (Graves et al., 2006, https://doi.org/10.1145/1143844.1143891) or cross-entropy of the next
    character. Output 0 is CTC's blank, which also fills up labels, 1 ends a text, characters count from 2.

    Args:
        characters: the characters of the transcripts, sorted.
        longest: most characters of a training transcript.

    Example:
        >>> task = Recognition.fit(np.array(["aha", "ha"], dtype=object))
        >>> task.characters, task.outputs
        (('a', 'h'), 4)
    """

    kinds: ClassVar[tuple[str, ...]] = ("audio",)
    metric_names: ClassVar[tuple[str, ...]] = ("cer", "wer")
    default_metrics: ClassVar[tuple[str, ...]] = ("cer", "wer")
    output: ClassVar[str] = "character"
    decodes: ClassVar[bool] = True
    monitor: ClassVar[str] = "cer"

    longest: int

    @classmethod
    def fit(
        cls,
        targets: np.ndarray,
        *,
        classes: tuple[str | int, ...] | None = None,
        target: tuple[str, ...] = (),
        input: Input | None = None,
    ) -> Recognition:
        """Collect the characters.

        Args:
            targets: `(n,)` transcripts.
            classes: the characters of all transcripts, before any split; None: those of `targets`.
            target: unused.
            input: unused.

        Raises:
            DataError: targets are no texts, or have no character.
        """
        texts = _texts(targets)
        characters = cls.classes_in(targets, None, target) if classes is None else classes
        return cls(characters=tuple(map(str, characters)), longest=max(map(len, texts)))

    @classmethod
    def classes_in(cls, targets: np.ndarray, classes: tuple[str | int, ...] | None, target: tuple[str, ...]) -> tuple[str | int, ...]:
        return tuple(sorted(set("".join(_texts(targets)))))

    @property
    def outputs(self) -> int:
        return FIRST + len(self.characters)

    def facts(self) -> dict[str, Any]:
        """Beside the usual `"blank"`, `"end"`, the `"characters"`, and `"longest"`, most of them in a training transcript."""
        return {**super().facts(), "blank": BLANK, "end": END, "characters": self.characters, "longest": self.longest}

    def encode(self, targets: np.ndarray, x: Columns | None = None) -> Columns:
        """Transcripts -> `labels` `(b, longest)` int64 and `text`; a character that training lacked is in `text` alone."""
        texts = _texts(targets)
        number = {character: FIRST + i for i, character in enumerate(self.characters)}
        labels = [[number[c] for c in text if c in number] or [BLANK] for text in texts]
        flat = torch.tensor([n for each in labels for n in each])
        lengths = torch.tensor([len(each) for each in labels])
        return JoinedColumns(RaggedColumns(flat, lengths, key="labels", pad=BLANK, mask=None), ListColumns({"text": texts}))

    def check_outputs(self, out: Mapping[str, Any]) -> None:
        logits = out.get("logits")
        if logits is None or logits.ndim != 3 or logits.shape[-1] != self.outputs:
            came = "none" if logits is None else str(tuple(logits.shape))
            raise ModelError(
                f"A network for recognition gives logits (items, steps, {self.outputs}): blank, end, and {len(self.characters)} "
                f"characters. {came} came. Change its last layer, or take for example 'parakeet_ctc/tiny'."
            )

    def predict(self, model: nn.Module, x: dict[str, Any], out: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if hasattr(model, "generate"):
            return self.decode({"tokens": model.generate(x, most=self._most)})  # type: ignore[operator]
        return self.decode(model(x) if out is None else out)

    @property
    def _most(self) -> int:
        return 2 * self.longest + 1

    def decode(self, out: Mapping[str, Any]) -> dict[str, Any]:
        """`"tokens"` `(b, n)`, or CTC's `"logits"` `(b, steps, outputs)` with `"steps"` `(b,)` -> `"texts"`, a list of `b`.

        CTC is decoded greedily: the best output of each step, repetitions and blanks left out.
        """
        return self._read(out["tokens"] if "tokens" in out else self._best(out))

    def _read(self, tokens: Tensor) -> dict[str, Any]:
        return dict(self.complete({"tokens": tokens.cpu().numpy()}, {}))

    def _best(self, out: Mapping[str, Any]) -> Tensor:
        """CTC's greedy choice `(b, steps)`: repetitions, and steps that only pad, are blanks."""
        best: Tensor = out["logits"].argmax(-1)
        again = torch.zeros_like(best, dtype=torch.bool)
        again[:, 1:] = best[:, 1:] == best[:, :-1]
        best = best.masked_fill(again, BLANK)
        if "steps" in out:
            best = best.masked_fill(torch.arange(best.shape[1], device=best.device) >= out["steps"][:, None], BLANK)
        return best.masked_fill(best == END, BLANK)  # CTC ends with the recording

    def in_graph(self, model: nn.Module, x: dict[str, Any]) -> dict[str, Tensor]:
        """`tokens` `(b, n)` int64: characters from `FIRST` up, up to the end or among blanks."""
        if hasattr(model, "generate"):
            return {"tokens": model.generate_in_graph(x, most=self._most)}  # type: ignore[operator]
        return {"tokens": self._best(model(x))}

    def judge(self, metrics: Mapping[str, Any], predictions: Mapping[str, Tensor], y: Mapping[str, Any]) -> None:
        self.update(metrics, self._read(predictions["tokens"]), y)

    def update(self, metrics: Mapping[str, Any], predictions: Mapping[str, Any], y: Mapping[str, Any]) -> None:
        for metric in metrics.values():
            metric.update(predictions["texts"], y["text"])

    def metric(self, name: str) -> Any:
        """`"cer"`, `"wer"`: wrong characters or words (put in, left out, changed) as a share of those said; 1 and more is possible."""
        if name not in self.metric_names:
            raise UnknownNameError("metric of recognition", name, self.metric_names)
        from torchmetrics.text import CharErrorRate, WordErrorRate

        return CharErrorRate() if name == "cer" else WordErrorRate()

    def truth(self, y: Mapping[str, Any]) -> dict[str, Any]:
        return {"texts": y["text"]}

    def describe(self) -> str:
        return f"recognition of {len(self.characters)} characters: {''.join(self.characters)}"


def _texts(targets: np.ndarray) -> list[str]:
    texts = np.asarray(targets).tolist()
    bad = next((i for i, text in enumerate(texts) if not isinstance(text, str) or not text), None)
    if bad is not None:
        raise DataError(f"Every recording needs a transcript, (n,) texts. {texts[bad]!r} came as item {bad}. Fill or drop it.")
    return texts
