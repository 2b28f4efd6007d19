"""Exporting a learner: the file, the proof that it does what the learner does, and the certificate beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import fastgpu
from fastgpu import zoo
from fastgpu.compress.quantize import quantized_layers
from fastgpu.data.loaders import Batch
from fastgpu.data.split import ColumnSplit, Split
from fastgpu.errors import ArgumentError, DataError, ExportError, RunFolderError
from fastgpu.export.base import FORMATS, Format, Source, format_of
from fastgpu.export.graph import Graph, columns_of, is_half
from fastgpu.export.verify import Agreement, compare, outputs_of
from fastgpu.optional import require
from fastgpu.train.reproducible import own_randomness

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["Exported", "by_learner", "export", "make_source", "metrics_of", "samples_of"]

SAMPLES = 64
"""Items of the val split on which a file is compared with the learner."""

HALF = 0.05
"""Tolerance where the learner's own weights are of half precision: those of the file are not."""

ROUNDED = 0.1
"""Tolerance where the learner computes as if quantized, and the file in single precision."""

SIZES = (1, 2, 29, 32)
"""Items of the batches that they come in: a file must take batches of any size."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exported(os.PathLike):  # type: ignore[type-arg]
    """An exported file; `open` and `Path` take it for its path.

    Args:
        path: the file.
        certificate: what was found when it was verified, as in `<path>.json`; None: it was not.
        line: the same in one line.
    """

    path: Path
    certificate: dict[str, Any] | None
    line: str

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return self.line


def export(
    learner: Learner, path: str | os.PathLike[str], format: str | None, int8: bool | str, verify: bool, tolerance: float | None
) -> Exported:
    """Write a learner as a file for another runtime; see `Learner.export`."""
    path, format = format_of(Path(path), format)
    kind = FORMATS[format]
    if int8 not in (True, False, "auto"):
        raise ArgumentError(f"int8 is True, False or 'auto'. {int8!r} came.")
    if tolerance is not None and (not isinstance(tolerance, (int, float)) or isinstance(tolerance, bool) or not 0 <= tolerance < float("inf")):
        raise ArgumentError(f"tolerance is a share of the largest output, 0 or more. {tolerance!r} came. Leave it out for {format}'s own.")
    if verify and kind.rebuilds and not learner.from_zoo:
        raise ExportError(
            f"A file of weights is verified by building its network again. {type(learner.module).__name__} is a network of your own, whose "
            "code is not in it. Give verify=False, or take format='pt2'."
        )
    for package in kind.needs:
        require(package, need=f"Export to {format}")
    allowed = _usual_tolerance(learner, kind) if tolerance is None else float(tolerance)
    with _stage(path) as staged, own_randomness():
        began = time.perf_counter()
        batches = samples_of(learner)
        source = make_source(learner, batches, allowed)
        kind.write(source, staged)
        names = [path.name, *(path.stem + suffix for suffix in kind.companions)]
        certificate = None
        if verify:
            certificate = _certificate(learner, format, staged, source, batches, allowed) | {"seconds": round(time.perf_counter() - began, 2)}
            certificate["files"] = {name: _sha256(staged.with_name(name)) for name in names}
            staged.with_name(path.name + ".json").write_text(json.dumps(certificate, indent=1, default=str) + "\n", encoding="utf-8")
            names.append(path.name + ".json")
        else:
            path.with_name(path.name + ".json").unlink(missing_ok=True)  # an earlier file's
        size = sum(staged.with_name(name).stat().st_size for name in names if not name.endswith(".json"))
        for name in reversed(names):  # the file itself last: where it is, what belongs to it is
            os.replace(staged.with_name(name), path.with_name(name))
    made = Exported(path=path, certificate=certificate, line=_line(path, format, size, certificate))
    learner.say(f"export: {made!r}")
    return made


def _usual_tolerance(learner: Learner, kind: Format) -> float:
    if quantized_layers(learner.module):
        return max(kind.tolerance, ROUNDED)
    return max(kind.tolerance, HALF) if is_half(learner.module) else kind.tolerance


def samples_of(learner: Learner, most: int = SAMPLES) -> list[Batch]:
    """Items of the split that is judged, spread evenly over it, in batches of different sizes.

    Raises:
        DataError: the learner has no data, or fewer than two items.
    """
    if not learner.data.splits:
        raise DataError(
            "Export runs the network on a few items. The learner was loaded without data. Give Learner.load(path, data), and export from that."
        )
    split = learner.data.judged()
    parts: list[Batch] = []
    if isinstance(split, ColumnSplit):
        chosen = torch.linspace(0, len(split) - 1, min(most, len(split))).long()
        for part in chosen.split(_sizes(len(chosen))):
            y = {} if split.y is None else split.y.gather(part)
            parts.append({"x": split.x.gather(part), "y": y, "n": len(part), "sizes": [len(part)]})
    else:
        whole, at = split.head(most), 0
        for size in _sizes(whole["n"]):
            x, y = ({k: v[at : at + size] for k, v in whole[side].items()} for side in ("x", "y"))
            parts.append({"x": x, "y": y, "n": size, "sizes": [size]})
            at += size
    if sum(part["n"] for part in parts) < 2:
        raise DataError("Export runs the network on at least two items. The data have fewer. Give Learner.load(path, data) more of them.")
    return parts


def make_source(learner: Learner, batches: Sequence[Batch], tolerance: float) -> Source:
    """What every format is made from: the graph, an example, the manifest.

    Raises:
        ExportError: the network or its task cannot be exported.
    """
    split = learner.data.judged()
    example = _example(split)
    graph = Graph(learner.module, learner.data.input, learner.data.task, example)
    lengths = {}
    if isinstance(split, ColumnSplit) and split.x.lengths is not None:
        longest = max(value.shape[1] for value in example.values() if value.ndim > 1)
        lengths = {name: 1 for name, value in example.items() if value.ndim > 1 and value.shape[1] == longest}
    return Source(
        graph=graph,
        example=example,
        lengths=lengths,
        manifest=_manifest(learner, graph, tolerance),
        weights=learner.module.state_dict(),
        facts=learner.facts(None, learner.weights_epoch),
    )


def _example(split: Split) -> dict[str, Tensor]:
    """A few items as one batch, their number not that of any other size in it: a tracer takes equal sizes for the same one."""
    head = columns_of(split.head(7)["x"])
    taken = {size for value in head.values() for size in value.shape[1:]}
    most = len(next(iter(head.values())))
    count = next((n for n in (5, 7, 6, 4, 3, 2) if n <= most and n not in taken), most)
    return {name: value[:count].contiguous() for name, value in head.items()}


def _manifest(learner: Learner, graph: Graph, tolerance: float) -> dict[str, Any]:
    rows = [row for row in learner.history.rows if row["epoch"] == learner.weights_epoch]
    return {
        "fastgpu": fastgpu.__version__,
        "architecture": learner.architecture,
        "input": learner.data.input.to_dict(),
        "task": learner.data.task.to_dict(),
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "opset": None,
        "precision": "float32",  # int8: fastgpu.export.int8 makes the file, and says so here
        "licence": zoo.find(learner.architecture)[1].licence if learner.from_zoo else None,
        "metrics": {key: value for key, value in (rows[-1] if rows else {}).items() if key.startswith("val_")},
        "tolerance": tolerance,
    }


def _certificate(
    learner: Learner, format: str, staged: Path, source: Source, batches: Sequence[Batch], tolerance: float
) -> dict[str, Any]:
    """Run the written file and the learner on the same items, and say how far apart they are.

    Raises:
        ExportError: further than the tolerance.
    """
    given = [{name: batch["x"][name].numpy() for name in source.graph.inputs} for batch in batches]
    found = outputs_of(FORMATS[format], staged, given)
    expected = by_learner(learner, source.graph, batches)
    agreement = compare(found, [{name: value.numpy() for name, value in each.items()} for each in expected])
    before = metrics_of(learner, batches, expected)
    after = metrics_of(learner, batches, [{name: torch.from_numpy(value) for name, value in each.items()} for each in found])
    samples = sum(batch["n"] for batch in batches)
    _refuse(staged.name, agreement, before, after, tolerance, samples)
    return {
        "file": staged.name,
        "format": format,
        "precision": source.manifest["precision"],
        "samples": samples,
        "split": "val" if "val" in learner.data.splits else "train",
        "tolerance": tolerance,
        "largest_difference": agreement.largest,
        "differences": agreement.difference,
        "disagree": agreement.disagree,
        "metrics": {name: {"learner": before[name], "file": after[name]} for name in before},
        "versions": _versions(FORMATS[format].needs),
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _refuse(name: str, agreement: Agreement, before: Mapping[str, float], after: Mapping[str, float], tolerance: float, samples: int) -> None:
    if agreement.largest > tolerance:
        output = max(agreement.difference or agreement.disagree, key=lambda k: (agreement.difference or agreement.disagree)[k])
        raise ExportError(
            f"An exported file must give what the learner gives. {name} differs by {agreement.largest:.2g} in {output} "
            f"(tolerance {tolerance:g}) on {samples} items, and was removed. Take another format, or a larger tolerance=."
        )
    for metric, value in before.items():
        # One item may fall to the other side of a threshold that it lies on.
        if abs(after[metric] - value) > tolerance * max(1.0, abs(value)) + 1 / samples:
            raise ExportError(
                f"An exported file must be as good as the learner. {name} has {metric} {after[metric]:.4g}, the learner {value:.4g}, on {samples} "
                "items, and was removed. Take another format, or a larger tolerance=."
            )


def by_learner(learner: Learner, graph: Graph, batches: Sequence[Batch]) -> list[dict[str, Tensor]]:
    """What the learner's own network gives, where and as it is."""
    module = learner.task_module()
    device = next((p.device for p in learner.module.parameters()), torch.device("cpu"))
    modes = [(part, part.training) for part in module.model.modules()]
    module.to(device).eval()
    found = []
    try:
        with own_randomness(), torch.no_grad():
            for batch in batches:
                x = module.preparation({name: batch["x"][name].to(device) for name in graph.inputs})
                found.append({name: value.cpu() for name, value in module.task.in_graph(module.model, x).items()})
    finally:
        for part, training in modes:
            part.training = training
    return found


