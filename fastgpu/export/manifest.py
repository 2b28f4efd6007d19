"""The manifest: what an exported file says of itself, and the digest that proves the file whole. No torch here."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastgpu.errors import CheckpointError, ExportError, RunFolderError

__all__ = ["FORMAT", "KEY", "digest", "header", "is_whole", "read_manifest", "sealed", "write_atomically"]

FORMAT = 1
"""Version of the manifest; a reader refuses a newer one."""

KEY = "fastgpu"
"""Name of the metadata in which the manifest stands as JSON."""

MARKER = b'{"sha256": "'
BLANK = b"0" * 64


def header(manifest: Mapping[str, Any]) -> str:
    """The manifest as JSON, with its digest still blank and at its beginning, where `sealed` finds it.

    Example:
        >>> header({"format": 1})[:16]
        '{"sha256": "0000'
    """
    return json.dumps({"sha256": BLANK.decode(), "format": FORMAT, **{k: v for k, v in manifest.items() if k not in ("sha256", "format")}})


def sealed(content: bytes) -> bytes:
    """A file's bytes that hold a `header` -> the same with the digest in its place.

    The digest is SHA-256 of all bytes of the file, those of the digest itself as 64 zeros.
    """
    at = _place(content)
    if at < 0 or content[at : at + 64] != BLANK:
        raise ExportError("A file is sealed that holds a manifest with a blank digest. This one holds none.")
    return content[:at] + hashlib.sha256(content).hexdigest().encode() + content[at + 64 :]


def digest(content: bytes) -> tuple[str, str]:
    """A file's bytes -> (the digest that it names, the digest that it has); the first is empty where it names none."""
    at = _place(content)
    if at < 0:
        return "", hashlib.sha256(content).hexdigest()
    found = hashlib.sha256(content[:at])
    found.update(BLANK)
    found.update(memoryview(content)[at + 64 :])
    return content[at : at + 64].decode("ascii", "replace"), found.hexdigest()


def is_whole(path: str | os.PathLike[str]) -> bool:
    """Whether a file is, to the byte, the one that was sealed."""
    named, found = digest(Path(path).read_bytes())
    return named == found


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of an exported file, once the file is seen to be whole.

    Raises:
        CheckpointError: there is no such file, it is no export of FastGPU, is damaged, or of a newer format.
    """
    if path.is_dir():
        raise CheckpointError(f"A Predictor opens the .onnx file that learn.export wrote. {path} is a folder. Open a run folder with Learner.load.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"An exported model is a file. {path} cannot be read: {error.strerror}. Check the path.") from None
    if zipfile.is_zipfile(path) or path.suffix in (".safetensors", ".xml", ".pte"):
        raise CheckpointError(f"A Predictor opens the .onnx file that learn.export wrote. {path} is of another format. Export the learner as .onnx.")
    at = content.rfind(MARKER)
    if at < 0:
        why = "carries no manifest: it was written otherwise, or its end is missing"
        raise CheckpointError(f"A Predictor opens what learn.export wrote. {path} {why}. Export the model again.")
    try:
        # JSON is ASCII; whatever bytes follow it are not looked at.
        manifest, _ = json.JSONDecoder().raw_decode(content[at:].decode("latin-1"))
        newer = manifest["format"] > FORMAT
    except (ValueError, TypeError, KeyError):
        newer, manifest = False, {}
    if newer:
        raise CheckpointError(
            f"This FastGPU reads exports of format {FORMAT}. {path} has {manifest['format']}, written by FastGPU "
            f"{manifest.get(KEY, '?')}. Upgrade: pip install -U fastgpu"
        )
    named, found = digest(content)
    if not manifest or named != found:
        raise CheckpointError(f"An exported file must be whole. {path} is damaged: its digest is another. Copy or export it again.")
    return manifest


def write_atomically(content: bytes, path: Path) -> None:
    """Write a file in one step: a reader sees the old file or the new one, never half of one.

    Raises:
        RunFolderError: the file cannot be written; nothing is left behind, an earlier file stays.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        reason = error.strerror or error
        raise RunFolderError(f"An exported file must be written to {path}. It could not be: {reason}. Choose another path.") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _place(content: bytes) -> int:
    at = content.rfind(MARKER)
    return at if at < 0 else at + len(MARKER)
