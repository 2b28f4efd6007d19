"""Files of text: UTF-8, read whole or line by line, with the place of what is wrong."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from fastgpu.errors import DataError

__all__ = ["not_utf8", "read_json_lines", "read_lines", "read_text"]

_BOM = b"\xef\xbb\xbf"


def read_text(path: Path) -> str:
    """The whole text of a file, without a byte order mark.

    Raises:
        DataError: it is not UTF-8; the message has the first bad byte and its line.
    """
    content = _bytes(path)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise not_utf8(path) from None


def read_lines(path: Path) -> list[str | None]:
    """The lines of a file without their ends, None where a line is not UTF-8; an empty last line is none."""
    lines = _bytes(path).split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [_line(line.removesuffix(b"\r")) for line in lines]


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file, one a line; empty lines are passed over.

    Raises:
        DataError: a line is not UTF-8, or holds no JSON object.
    """
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"Each line of a JSONL file is one JSON object. {path} is not, in line {number}: {error}. Mend it.") from None
        if not isinstance(row, dict):
            raise DataError(f"Each line of a JSONL file is one JSON object. {path} has {type(row).__name__} in line {number}. Mend it.")
        rows.append(row)
    return rows


def not_utf8(path: Path, what: str = "Text") -> DataError:
    """The error for a file that is not UTF-8, with the place of the first bad byte.

    Args:
        path: the file; one that ends in `.gz` is unpacked.
        what: what it should have been: `"A table"`.
    """
    content, place = _bytes(path, keep_bom=True), ""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        place = f", at byte {error.start}, in line {content.count(chr(10).encode(), 0, error.start) + 1}"
    return DataError(f"{what} must be UTF-8{'' if what == 'Text' else ' text'}. {path} is not{place}. Save it as UTF-8.")


def _bytes(path: Path, *, keep_bom: bool = False) -> bytes:
    content = path.read_bytes()
    if path.suffix.lower() == ".gz":
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"A .gz file must be whole. {path} is not: {error}. Fetch or pack it again.") from None
    return content if keep_bom else content.removeprefix(_BOM)


def _line(line: bytes) -> str | None:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return None
