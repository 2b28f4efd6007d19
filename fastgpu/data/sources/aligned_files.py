"""Two files of texts, aligned line by line: `("train.en", "train.de")`, or a folder with `train.en` and `train.de`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastgpu.data.raw import Items, Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, split_name
from fastgpu.data.sources.pairs import ROLES, pairs, raw_pairs
from fastgpu.errors import DataError
from fastgpu.reading.table_files import is_table
from fastgpu.reading.text_files import read_lines

__all__ = ["read_aligned"]

_NO_TEXT = (".mo", ".po", ".json", ".yaml", ".yml", ".npz", ".npy")


def read_aligned(source: Path, target: Path, request: Request, notes: list[str]) -> Items:
    """Line number i of `target` translates line number i of `source`.

    Raises:
        DataError: the files have different numbers of lines, or a line is empty or not UTF-8.
    """
    texts, translations = read_lines(source), read_lines(target)
    if len(texts) != len(translations):
        raise DataError(
            f"Aligned files have the same number of lines. {source} has {len(texts):,}, {target} has {len(translations):,}. "
            "Align them again: from the first line that is missing on, nothing fits."
        )
    return pairs(texts, translations, request, notes, words=f"{source.name} with {target.name}")


def _two_files(data: Any) -> tuple[Path, Path] | None:
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        return None
    source, target = as_path(data[0]), as_path(data[1])
    if source is None or target is None or not (source.is_file() and target.is_file()):
        return None
    return source, target


def _in_folder(data: Any) -> dict[str, dict[str, Path]]:
    """Split -> language -> file, for a folder that holds `train` in two languages or more; else empty."""
    folder = as_path(data)
    if folder is None or not folder.is_dir():
        return {}
    found: dict[str, dict[str, Path]] = {}
    for file in sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith(".")):
        split, language = split_name(file.stem), file.suffix
        if split and language and not is_table(file.name) and language.lower() not in _NO_TEXT:
            found.setdefault(split, {})[language[1:]] = file
    return found if len(found.get("train", {})) > 1 else {}


def _recognise(data: Any, request: Request) -> bool:
    if request.task != "translation" and "text" not in request.kinds:
        return False
    languages = len(_in_folder(data).get("train", {}))
    return _two_files(data) is not None or languages == 2 or (languages > 2 and request.task == "translation")


def _load(data: Any, request: Request) -> Raw:
    request.refuse_target("aligned files")
    notes: list[str] = []
    two = _two_files(data)
    if two is not None:
        name = two[0].stem if two[0].stem == two[1].stem else f"{two[0].stem}-{two[1].stem}"
        return raw_pairs(name, {"train": read_aligned(*two, request, notes)}, origin=f"{two[0]} with {two[1]}", notes=notes)
    files = _in_folder(data)
    source, target = _direction(sorted(files["train"]), request, notes)
    splits: dict[str, Items] = {}
    for split, each in files.items():
        lacking = [language for language in (source, target) if language not in each]
        if lacking:
            notes.append(f"{split} left out: it has no file in {' and '.join(lacking)}")
        else:
            splits[split] = read_aligned(each[source], each[target], request, notes)
    folder = Path(data).expanduser()
    return raw_pairs(folder.resolve().name, splits, origin=str(folder), notes=notes)


def _direction(languages: list[str], request: Request, notes: list[str]) -> tuple[str, str]:
    """Which language is translated into which: as `columns` says, else by the alphabet."""
    asked = {role: name for role, name in request.columns.items() if role in ("source", "target")}
    for name in asked.values():
        if name not in languages:
            raise DataError(f"columns names the languages of the files. {name!r} came; there are {' and '.join(languages)}. Name these.")
    if len(languages) > 2 and len(asked) < 2:
        raise DataError(
            f"Aligned files are a text and its translation. There are {len(languages)} languages, {', '.join(languages)}. "
            f"Say which with columns={{'source': '{languages[0]}', 'target': '{languages[1]}'}}."
        )
    if len({*asked.values()}) < len(asked):
        raise DataError(f"Source and target are two languages. {asked['source']!r} came for both. Name two.")
    source = asked.get("source") or next(each for each in languages if each != asked.get("target"))
    target = asked.get("target") or next(each for each in languages if each != source)
    if not asked:
        notes.append(f"translation from {source} into {target}; columns={{'source': '{target}', 'target': '{source}'}} turns it round")
    return source, target


SOURCES.register("aligned_files")(
    Source(
        order=34,
        form="for translation ('train.en', 'train.de'), two files aligned line by line, or the path of a folder that holds such",
        recognise=_recognise,
        load=_load,
        roles=ROLES,
    )
)
