"""Exporting a learner: the file, the proof that it does what the learner does, and the certificate beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import hashlib
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fastgpu.compress.quantize import quantized_layers
from fastgpu.data.loaders import Batch
from fastgpu.errors import ArgumentError, ExportError, RunFolderError
from fastgpu.export.base import FORMATS, Format, Source, format_of
from fastgpu.export.graph import is_half
from fastgpu.exportable import make_source, samples_of
from fastgpu.judging import evaluate
from fastgpu.optional import require
from fastgpu.proving import Limits, certificate_of, limits_of
from fastgpu.quantizing import int8_sources
from fastgpu.reading.base import READERS
from fastgpu.train.reproducible import own_randomness

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["Exported", "export"]


INT8_SAMPLES = 256
"""Items that a quantized network is tried on: few say little of what falls to either side."""


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
    if not isinstance(path, (str, os.PathLike)) or not Path(path).name or os.fspath(path).endswith(("/", os.sep)) or "\0" in os.fspath(path):
        raise ArgumentError(f"path is where the file is to be. {path!r} came. Give for example 'model.onnx'.")
    path, format = format_of(Path(path).expanduser(), format)
    kind = FORMATS[format]
    if int8 != "auto" and not isinstance(int8, bool):
        raise ArgumentError(f"int8 is True, False or 'auto'. {int8!r} came.")
    if not isinstance(verify, bool):
        raise ArgumentError(f"verify is True or False. {verify!r} came.")
    if tolerance is not None and (not isinstance(tolerance, (int, float)) or isinstance(tolerance, bool) or not 0 <= tolerance < float("inf")):
        raise ArgumentError(f"tolerance is a share of the largest output, 0 or more. {tolerance!r} came. Leave it out for {format}'s own.")
    if verify:
        refuse_own(learner, kind)
    for package in kind.needs:
        require(package, need=f"Export to {format}")
    kind.ready()
    wanted = _wants_int8(learner, format, int8)
    rounds = bool(quantized_layers(learner.module))
    limits = limits_of(kind, tolerance, rounds=rounds, half=is_half(learner.module))
    with _stage(path) as staged, own_randomness():
        learner.say(f"export: writing {path}{', which is then run and compared' if verify else ''}")
        began = time.perf_counter()
        batches = samples_of(learner, INT8_SAMPLES) if rounds else samples_of(learner)
        floats = make_source(learner, batches, limits.output).stating(precision=precision_of(learner, kind))
        if rounds and "val" in learner.data.splits:  # the history's are those of the network before
            metrics = {f"val_{name}": value for name, value in evaluate(learner).items()}
            floats = floats.stating(metrics=metrics)
        if rounds and not wanted and int8 == "auto":
            learner.say(f"export: {format} holds no whole numbers of such a network, so the file computes with {kind.precision}")
        whole = int8_sources(learner, batches, floats, forced=int8 is True) if wanted else ()
        sources = itertools.chain(whole, () if int8 is True else (floats,))
        certificate = _write_first(learner, format, staged, sources, batches, limits, verify)
        names = [path.name, *(path.stem + suffix for suffix in kind.companions)]
        if certificate is not None:
            certificate["seconds"] = round(time.perf_counter() - began, 2)
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
    if format == "onnx" and learner.data.input.kind not in READERS:
        learner.say(f"export: the Predictor reads no items of the kind {learner.data.input.kind}; run the file in onnxruntime")
    return made


def refuse_own(learner: Learner, kind: Format) -> None:
    """Refuse to load a file of weights whose network is in nobody's zoo.

    Raises:
        ExportError: the format holds weights alone, and the network is one of the user's own.
    """
    if kind.rebuilds and not learner.from_zoo:
        raise ExportError(
            f"A file of weights is verified by building its network again. {type(learner.module).__name__} is a network of your own, whose "
            "code is not in it. Give verify=False, or keep the learner with learn.save."
        )


def precision_of(learner: Learner, kind: Format) -> str:
    """What a format computes with where nothing is quantized: what by ONNX is made is in single precision, whatever the network is."""
    doubles = any(p.dtype == torch.float64 for p in learner.module.parameters())
    return "float64" if doubles and kind.precision == "float32" and "onnx" not in kind.needs else kind.precision


def _wants_int8(learner: Learner, format: str, int8: bool | str) -> bool:
    """Whether a file of whole numbers is to be made.

    Raises:
        ArgumentError: it is asked for, and the network or the format has none.
    """
    target = next((str(layer.target) for layer in quantized_layers(learner.module).values()), None)
    known = [name for name, each in FORMATS.items() if each.targets and target in (None, *each.targets)]
    if int8 is True and format not in known:
        whose = f" of a network for {target}" if target else ""
        raise ArgumentError(f"Formats that hold whole numbers{whose} are {', '.join(known)}. {format} came with int8=True. Take one of them.")
    if int8 is True and target is None:
        raise ArgumentError(
            "int8=True exports a quantized network. This one computes with floats. Call learn.quantize() first, or fit with "
            "callbacks=['quantization_aware_training']."
        )
    return int8 is not False and target is not None and format in known


def _write_first(
    learner: Learner, format: str, staged: Path, sources: Iterable[Source], batches: Sequence[Batch], limits: Limits, verify: bool
) -> dict[str, Any] | None:
    """Write the first source that holds, and say what speaks against those before it; what verifying it finds.

    Raises:
        ExportError: none can be written, or is near enough to the learner.
    """
    refused: dict[str, ExportError] = {}
    for source in sources:
        precision = source.manifest["precision"]
        try:
            certificate = _write(learner, format, staged, source, batches, limits, verify)
        except ExportError as error:
            refused[precision] = error
            continue
        for name, error in refused.items():
            learner.say(f"export: the file holds {precision}, since {name} was refused: {error}")
        return certificate
    raise list(refused.values())[-1]


def _write(
    learner: Learner, format: str, staged: Path, source: Source, batches: Sequence[Batch], limits: Limits, verify: bool
) -> dict[str, Any] | None:
    """Write a source, over what was tried there before; what verifying it finds.

    Raises:
        ExportError: it cannot be written, or is further from the learner than the limits.
    """
    FORMATS[format].write(source, staged)
    return certificate_of(learner, format, staged, source, batches, limits) if verify else None


@contextlib.contextmanager
def _stage(path: Path) -> Iterator[Path]:
    """A file of the same name in a hidden folder beside its place, where it is written and proved; the folder then goes.

    A process that is killed leaves its folder, which the next export to the same place clears away.

    Raises:
        RunFolderError: nothing can be written there.
    """
    if os.path.isdir(path):  # which does not fail at a name that is too long
        raise RunFolderError(f"An exported file must be written to a file. {path} is a folder. Give a name in it: {path / 'model.onnx'}.")
    missing: Path | None = None
    folder = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        missing = next((p for p in (*reversed(path.parent.parents), path.parent) if not p.exists()), None)
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
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
    except (ExportError, RunFolderError) as error:  # the user knows of no hidden folder
        hidden, place = f"{folder}{os.sep}", str(path).removesuffix(path.name)
        raise type(error)(str(error).replace(hidden, place)) from error.__cause__
    except OSError as error:
        within = error.filename is None or str(error.filename).startswith(str(folder))
        if error.errno is None or not within:  # a file that is read, not the one that is written
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


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _line(path: Path, format: str, size: int, certificate: Mapping[str, Any] | None) -> str:
    amount = f"{size / 2**20:.1f} MB" if size >= 2**20 else f"{size / 2**10:.0f} KB"
    if certificate is None:
        return f"{path}: {format}, {amount}, not verified"
    metrics = [f"{name} {each['learner']:.4g} -> {each['file']:.4g}" for name, each in certificate["metrics"].items()]
    rounds = certificate["measure"] == "mean distance"
    apart = f"{certificate['mean_distance']:.1g} on average" if rounds else f"at most {certificate['largest_difference']:.1g}"
    apart = f"differ by {apart} (tolerance {certificate['tolerance']:g})"
    if not certificate["entries"]:  # of a detector that is sure of no object yet
        apart = "have no results in either that could be compared"
    return ", ".join([f"{path}: {format}, {certificate['precision']}, {amount}", f"{certificate['samples']} items {apart}", *metrics[:2]])