def metrics_of(learner: Learner, batches: Sequence[Batch], outputs: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """The learner's metrics that can be told from the outputs; empty where the items have no targets."""
    metrics: Any = learner.task_module().val_metrics
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few items may lack a class
        for batch, found in zip(batches, outputs):
            if batch["y"]:
                learner.data.task.judge(metrics, found, batch["y"])
        values = {name: metric.compute() for name, metric in metrics.items() if metric.update_called}
    return {name: float(value) for name, value in values.items() if isinstance(value, Tensor) and value.numel() == 1 and not value.isnan()}


@contextlib.contextmanager
def _stage(path: Path) -> Iterator[Path]:
    """A file of the same name in a hidden folder beside its place, where it is written and proved; the folder then goes.

    A process that is killed leaves its folder, which the next export to the same place clears away.

    Raises:
        RunFolderError: nothing can be written there.
    """
    if path.is_dir():
        raise RunFolderError(f"An exported file must be written to a file. {path} is a folder. Give a name in it: {path / 'model.onnx'}.")
    missing = next((p for p in reversed(path.parent.parents) if not p.exists()), None) or (path.parent if not path.parent.exists() else None)
    folder = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*.partial"):
            if not _alive(left.name.split(".")[-2]):
                shutil.rmtree(left, ignore_errors=True)
        folder.mkdir()
    except OSError as error:
        _remove_empty(missing, path.parent)
        reason = next((f"{p} is a file" for p in path.parents if p.is_file()), error.strerror)
        raise RunFolderError(f"An exported file must be written to {path}. It cannot be: {reason}. Choose another path.") from None
    done = False
    try:
        yield folder / path.name
        done = True
    except OSError as error:
        if isinstance(error, RunFolderError) or error.errno is None:
            raise
        raise RunFolderError(f"An exported file must be written to {path}. It could not be: {error.strerror}. Choose another path.") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not done:
            _remove_empty(missing, path.parent)


def _remove_empty(first: Path | None, last: Path) -> None:
    """Folders that were made for a file which did not come about."""
    while first is not None and last.is_relative_to(first):
        with contextlib.suppress(OSError):
            last.rmdir()
        last = last.parent


def _alive(process: str) -> bool:
    if os.name != "posix":  # there the signal 0 is none that only asks
        return True
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:  # another user's
        return True
    return True


def _sizes(n: int) -> list[int]:
    """`n` as a sum of different sizes."""
    found = []
    for size in SIZES:
        found.append(min(size, n - sum(found)))
    return [size for size in [*found[:-1], n - sum(found[:-1])] if size]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {"fastgpu": fastgpu.__version__}
    for package in ("torch", *packages):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _line(path: Path, format: str, size: int, certificate: Mapping[str, Any] | None) -> str:
    amount = f"{size / 2**20:.1f} MB" if size >= 2**20 else f"{size / 2**10:.0f} KB"
    if certificate is None:
        return f"{path}: {format}, {amount}, not verified"
    metrics = [f"{name} {each['learner']:.4g} -> {each['file']:.4g}" for name, each in certificate["metrics"].items()]
    return ", ".join(
        [
            f"{path}: {format}, {certificate['precision']}, {amount}",
            f"{certificate['samples']} items differ by at most {certificate['largest_difference']:.1g} (tolerance {certificate['tolerance']:g})",
            *metrics[:2],
        ]
    )
