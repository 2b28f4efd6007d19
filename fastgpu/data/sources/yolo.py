"""YOLO's text files: `images/` and `labels/` side by side, `data.yaml` with the names (https://docs.ultralytics.com/datasets/detect/)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastgpu.data.raw import Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, count, repeated
from fastgpu.data.sources.boxes import TASKS, Annotated, BadItems, Box, picture_sizes, raw_of
from fastgpu.data.sources.pictures import find_pictures, is_picture
from fastgpu.errors import DataError

__all__ = ["read_yolo"]

_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


def read_yolo(file: Path, request: Request) -> Raw:
    """Read what a `data.yaml` names.

    Args:
        file: has `train`, and `val` and `test` where there are any (a folder of pictures, a text file that lists them, or
            several), `names` (a list, or number -> name), and `path` where they do not start from the file's folder.
        request: what the user asked for.

    The labels of `images/a.jpg` stand in `labels/a.txt`: a line an object, `class x y width height`, the box's centre and
    size as shares of the picture; a line with more numbers is an outline `class x y x y ...`. A picture without a file has
    no objects.
    """
    request.refuse_target("YOLO annotations")
    content = _yaml(file)
    classes = _classes(content.get("names"), file)
    root = file.parent / str(content.get("path") or "")
    if not root.is_dir():  # paths of the machine that the file was written on
        root = file.parent
    bad = BadItems(request.skip)
    splits: dict[str, list[Annotated]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    without = 0
    for split in ("train", "val", "test"):
        if not content.get(split):
            continue
        pictures = _pictures(content[split], root, file)
        sizes |= picture_sizes(pictures, bad, {})
        labels = {path: _label_file(path) for path in pictures}
        _refuse_strays(pictures, bad)
        without += sum(not label.is_file() for label in labels.values())
        splits[split] = [Annotated(p, _boxes(labels[p], sizes[p], classes, bad)) for p in pictures if p in sizes]
    if "train" not in splits:
        raise DataError(f"data.yaml says where the training pictures are. {file} has no train. Add it.")
    notes = [f"{count(without, 'picture')} without a label file taken as without objects"] if without else []
    name = file.resolve().parent.name
    return raw_of(splits, name=name, origin=str(file), classes=classes, request=request, bad=bad, notes=notes, sizes=sizes)


def _refuse_strays(pictures: Iterable[str], bad: BadItems) -> None:
    """Label files whose picture is not there; only where pictures lie in `images/`, for beside them any text may lie."""
    for folder in sorted({Path(picture).parent for picture in pictures}):
        labels = _label_file(str(folder / "any.png")).parent
        if labels == folder:
            continue
        stems = {file.stem for file in folder.iterdir() if is_picture(file.name)}
        for file in sorted(labels.glob("*.txt")):
            if file.stem not in stems and file.name != "classes.txt":
                bad.add("label files without a picture", str(file), f"A label file has a picture of its name in {folder}", "there is none")


def _yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"data.yaml must be YAML. {file} is not: {str(error).splitlines()[0]}. Mend the file.") from None
    if not isinstance(content, dict):
        raise DataError(f"data.yaml holds train, val and names. {file} holds no keys. Mend the file.")
    return content


def _classes(names: Any, file: Path) -> tuple[str, ...]:
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"names in data.yaml is a list, or numbers from 0 with a name each. {file} has {names!r}. Mend it.")
    if twice := repeated(map(str, names)):
        raise DataError(f"Each class has a name of its own. In {file} {', '.join(twice[:3])} comes more than once. Mend names.")
    return tuple(str(name) for name in names)


def _pictures(given: Any, root: Path, file: Path) -> list[str]:
    """Pictures of a split: of folders, or listed in text files."""
    found: list[str] = []
    for place in given if isinstance(given, list) else [given]:
        options = [root / str(place), file.parent / str(place), file.parent / str(place).removeprefix("../")]
        path = next((p for p in options if p.exists()), None)
        if path is None:
            raise DataError(f"data.yaml names folders that are there. {file} names {place}, {options[0]} is not there. Check path and folders.")
        if path.is_dir():
            found += find_pictures(path)[0]
        else:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
            found += [str(path.parent / line) for line in lines if is_picture(line)]
    if not found:
        raise DataError(f"A split must have pictures. {given} of {file} has none. Check the folder.")
    return found


def _label_file(picture: str) -> Path:
    """`.../images/train/a.jpg` -> `.../labels/train/a.txt`, by the last folder of that name; without one, beside it."""
    path = Path(picture)
    parts = list(path.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[:-1][::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _boxes(file: Path, size: tuple[int, int], classes: tuple[str, ...], bad: BadItems) -> list[Box]:
    if not file.is_file():
        return []
    boxes = []
    for row, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        place = f"{file}, line {row}"
        try:
            number, *shares = (float(word) for word in line.split())
        except ValueError:
            number, shares = -1.0, []
        if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
            bad.add("bad lines", place, "A line is a class number and x, y, width, height as shares of the picture", repr(line[:80]))
        elif not (number.is_integer() and 0 <= number < len(classes)):
            bad.add("boxes of unknown classes", place, f"A class is a number from 0 to {len(classes) - 1}, as data.yaml names them", repr(line[:80]))
        elif len(shares) == 4 and max(map(abs, shares)) > 2:
            bad.add("boxes in pixels", place, "x, y, width and height are shares of the picture, 0 to 1", repr(line[:80]))
        else:
            boxes.append(_box(shares, classes[int(number)], size, place))
    return boxes


def _box(shares: list[float], label: str, size: tuple[int, int], place: str) -> Box:
    height, width = size
    if len(shares) == 4:
        x, y, wide, high = (share * side for share, side in zip(shares, (width, height, width, height)))
        return Box((x - wide / 2, y - high / 2, x + wide / 2, y + high / 2), label, place)
    outline = [share * side for share, side in zip(shares, (width, height) * (len(shares) // 2))]
    return Box((min(outline[::2]), min(outline[1::2]), max(outline[::2]), max(outline[1::2])), label, place, [outline])


def _file(data: Any) -> Path | None:
    path = as_path(data)
    if path is not None and path.is_dir():
        path = next((path / name for name in _NAMES if (path / name).is_file()), None)
    if path is None or path.suffix.lower() not in (".yaml", ".yml"):
        return None
    return path


def _load(data: Any, request: Request) -> Raw:
    file = _file(data)
    if file is None:  # it was there a moment ago
        raise DataError(f"Data must be readable. {data} is gone. Check the path.")
    return read_yolo(file, request)


SOURCES.register("yolo")(
    Source(
        order=32,
        form="YOLO annotations (data.yaml, or its folder)",
        recognise=lambda data, request: request.task in TASKS and _file(data) is not None,
        load=_load,
    )
)
