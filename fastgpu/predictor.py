"""The Predictor: an exported file, ready to predict, without torch."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastgpu.answers.base import ANSWERS, Answers, strung
from fastgpu.answers.presenting import as_results
from fastgpu.errors import ArgumentError, CheckpointError, DataError, DeviceError, ModelError, UnknownNameError
from fastgpu.export.manifest import read_manifest
from fastgpu.optional import require
from fastgpu.reading.base import READERS, Reader
from fastgpu.results import Results

__all__ = ["PROVIDERS", "Predictor"]

PROVIDERS: dict[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
"""Short name -> onnxruntime's own, of what computes."""

BATCH = 64
"""Items computed at once, where the file names no other number."""


class Predictor:
    """A network from a file that `learn.export` wrote; it needs numpy and onnxruntime, and what decodes the items.

    Args:
        session: the `onnxruntime.InferenceSession` of the file.
        facts: what the file says of itself.
        path: the file.

    Attributes:
        facts: as given: `"architecture"`, `"input"`, `"task"`, `"precision"`, `"licence"`, `"metrics"`, ...
        session: as given, for who needs more than `predict`.
        reader: reads the items.
        answers: gives the columns.
    """

    def __init__(self, session: Any, facts: Mapping[str, Any] | None = None, path: Path | None = None) -> None:
        if facts is None or path is None:
            raise ArgumentError(f"A Predictor takes a session, what its file says, and the path. {session!r} came alone. Call Predictor.load(path).")
        self.session, self.facts, self.path = session, dict(facts), path
        self.reader: Reader = Reader.of(facts["input"])
        self.answers: Answers = Answers.of(facts["task"])
        self._inputs = {each.name: _TYPES.get(each.type) for each in session.get_inputs()}
        self._outputs = [each.name for each in session.get_outputs()]

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, providers: str | Sequence[str] | None = None, threads: int | None = None) -> Predictor:
        """Open an exported file.

        Args:
            path: a `.onnx` file that `learn.export` wrote.
            providers: what computes, the best first: `"cpu"`, `"cuda"`, `"tensorrt"`, `"openvino"`, `"coreml"`, or onnxruntime's own
                names; None: the CPU. What a provider does not compute, the CPU does.
            threads: threads of one operation, 1 or more; None: one a core.

        Raises:
            CheckpointError: there is no such file, it is no export of FastGPU, is damaged, or of a newer format.
            ArgumentError: its items or its task are ones that only the Learner has, or `threads` is no whole number from 1.
            UnknownNameError: no provider has that name.
            DeviceError: the installed onnxruntime does not have that provider, or it does not start.
            MissingPackageError: onnxruntime is not installed.
        """
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise ArgumentError(f"threads is a whole number from 1. {threads!r} came. Leave it out for one a core.")
        if not isinstance(path, (str, os.PathLike)):
            raise ArgumentError(f"path is the .onnx file that learn.export wrote. {path!r} came. Give for example 'model.onnx'.")
        path = Path(path).expanduser()
        facts = read_manifest(path)
        _refuse_strange(facts, path)
        onnxruntime: Any = require("onnxruntime", need="The Predictor")
        asked = _providers(providers, onnxruntime.get_available_providers())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3  # its warnings are for who writes graphs
        try:
            session = onnxruntime.InferenceSession(os.fspath(path), options, providers=asked)
        except Exception as error:  # onnxruntime's errors have no common class
            why = f"{path}: {_first_line(error)}"
            raise CheckpointError(f"onnxruntime must be able to open the file. {why}. Export it anew, or upgrade onnxruntime.") from None
        silent = [name for name in asked if name not in session.get_providers()]
        if silent:  # onnxruntime itself goes on without it
            raise DeviceError(f"{silent[0]} does not start here: its driver or libraries are missing. Install them, or take providers='cpu'.")
        return cls(session, facts, path)

    @property
    def task(self) -> str:
        """Name of the task: `"classification"`."""
        return self.facts["task"]["name"]

    @property
    def classes(self) -> tuple[str | int, ...]:
        """The classes in the order of the probabilities, empty for a task without."""
        return getattr(self.answers, "classes", ())

    @property
    def metrics(self) -> dict[str, float]:
        """What the network reached on the validation items, by metric's name."""
        return {name.removeprefix("val_"): value for name, value in self.facts["metrics"].items()}

    def predict(self, items: Any, batch_size: int | None = None) -> Results:
        """Predictions of raw items, in the order given; the same as `learn.predict` gives.

        Args:
            items: one item or many, in the forms that `learn.predict` takes: paths, a folder, arrays, strings, rows.
            batch_size: items computed at once; None: what suits the task, 64 for most.

        Raises:
            DataError: the items do not fit what the network was trained on.
            ArgumentError: `batch_size` is no whole number from 1.
        """
        if batch_size is None:
            batch_size = self.facts.get("batch_size", BATCH)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ArgumentError(f"batch_size is a whole number from 1. {batch_size!r} came.")
        began = time.perf_counter()
        raw = self.reader.as_items(items)
        if not len(raw):
            raise DataError("predict needs at least one item. None came.")
        encoded = self.reader.arrays(raw)
        # Items of like length together: little is filled up.
        order = np.arange(len(encoded)) if encoded.lengths is None else encoded.lengths.argsort(kind="stable")
        parts = [self._batch(encoded.gather(order[i : i + batch_size])) for i in range(0, len(order), batch_size)]
        back = order.argsort()
        predictions = {name: v[back] if isinstance(v, np.ndarray) else [v[i] for i in back] for name, v in strung(parts).items()}
        columns = self.answers.columns(predictions) | encoded.origins()
        speed = len(encoded) / (time.perf_counter() - began)
        return as_results(self.answers, self.reader, columns, raw, draw=self._draw(raw, columns), speed=speed)

    def _batch(self, x: dict[str, np.ndarray]) -> Mapping[str, Any]:
        feeds = {name: x[name] if kind is None else x[name].astype(kind, copy=False) for name, kind in self._inputs.items()}
        try:
            found = self.session.run(self._outputs, feeds)
        except Exception as error:  # as above
            raise ModelError(f"The network of {self.path} does not compute these items. onnxruntime says: {_first_line(error)}.") from None
        return self.answers.complete(dict(zip(self._outputs, found)), x)

    def _draw(self, items: Any, columns: Mapping[str, Any]) -> Any:
        """`draw(axes, i)` of pictures as they came, or of what is a drawing by itself, a sound; None for others."""
        pictures = self.reader.pictures(items)
        if pictures is None and not self.answers.files:
            return None

        def draw(axes: Any, i: int) -> None:
            if pictures is not None:
                axes.imshow(pictures(i))
                axes.axis("off")
            self.answers.draw(axes, columns, i)

        return draw

    def __repr__(self) -> str:
        named = f" of {len(self.classes)} classes" if self.classes else ""
        reached = "".join(f", {name} {value:.4g}" for name, value in self.metrics.items())
        return f"Predictor({self.task}{named} by {self.facts['architecture']}, {self.facts['precision']}{reached})"


