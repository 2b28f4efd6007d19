"""Files of the UCR and UEA archives (`.ts`): a series a line, channels parted by colons, the label last."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastgpu.errors import DataError

__all__ = ["read_ts"]


def read_ts(path: Path) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Read a `.ts` file (https://www.timeseriesclassification.com).

    Args:
        path: the file. `?` and `NaN` are gaps; series may differ in length.

    Returns:
        Series, each `(steps, channels)` float64, and their labels `(n,)`: strings of `@classLabel`, float64 of `@targetLabel`, None where
        the header names neither.

    Raises:
        DataError: the file is not UTF-8, has no `@data`, has times of its own, or has a line that is no series.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"A .ts file must be UTF-8 text. {path} is not, at byte {error.start}. Save it as UTF-8.") from None
    header: dict[str, str] = {}
    begin = next((i for i, line in enumerate(lines) if line.strip().lower() == "@data"), None)
    if begin is None:
        raise DataError(f"A .ts file has a line @data before its series. {path} has none. Check the file.")
    for line in lines[:begin]:
        if line.startswith("@"):
            key, _, value = line[1:].strip().partition(" ")
            header[key.lower()] = value.strip().lower()
    if header.get("timestamps") == "true":
        raise DataError(f"A .ts file gives values in order. {path} has times of its own (@timeStamps true). Convert it to a CSV with a time column.")
    named = header.get("classlabel", "").startswith("true")
    labelled = named or header.get("targetlabel", "").startswith("true")
    series, labels = [], []
    for number, line in enumerate(lines[begin + 1 :], begin + 2):
        if not line.strip() or line.startswith(("#", "%")):
            continue
        parts = line.strip().split(":")
        if labelled:
            labels.append(parts.pop().strip())
        series.append(_series(parts, path, number))
        if series[-1].shape[1] != series[0].shape[1]:
            came = f"Line {number} of {path} has {len(parts)}, the first series {series[0].shape[1]}"
            raise DataError(f"All series must have the same channels. {came}. Correct it.")
    if not series:
        raise DataError(f"Data must have series. {path} has none after @data. Check the file.")
    if not labelled:
        return series, None
    try:
        return series, np.asarray(labels) if named else np.asarray(labels, dtype=np.float64)
    except ValueError as error:
        raise DataError(f"The label of a series with @targetLabel is a number. In {path}: {error}. Correct it.") from None


def _series(parts: list[str], path: Path, number: int) -> np.ndarray:
    try:
        channels = [np.array([np.nan if v.strip() == "?" else float(v) for v in part.split(",")]) for part in parts]
    except ValueError as error:
        raise DataError(f"A series is numbers parted by commas. Line {number} of {path}: {error}. Correct it.") from None
    lengths = {len(channel) for channel in channels}
    if len(lengths) != 1:
        came = " and ".join(map(str, sorted(lengths)[:2])) or "no"
        raise DataError(f"The channels of a series are of one length. Line {number} of {path} has {came} steps. Correct it.")
    return np.stack(channels, 1)
