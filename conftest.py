"""What the examples in docstrings see."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def names(doctest_namespace, tmp_path):
    """Names that the examples use; they run in a folder of their own."""
    import numpy
    import torch

    doctest_namespace.update(np=numpy, torch=torch, tmp=tmp_path)
