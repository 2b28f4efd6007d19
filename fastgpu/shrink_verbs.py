"""The verbs of a Learner that make its network smaller, and hand it over to other runtimes.

They stand apart for length alone: each builds nothing and hands over to the module that knows.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from fastgpu.config import known_keywords, several
from fastgpu.errors import ArgumentError
from fastgpu.report.repeating import recorded

if TYPE_CHECKING:
    from fastgpu.benchmarking import Benchmark
    from fastgpu.compress.report import CompressionReport
    from fastgpu.exporting import Exported

__all__ = ["ShrinkVerbs"]


class ShrinkVerbs:
    """What `Learner` inherits: `prune`, `quantize`, `compress`, `distill`, `export`, `benchmark`."""

    module: nn.Module

    @known_keywords
    @recorded
    def prune(
        self: Any,
        amount: float = 0.5,
        *,
        epochs: int = 3,
        lr: float | None = None,
        max_drop: float | None = None,
        callbacks: Any = (),
        **options: Any,
    ) -> CompressionReport:
        """Prune while training on, and cut at the end: the network is really smaller then. What was measured before and after comes back.

        Args:
            amount: share of the channels that goes, above 0 and below 1.
            epochs: epochs to train meanwhile.
            lr: learning rate meanwhile; None: the learner's.
            max_drop: points of the task's own metric that may be lost: hundredths of one from 0 to 1, else per cent. Where more are, the
                learner stays as it was. A copy of it trains, of whose epochs loggers hear nothing. None: any.
            callbacks: further callbacks, for this fit.
            **options: of `fastgpu.callbacks.Pruning`: `method`, `importance`, `ignore` and others.
        """
        from fastgpu.pruning import run_prune
        from fastgpu.reporting import keep_compression

        return keep_compression(self, run_prune(self, amount, epochs, lr, several(callbacks), options, max_drop))

    @known_keywords
    @recorded
    def quantize(
        self: Any,
        mode: str = "int8",
        data: Any = None,
        *,
        max_drop: float = 0.5,
        candidates: str | Sequence[str] = "auto",
        device: str | None = None,
    ) -> CompressionReport:
        """Let the trained network compute with whole numbers, without training; kept only where that is faster and good enough.

        Placements are tried and measured in onnxruntime, or compiled on the GPU. Of those that are faster and within the budget the one with
        the least product of time and size is kept, else the network as it came. Afterwards it simulates the file that `export` writes.

        Args:
            mode: `"int8"`: weights and inputs of layers, with ranges from data; `"dynamic"`: of linear layers, with the ranges of
                each batch as it comes; `"weights"`: weights alone, a small file that takes as long; `"fp8"`: 8-bit floats on a GPU.
            data: what ranges are taken from, in any form that the constructor takes; None: the training split.
            max_drop: points of the task's own metric that may be lost: hundredths of one from 0 to 1, else per cent.
            candidates: for `"int8"`: `"auto"`, or of `"all"`, `"inner"`, `"pointwise"` those to try.
            device: where it is to run: `"cpu"` (None, but for `"fp8"`), by onnxruntime; or `"cuda"`, by torchao: modes `"int8"`, with the
                range of each row as it comes, `"weights"` and `"fp8"`, of linear layers, held against bfloat16.
        """
        from fastgpu.quantizing import run_quantize
        from fastgpu.reporting import keep_compression

        return keep_compression(self, run_quantize(self, mode, data, max_drop, candidates, device))

    @known_keywords
    @recorded
    def compress(self: Any, target: dict[str, float], *, max_drop: float = 0.5, epochs: int = 3) -> CompressionReport:
        """Prune, distill and train with quantization until a target is met, and keep the best network that is good enough.

        More and more channels go, as long as the metric holds; every network learns from the one that there was. Afterwards the
        learner and its run folder hold the chosen network, or the one that they had, where none fits; also after Ctrl-C, or where an
        error is raised. What is reported of a file is that of the one that `export` then writes.

        Args:
            target: `{"size": 0.1}` or `{"latency": 0.4}`: largest share of the ONNX file's bytes, or of its time for one item.
            max_drop: points of the task's own metric that may be lost: hundredths of one from 0 to 1, else per cent.
            epochs: epochs after pruning, and again with quantization.
        """
        from fastgpu.compressing import run_compress

        return run_compress(self, target, max_drop, epochs)

    @known_keywords
    @recorded
    def distill(
        self: Any, teacher: ShrinkVerbs | nn.Module, epochs: int = 3, *, lr: float | None = None, temperature: float = 2.0, alpha: float = 0.7,
        callbacks: Any = (),
    ) -> CompressionReport:
        """Train on what a better network answers, beside the targets; see `fastgpu.callbacks.Distillation`.

        What was measured before and after comes back; the epochs are in `learn.history`.

        Args:
            teacher: a trained learner, or network, for the same items and outputs.
            epochs: epochs to train.
            lr: learning rate meanwhile; None: the learner's.
            temperature: what logits are divided by, above 0.
            alpha: share of the teacher in the loss, 0 to 1.
            callbacks: further callbacks, for this fit.

        Raises:
            ArgumentError: the task has no logits that a teacher could be asked for, or the teacher is for other items or classes.
        """
        from fastgpu.distilling import run_distill
        from fastgpu.reporting import keep_compression

        net = teacher.module if isinstance(teacher, ShrinkVerbs) else teacher
        if not isinstance(net, nn.Module):
            came = type(teacher).__name__
            raise ArgumentError(f"A teacher is a learner or a torch module. {came} came. Give for example Learner.load('runs/large').")
        return keep_compression(self, run_distill(self, net, epochs, lr, temperature, alpha, several(callbacks)))

    @known_keywords
    def export(
        self: Any,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,
        int8: bool | str = "auto",
        verify: bool = True,
        tolerance: float | None = None,
    ) -> Exported:
        """Write the network with all that stands before and after it as a file for another runtime, and prove the file.

        Args:
            path: the file; its suffix tells the format, one without gets it.
            format: `"onnx"`, `"pt2"`, `"aoti"`, `"openvino"`, `"executorch"` or `"safetensors"`; None: by the suffix, else onnx.
            int8: whether layers compute with whole numbers of 8 bits; `"auto"`: where the network is quantized, and that is faster here and
                near enough; else they compute with floats that are stored as whole numbers, and a line says why.
            verify: run held-out items through the file in a new process, compare, and write a certificate `<path>.json`.
            tolerance: largest difference of an output that is allowed, as a share of the largest; of a quantized network the mean distance
                of the outputs, as a share of them; None: the format's.

        Raises:
            ExportError: the network cannot be exported, or the file differs; nothing is left behind.
        """
        from fastgpu.exporting import export

        return export(self, path, format, int8, verify, tolerance)

    @known_keywords
    def benchmark(self: Any, formats: str | Sequence[str] = ("torch", "onnx")) -> Benchmark:
        """Metric, latency, throughput, size and memory of the network in several formats, each in a process of its own.

        Args:
            formats: `"torch"`, the network in PyTorch (of a quantized one as it computes with floats), and names of formats as `export` takes them.
        """
        from fastgpu.benchmarking import benchmark

        return benchmark(self, formats)

