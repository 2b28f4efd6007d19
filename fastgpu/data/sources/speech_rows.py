"""Lists of recordings with what is said in them: LJSpeech's `metadata.csv`, NeMo's JSON lines, tables."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastgpu.data.sources.base import split_names
from fastgpu.errors import DataError, nearest
from fastgpu.reading.text_files import not_utf8

__all__ = ["ROLES", "Row", "is_ljspeech", "is_nemo", "ljspeech_rows", "nemo_rows", "table_rows"]

FOLDERS = ("", "wavs", "wav", "clips", "audio")
"""Where sounds may lie beside their list."""

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")

ROLES = ("path", "text", "speaker")
"""What `columns=` may name."""

PATHS = ("audio_filepath", "path", "file", "filename", "file_name", "filepath", "audio", "wav", "sound")
TEXTS = ("text", "sentence", "transcript", "transcription", "normalized_text")
SPEAKERS = ("speaker", "speaker_id", "client_id", "voice")


@dataclasses.dataclass(frozen=True)
class Row:
    """One recording.

    Args:
        where: its place in the list, for people: `"metadata.csv row 3"`.
        path: the sound's path.
        text: what is said, as it stands there.
        speaker: who speaks, `""` where the list does not tell.
        split: `"train"`, `"val"` or `"test"`.
    """

    where: str
    path: str
    text: str
    speaker: str = ""
    split: str = "train"


def is_ljspeech(path: Path) -> bool:
    """Whether a file is a list as LJSpeech has it: `id|text|normalised text` without a header, the sounds in `wavs/` or beside."""
    line = _first_line(path) if path.suffix == ".csv" else ""
    return "|" in line and os.path.isfile(_found(path.parent, line.split("|")[0], SUFFIXES))


def is_nemo(path: Path) -> bool:
    """Whether a file has a JSON object a line, with `audio_filepath`."""
    return path.suffix in (".json", ".jsonl") and '"audio_filepath"' in _first_line(path)


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.readline(10_000)
    except OSError:
        return ""


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Lines that are not empty, with their places in words; counted from 1."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise not_utf8(path, "A list of recordings") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"{path.name} row {number}", line.rstrip("\r")


def ljspeech_rows(path: Path, split: str = "train") -> list[Row]:
    """Rows of `id|text|normalised text`; the normalised text is taken where there is one."""
    rows: list[Row] = []
    for where, line in _lines(path):
        name, bar, rest = line.partition("|")
        if not bar:
            raise DataError(f"A row of LJSpeech's list is id|text or id|text|normalised text. {where} is {line[:40]!r}. Mend it.")
        parts = rest.split("|")
        text = parts[1] if len(parts) > 1 and parts[1].strip() else parts[0]
        rows.append(Row(where, _found(path.parent, name.strip(), SUFFIXES), text, "", split))
    return rows


def nemo_rows(path: Path, split: str = "train") -> list[Row]:
    """Rows of `{"audio_filepath": ..., "text": ..., "speaker": ...}`; a row with an offset means a part of a file, and is refused."""
    rows: list[Row] = []
    for where, line in _lines(path):
        try:
            item = json.loads(line)
        except ValueError:
            item = None
        if not isinstance(item, dict) or not isinstance(item.get("audio_filepath"), str):
            raise DataError(f"A row is a JSON object with 'audio_filepath' and 'text'. {where} is {line[:60]!r}. Mend it.")
        if item.get("offset"):
            raise DataError(f"A row is a whole file. {where} begins at offset {item['offset']}. Cut the sound, and leave offset out.")
        text, speaker = (str(item.get(key) or "") for key in ("text", "speaker"))
        rows.append(Row(where, _found(path.parent, item["audio_filepath"]), text, speaker, split))
    return rows


def table_rows(frame: Any, named: Mapping[str, str], base: Path | None, words: str, split: str = "train") -> list[Row]:
    """Rows of a DataFrame with a column of paths, one of texts, and perhaps one of speakers and one of splits.

    Args:
        frame: the table.
        named: `"path"`, `"text"`, `"speaker"` -> the column's name, where it is no usual one.
        base: folder that relative paths start from; None: the current one.
        words: what the table is called in errors.
        split: of rows without a column that tells.
    """
    frame = frame.rename(columns=str)
    columns = {role: _column(frame, role, usual, named, words) for role, usual in (("path", PATHS), ("text", TEXTS), ("speaker", SPEAKERS))}
    cells = {role: frame[name].fillna("").astype(str).tolist() for role, name in columns.items() if name}
    first = 2 if base else 0  # of a file row 1 is the header; rows of a frame count from 0
    splits = (split_names(frame["split"], words, first) if "split" in frame.columns else None) or [split] * len(frame)
    speakers = cells.get("speaker", [""] * len(frame))
    return [
        Row(f"{words} row {i}", _found(base or Path(), path) if path else "", text, speaker, part)
        for i, (path, text, speaker, part) in enumerate(zip(cells["path"], cells["text"], speakers, splits), first)
    ]


def _column(frame: Any, role: str, usual: tuple[str, ...], named: Mapping[str, str], words: str) -> str:
    columns = list(frame.columns)
    if role in named:
        if named[role] not in columns:
            near = nearest(named[role], columns)
            advice = f"Did you mean {near[0]!r}?" if near else f"The columns are {', '.join(columns)}."
            raise DataError(f"columns must name columns of {words}. {named[role]!r} came for {role!r}. {advice}")
        return named[role]
    found = next((c for name in usual for c in columns if c.lower() == name), "")
    if not found and role != "speaker":
        raise DataError(
            f"A table of recordings has a column of paths ({', '.join(PATHS[:4])}) and one of texts ({', '.join(TEXTS[:3])}). "
            f"{words} has {', '.join(columns)}. Say which with columns={{{role!r}: '...'}}."
        )
    return found


def _found(base: Path, name: str, suffixes: tuple[str, ...] = ()) -> str:
    """The path of a sound that a list names: from the list's folder, or from one beside it; else as it would be there."""
    if os.path.isabs(name):
        return name
    for folder in FOLDERS:
        for suffix in ("", *suffixes):
            path = base / folder / f"{name}{suffix}"
            if path.is_file():
                return str(path)
    return str(base / (f"wavs/{name}{suffixes[0]}" if suffixes else name))
