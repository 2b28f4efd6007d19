"""Weights & Biases: never a prompt; offline where there is no key."""

from __future__ import annotations

import os
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any

from fastgpu.callbacks.trackers.base import TRACKERS


@TRACKERS.register("wandb")
def wandb(folder: Path, settings: dict[str, Any]) -> Any:
    """A `WandbLogger` with a run of its own; without a key the run stays on disk, in `<run>/wandb/`."""
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    mode: Any = os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")
    # One process may train several learners: each has a run of its own.
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "fastgpu"), name=folder.name, dir=folder, config=settings, mode=mode, reinit="create_new"
    )
    if mode == "offline":
        print(f"wandb: no key, so the run stays offline; to upload it: wandb sync {Path(run.dir).parent}")
    return WandbLogger(experiment=run)


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc().authenticators("api.wandb.ai") is not None
    except (OSError, NetrcParseError):
        return False
