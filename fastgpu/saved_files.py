"""Where a saved learner lies: a file, or a checkpoint of a run folder; found without torch, so that a shell answers at once."""

from __future__ import annotations

import os
from pathlib import Path

from fastgpu.errors import CheckpointError

__all__ = ["saved_file"]

EXPORTS = (".onnx", ".pt2", ".xml", ".pte")


def saved_file(path: str | os.PathLike[str], kind: str = "best") -> Path:
    """The file of a saved learner.

    Args:
        path: the file itself, a run folder, or its `checkpoints/`.
        kind: which of a run folder's checkpoints: `"best"`, or `"last"`, which is taken too where there is no best.

    Raises:
        CheckpointError: there is none, or an exported file.
    """
    path = Path(path)
    for folder in (path / "checkpoints", path):
        for name in (kind, "last"):
            if os.path.isfile(folder / name):  # which does not fail at a name that is too long
                return folder / name
    if os.path.isdir(path):
        raise CheckpointError(f"A run folder holds checkpoints/best or checkpoints/last. {path} holds neither. Check the path.")
    if not os.path.isfile(path):
        raise CheckpointError(f"A saved learner is a file or a run folder. There is none at {path}. Check the path; runs are in runs/ by default.")
    if path.suffix in EXPORTS:
        here = "Open it with Predictor.load or fastgpu predict"
        how = here if path.suffix == ".onnx" else "Load it in its own runtime, or export to .onnx for fastgpu predict"
        raise CheckpointError(f"A learner is loaded from what learn.save wrote, or from a run folder. {path} is an exported file. {how}.")
    return path
