"""Folders that transformers' `save_pretrained` wrote: reading what they hold, in few words. Nothing is fetched, no code in them is run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastgpu.errors import ArgumentError, CheckpointError, ModelError

__all__ = ["configuration", "quiet", "readable"]


def configuration(name: str) -> dict[str, Any]:
    """What `config.json` in a folder says; empty where there is none."""
    try:
        found = json.loads((Path(name).expanduser() / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextlib.contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Without the library's bars, and its report of a new last layer, which is what was asked for."""
    logging = transformers.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def readable(folder: Path) -> Iterator[None]:
    """A damaged checkpoint ends in an error of safetensors, of JSON or of the library; each becomes one line."""
    try:
        yield
    except (ArgumentError, ModelError):
        raise
    except Exception as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"A checkpoint must be readable by transformers. {folder} is not: {line[:200]}. Save it anew.") from error
