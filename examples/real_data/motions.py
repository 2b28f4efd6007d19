"""Two small sets of real sensor series, each with its published split into train and test.

BasicMotions: accelerometer and gyroscope of a smart watch, 6 channels, 100 steps, four activities, 40 + 40 items. ItalyPowerDemand:
electrical power demand of days, 24 hours, winter or summer half-year, 67 + 1029 items. Both are of the UCR and UEA archives
(timeseriesclassification.com) and come with the Python package aeon 1.6.0 (BSD-3).
"""

from __future__ import annotations

from pathlib import Path

from real_data.fetch import python_package

SHA256 = "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409"


def folder() -> Path:
    """Folder with `BasicMotions/` and `ItalyPowerDemand/`, each with a `_TRAIN.ts` and a `_TEST.ts`."""
    return python_package("aeon", "1.6.0", SHA256) / "aeon" / "datasets" / "data"
