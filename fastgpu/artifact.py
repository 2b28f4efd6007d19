"""What an exported file says of itself, and how it is proved whole; read without onnx."""

from __future__ import annotations

import hashlib
import json
import mmap
from pathlib import Path
from typing import Any

from fastgpu.errors import CheckpointError

__all__ = ["FORMAT", "read_facts"]

FORMAT = 1
"""Version of the form of an exported file's facts; a newer one is refused."""

MARKER = b'{"sha256": "'
"""How the JSON of the facts begins; the digest follows."""


def read_facts(path: Path) -> dict[str, Any]:
    """The facts in an exported file, once it is seen to be whole.

    Args:
        path: a `.onnx` file.

    Raises:
        CheckpointError: there is no such file, it is no export of FastGPU, is damaged, or of a newer format.
    """
    if not path.is_file():
        raise CheckpointError(f"An exported model is a file. There is none at {path}. Check the path.")
    with path.open("rb") as file:
        try:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # an empty file
            raise _no_export(path) from None
        with content:
            begin = content.rfind(MARKER)
            if begin < 0:
                raise _no_export(path)
            try:
                # JSON is ASCII; whatever bytes follow it are not looked at.
                facts, _ = json.JSONDecoder().raw_decode(content[begin:].decode("latin-1"))
                newer = facts["format"] > FORMAT
            except (ValueError, TypeError, KeyError):
                raise _damaged(path) from None
            if newer:
                raise CheckpointError(
                    f"This FastGPU reads exports of format {FORMAT}. {path} has {facts['format']}, written by FastGPU "
                    f"{facts.get('fastgpu', '?')}. Upgrade: pip install -U fastgpu."
                )
            if _digest(content, begin + len(MARKER)) != facts["sha256"]:
                raise _damaged(path)
    return facts


def _digest(content: mmap.mmap, at: int) -> str:
    """SHA-256 of all, with 64 zeros at `at`, where the digest itself stands."""
    digest, step = hashlib.sha256(), 2**20
    for start, end in ((0, at), (at + 64, len(content))):
        for i in range(start, end, step):
            digest.update(content[i : min(end, i + step)])
        if start == 0:
            digest.update(b"0" * 64)
    return digest.hexdigest()


def _no_export(path: Path) -> CheckpointError:
    return CheckpointError(f"A Predictor opens what learn.export wrote. {path} is no such file, or is broken off. Export the model again.")


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"An exported file must be whole. {path} is damaged: its digest is another. Copy or export it again.")
