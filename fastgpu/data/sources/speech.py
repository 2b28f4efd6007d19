"""Speech: recordings with what is said in them, for recognition (a text for a sound) and synthesis (a sound for a text)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fastgpu.data.raw import SPLITS, Items, Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, count, objects, one_each, split_name
from fastgpu.data.sources.speech_rows import ROLES, Row, is_ljspeech, is_nemo, ljspeech_rows, nemo_rows, table_rows
from fastgpu.data.sources.table import read_table
from fastgpu.errors import DataError
from fastgpu.reading.waves import Sound, header

__all__ = ["spoken"]

TASKS = ("recognition", "synthesis")
KINDS = ("audio", "characters")
STEPS_A_SECOND = 25
"""Steps of the zoo's networks with CTC: each gives one character at most, and one lies between equal ones."""

_FORMS = "metadata.csv beside wavs/, a JSON Lines file with audio_filepath and text, or a CSV with path and text"


def spoken(text: str) -> str:
    """What of a text is heard: letters, digits and apostrophes in lower case, with single spaces.

    Example:
        >>> spoken("Don't  panic - it's 7!")
        "don't panic it's 7"
    """
    plain = unicodedata.normalize("NFKC", text).lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" or c == "'" else " " for c in plain)
    return " ".join(re.sub(r"(?<!\w)'|'(?!\w)", " ", kept).split())


def _asked(request: Request) -> bool:
    return request.task in TASKS or (len(request.kinds) == 1 and request.kinds[0] in KINDS)


def _recognise(data: Any, request: Request) -> bool:
    if request.task is not None and request.task not in TASKS:
        return False
    path = as_path(data)
    if path is None:
        return _asked(request) and type(data).__name__ == "DataFrame"
    if path.is_dir():
        return _asked(request) or is_ljspeech(path / "metadata.csv")
    return _asked(request) or is_ljspeech(path) or is_nemo(path)


def _load(data: Any, request: Request) -> Raw:
    task = request.task or ("synthesis" if request.wants("characters") else "recognition")
    request.refuse_target("recordings; columns={'path': ..., 'text': ...} names those of a table")
    notes: list[str] = []
    path = as_path(data)
    rows = table_rows(data, request.columns, None, "the DataFrame") if path is None else _rows(path, request, notes)
    if not rows:
        raise DataError(f"Data must have rows. {path or 'The DataFrame'} has none. Check the file.")
    rows, sounds = _usable(rows, task, request.skip, notes)
    _tell(sounds, notes)
    splits = {split: _items([row for row in rows if row.split == split], task) for split in SPLITS}
    if not len(splits["train"]):
        raise DataError(f"Training needs recordings. None of the {len(rows)} rows is of the split 'train'. Check the column 'split'.")
    name = "speech" if path is None else path.resolve().name if path.is_dir() else path.resolve().parent.name
    return Raw(
        name=name,
        kind="audio" if task == "recognition" else "characters",
        splits={split: items for split, items in splits.items() if len(items)},
        task=task,
        origin="the DataFrame" if path is None else str(path),
        notes=tuple(notes),
    )


def _rows(path: Path, request: Request, notes: list[str]) -> list[Row]:
    if path.is_file():
        return _file_rows(path, "train", request, notes)
    if (path / "metadata.csv").is_file():
        return _file_rows(path / "metadata.csv", "train", request, notes)
    lists = (f for f in path.iterdir() if f.suffix in (".json", ".jsonl", ".csv", ".tsv"))
    files = one_each(lists, lambda file: split_name(re.split(r"[._-]", file.name)[0]))
    if "train" not in files:
        raise DataError(f"A folder of recordings has a list: metadata.csv, or train.jsonl, val.jsonl. {path} has none. Give the list, {_FORMS}.")
    return [row for split, file in files.items() for row in _file_rows(file, split, request, notes)]


def _file_rows(path: Path, split: str, request: Request, notes: list[str]) -> list[Row]:
    if is_ljspeech(path):
        return ljspeech_rows(path, split)
    if is_nemo(path):
        return nemo_rows(path, split)
    if path.suffix in (".json", ".jsonl"):
        raise DataError(f"A list of recordings is {_FORMS}. The first row of {path} has no audio_filepath. Add it.")
    return table_rows(read_table(path, notes, strings=True), request.columns, path.parent, path.name, split)


def _usable(rows: list[Row], task: str, skip: bool, notes: list[str]) -> tuple[list[Row], list[Sound]]:
    """Rows whose sound and text can be trained on, and what their sounds are.

    Raises:
        DataError: a row is bad, and bad ones are not to be skipped; or none is left.
    """
    with ThreadPoolExecutor(8) as pool:
        headers = list(pool.map(lambda row: header(row.path), rows))
    good: list[tuple[Row, Sound]] = []
    bad: list[str] = []
    for row, (sound, reason) in zip(rows, headers):
        if sound is None:
            bad.append(f"{row.where}: {row.path or 'no path'}: {reason}")
        elif problem := _mismatch(spoken(row.text), sound.seconds):
            bad.append(f"{row.where}: {problem}")
        else:
            good.append((row, sound))
    if bad:
        some = "; ".join(bad[:3]) + (f"; and {len(bad) - 3} more" if len(bad) > 3 else "")
        if not skip or not good:
            raise DataError(
                f"Every row must have a recording and what is said in it. {len(bad)} of {len(rows):,} cannot be used: {some}. "
                "Mend or remove such rows, or leave them out with on_bad_item='skip'."
            )
        notes.append(f"{count(len(bad), 'row')} of {len(rows):,} left out: {some}")
    return [row for row, _ in good], [sound for _, sound in good]


def _mismatch(text: str, seconds: float) -> str:
    """Why a text cannot be what is said in that time, `""` where it can."""
    if not text:
        return "has no transcript"
    steps = len(text) + sum(a == b for a, b in zip(text, text[1:]))
    if steps > seconds * STEPS_A_SECOND:
        return f"{len(text)} characters in {seconds:.2f} seconds, more than can be aligned ({STEPS_A_SECOND} a second)"
    return ""


def _tell(sounds: Sequence[Sound], notes: list[str]) -> None:
    stereo = sum(sound.channels > 1 for sound in sounds)
    if stereo:
        notes.append(f"{count(stereo, 'recording')} of several channels mixed down to one")
    rates = sorted({sound.rate for sound in sounds})
    notes.append(
        f"{sum(sound.seconds for sound in sounds) / 60:.1f} minutes of speech, at {', '.join(f'{rate:,}' for rate in rates[:4])} samples a second"
    )


def _items(rows: list[Row], task: str) -> Items:
    paths = objects(row.path for row in rows)
    # Who speaks in training is not judged on; a single speaker cannot be split.
    speakers = {row.speaker for row in rows}
    group = objects(row.speaker or row.path for row in rows) if len(speakers - {""}) > 1 else None
    if task == "recognition":
        return Items(paths, objects(spoken(row.text) for row in rows), group)
    return Items(objects(row.text for row in rows), paths, group)


SOURCES.register("speech")(
    Source(order=25, form=f"recordings with transcripts: {_FORMS}", recognise=_recognise, load=_load, roles=ROLES)
)
