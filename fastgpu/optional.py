"""The only way to an optional package, and the one table of which extra brings it."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from types import ModuleType

from fastgpu.errors import MissingPackageError

__all__ = ["EXTRAS", "available", "require"]

EXTRAS: dict[str, str] = {
    "alembic": "mlflow",
    "babel": "text",
    "datasets": "data",
    "executorch": "executorch",
    "faster_coco_eval": "vision",
    "imageio_ffmpeg": "video",
    "mlflow": "mlflow",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "openvino": "openvino",
    "optuna": "tune",
    "pyarrow": "data",
    "rtdl_revisiting_models": "tables",
    "scipy": "vision",
    "segmentation_models_pytorch": "vision",
    "soundfile": "audio",
    "soxr": "audio",
    "sqlalchemy": "mlflow",
    "tabm": "tables",
    "tensorboard": "tensorboard",
    "torch_pruning": "prune",
    "torchao": "gpu",
    "torch_rechub": "recommend",
    "transformers": "text",
}
"""Optional package -> the extra of FastGPU that installs it."""


def _is_not_of_torchao(record: logging.LogRecord) -> bool:
    return "natively supported by torch.compile" not in record.getMessage()


def available(package: str) -> bool:
    """Whether `package` is installed; does not import it."""
    return importlib.util.find_spec(package) is not None


def require(package: str, *, need: str, extra: str | None = None) -> ModuleType:
    """Import an optional package, or say in one line how to install it.

    Args:
        package: the name that is imported, a module of a package too.
        need: what it is needed for, as the beginning of a sentence: `"Reading Parquet files"`.
        extra: the extra that brings it and whatever else is needed there; None: the first that brings it.

    Raises:
        MissingPackageError: the package is not installed, or cannot be imported beside the torchaudio that is.

    Example:
        >>> require("json", need="Reading settings").loads("[1]")
        [1]
    """
    if package.partition(".")[0] == "transformers":
        _refuse_broken_torchaudio(need)
    if package.partition(".")[0] in ("torchao", "transformers"):  # the second imports the first, which makes torch warn of its types
        logging.getLogger("torch.utils._pytree").addFilter(_is_not_of_torchao)
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        top = package.partition(".")[0]
        if error.name not in (package, top):
            raise
        extra = extra or EXTRAS.get(top)
        install = f"pip install 'fastgpu[{extra}]'" if extra else f"pip install {top}"
        raise MissingPackageError(f"{need} needs the package {top}, which is not installed. Run: {install}") from None


def _refuse_broken_torchaudio(need: str) -> None:
    """Transformers imports torchaudio where it is installed, and fails as a whole where that fails (with a newer torch, say)."""
    if not available("torchaudio"):
        return
    try:
        importlib.import_module("torchaudio")
    except Exception as error:  # an extension module built for another torch fails in many ways
        raise MissingPackageError(
            f"{need} needs the package transformers, which cannot be imported beside the torchaudio that is installed: "
            f"{type(error).__name__}: {str(error)[:120]}. FastGPU needs no torchaudio. Run: pip uninstall torchaudio"
        ) from None
