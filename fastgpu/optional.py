"""The only way to an optional package, and the one table of which extra brings it."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from fastgpu.errors import MissingPackageError

__all__ = ["EXTRAS", "available", "require"]

EXTRAS: dict[str, str] = {
    "datasets": "data",
    "faster_coco_eval": "vision",
    "pyarrow": "data",
    "rtdl_revisiting_models": "tables",
    "segmentation_models_pytorch": "vision",
    "soundfile": "audio",
    "soxr": "audio",
    "tabm": "tables",
    "tensorboard": "tensorboard",
    "torch_rechub": "recommend",
    "transformers": "text",
}
"""Optional package -> the extra of FastGPU that installs it."""


def available(package: str) -> bool:
    """Whether `package` is installed; does not import it."""
    return importlib.util.find_spec(package) is not None


def require(package: str, *, need: str) -> ModuleType:
    """Import an optional package, or say in one line how to install it.

    Args:
        package: the name that is imported.
        need: what it is needed for, as the beginning of a sentence: `"Reading Parquet files"`.

    Raises:
        MissingPackageError: the package is not installed.

    Example:
        >>> require("json", need="Reading settings").loads("[1]")
        [1]
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        extra = EXTRAS.get(package)
        install = f"pip install 'fastgpu[{extra}]'" if extra else f"pip install {package}"
        raise MissingPackageError(f"{need} needs the package {package}, which is not installed. Run: {install}") from None