_TYPES: dict[str, type] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
"""Type of a graph's input -> NumPy's."""


def _refuse_strange(facts: Mapping[str, Any], path: Path) -> None:
    """Refuse items and tasks that nothing here reads or answers."""
    for what, name, known in (("reads", facts["input"]["kind"], READERS), ("answers", facts["task"]["name"], ANSWERS)):
        if name not in known:
            raise ArgumentError(f"The Predictor {what} {', '.join(known)}. {path.name} is of {name}. Use Learner.load and predict.")


def _providers(asked: str | Sequence[str] | None, there: Sequence[str]) -> list[str]:
    """Providers by onnxruntime's names, the CPU last."""
    names = [asked] if isinstance(asked, str) else list(asked or ("cpu",))
    full = {**{p.lower(): p for p in (*PROVIDERS.values(), *there)}, **PROVIDERS}
    found: list[str] = []
    for name in names:
        provider = full.get(str(name).lower())
        if provider is None:
            raise UnknownNameError("provider", name, PROVIDERS)
        if provider not in there:
            has = ", ".join(there)
            raise DeviceError(f"The installed onnxruntime must have what computes. It has {has}. {provider} was asked for. Take one of these.")
        found.append(provider)
    return list(dict.fromkeys([*found, PROVIDERS["cpu"]]))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
