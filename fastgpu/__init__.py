"""FastGPU: a training front end over PyTorch Lightning.

    from fastgpu import Learner
    learn = Learner("resnet18", "digits")
    learn.fit(5)

Importing this package loads neither torch nor Lightning: each name is loaded when it is first used.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

# Progress here needs no widgets; what a notebook without them would be told comes from tqdm, inside packages that this one loads.
warnings.filterwarnings("ignore", message="IProgress not found")

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fastgpu import callbacks, errors, losses, metrics, models, optimizers, zoo
    from fastgpu.history import History
    from fastgpu.learner import Learner
    from fastgpu.predictor import Predictor
    from fastgpu.results import Results

__all__ = ["History", "Learner", "Predictor", "Results", "callbacks", "errors", "losses", "metrics", "models", "optimizers", "zoo"]

# Hidden from type checkers: with a visible __getattr__ they would take a misspelt name for a real one.
if not TYPE_CHECKING:
    _HOMES = {
        "History": "fastgpu.history",
        "Learner": "fastgpu.learner",
        "Predictor": "fastgpu.predictor",
        "Results": "fastgpu.results",
    }

    def __getattr__(name: str) -> Any:
        import importlib

        if name in _HOMES:
            return getattr(importlib.import_module(_HOMES[name]), name)
        if name in __all__:
            return importlib.import_module(f"fastgpu.{name}")
        if name.startswith("_"):
            raise AttributeError(name)
        from fastgpu.errors import nearest

        near = nearest(name, __all__)
        advice = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise AttributeError(f"fastgpu has no {name!r}.{advice}")

    def __dir__() -> list[str]:
        return [*__all__, "__version__"]
