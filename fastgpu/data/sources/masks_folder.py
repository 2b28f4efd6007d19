"""A folder of pictures with masks: `images/` and `masks/` with the same file stems, with or without splits."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from fastgpu.data.masks import IGNORED, Colour, MaskFile, pixels_of, read_mask
from fastgpu.data.raw import SPLITS, Items, Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, count, objects, repeated, split_name
from fastgpu.data.sources.pictures import by_name
from fastgpu.errors import ArgumentError, DataError
from fastgpu.reading.text_files import read_text

__all__ = ["declared_palette", "read_masks_folder", "refuse_or_skip", "size_of"]

THREADS = 4
MOST_CLASSES = 64  # more values than that without a word about them are a photograph, not class numbers

Palette = dict[Colour, int]


def read_masks_folder(folder: Path, request: Request) -> Raw:
    """Read pictures and masks; every mask is looked at, pictures are not decoded.

    The meaning of a mask's values comes from `palette.json` (`{"road": [128, 64, 128], "car": 7, "ignore": 0}`; `ignore` is
    a value or a list of them), from `classes.txt` (a name a line, the line's number is the value), else from the masks
    themselves: 0 and 255 alone, in most of them, are background and foreground, and other numbers are class numbers, 255 not counted.

    Args:
        folder: holds `images/` and `masks/`, each with `train/`, `val/`, `test/` or not; or `train/images/`, `train/masks/`, ...
        request: what the user asked for.

    Returns:
        Items with `x` `(n,)` paths and `y` `(n,)` `MaskFile`.

    Raises:
        DataError: a picture without a mask or a mask without a picture, of another size, unreadable, or with a value that
            is not declared.
    """
    notes: list[str] = []
    pairs = {split: _pairs(*place, request, notes) for split, place in _places(folder).items()}
    classes, palette = declared_palette(folder)
    if classes is None:
        classes, palette = _read_off(pairs)
        notes.append(f"classes read off the masks: {', '.join(classes[:5])}{', ...' if len(classes) > 5 else ''}")
    splits: dict[str, Items] = {}
    for split in SPLITS:
        if split in pairs:
            pictures, files = pairs[split]
            masks = [MaskFile(file, palette) for file in files]
            reasons = _reasons(pictures, masks, len(classes))
            keep = refuse_or_skip(reasons, split, "mask", request, notes)
            splits[split] = Items(objects(pictures[i] for i in keep), objects(masks[i] for i in keep))
    return Raw(
        name=folder.resolve().name,
        kind="image",
        splits=splits,
        classes=classes,
        task="segmentation",
        origin=str(folder),
        notes=tuple(notes),
    )


def _places(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Split -> its folder of pictures and its folder of masks; empty where the layout is another."""
    inside = {f.name: f for f in folder.iterdir() if f.is_dir()}
    if "images" in inside and "masks" in inside:
        parts = {s: f for f in inside["images"].iterdir() if f.is_dir() and (s := split_name(f.name))}
        if "train" in parts:
            return {s: (f, inside["masks"] / f.name) for s, f in parts.items()}
        return {"train": (inside["images"], inside["masks"])}
    parts = {s: f for name, f in inside.items() if (s := split_name(name)) and (f / "images").is_dir() and (f / "masks").is_dir()}
    return {s: (f / "images", f / "masks") for s, f in parts.items()} if "train" in parts else {}


def _pairs(images: Path, masks: Path, request: Request, notes: list[str]) -> tuple[list[str], list[str]]:
    """Paths of pictures and of their masks, paired by the path below the folder without suffix, `_mask` left out."""
    if not masks.is_dir():
        raise DataError(f"Every folder of pictures has one of masks. {masks} is not there. Add it.")
    pictures = by_name(images, lambda file: _stem(file, images))
    known = by_name(masks, lambda file: _stem(file, masks).removesuffix("_mask"))
    lossy = [file for file in known.values() if file.lower().endswith((".jpg", ".jpeg"))]
    if lossy:
        more = f" and {len(lossy) - 1} more are" if len(lossy) > 1 else " is"
        raise DataError(f"Masks are kept without loss, as PNG. {lossy[0]}{more} JPEG, which blurs class numbers. Convert them.")
    bare, alone = sorted(pictures.keys() - known.keys()), sorted(known.keys() - pictures.keys())
    for names, folder, what, other in ((bare, images, "pictures", masks), (alone, masks, "masks", images)):
        if names and not request.skip:
            raise DataError(
                f"Every picture has a mask of the same name. {count(len(names), what[:-1])} of {folder} without a partner in {other}: "
                f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}. Add or remove them, or leave them out with on_bad_item='skip'."
            )
        if names:
            notes.append(f"{count(len(names), what[:-1])} of {folder.name}/ left out, without a partner: {', '.join(names[:3])}")
    both = sorted(pictures.keys() & known.keys())
    if not both:
        raise DataError(f"Segmentation needs pictures with masks. {images} and {masks} have no file of the same name. Check the names.")
    return [pictures[name] for name in both], [known[name] for name in both]


def _stem(file: str, folder: Path) -> str:
    return os.path.splitext(os.path.relpath(file, folder))[0]


def declared_palette(folder: Path) -> tuple[tuple[str, ...] | None, Palette | None]:
    """What `palette.json` or `classes.txt` of a folder says: class names, and value -> class number.

    Raises:
        DataError: the file cannot be read as such, or names more classes than a mask can hold.
    """
    for file, read in ((folder / "palette.json", _palette), (folder / "classes.txt", _names), (folder / "classes", _names)):
        if file.is_file():
            names, palette = read(file)
            if len(names) > IGNORED:
                raise DataError(f"Masks hold up to {IGNORED} classes. {file} names {len(names):,}. Leave some out.")
            return names, palette
    return None, None


def _names(file: Path) -> tuple[tuple[str, ...], Palette]:
    """Of `classes.txt`: a name a line, whose number is the value; empty lines at the end are none."""
    names = tuple(line.strip() for line in read_text(file).rstrip().splitlines())
    if "" in names:
        raise DataError(
            f"A class's value is the number of its line, from 0. {file} has no name in line {names.index('')}. Write one there, or palette.json."
        )
    if twice := repeated(names):
        raise DataError(f"Each class has a name of its own. In {file} {', '.join(twice[:3])} comes more than once. Rename one.")
    return names, {**{i: i for i in range(len(names))}, IGNORED: IGNORED}


def _palette(file: Path) -> tuple[tuple[str, ...], Palette]:
    try:
        said = dict(json.loads(file.read_text(encoding="utf-8")))
        names = tuple(name for name in said if name != "ignore")
        palette: Palette = {_colour(said[name]): i for i, name in enumerate(names)}
        if len(palette) < len(names):
            raise ValueError("two names have one value")
        ignored = said.get("ignore", [])
        several = isinstance(ignored, list) and (not ignored or isinstance(ignored[0], list) or len(ignored) != 3)
        return names, palette | {_colour(value): IGNORED for value in (ignored if several else [ignored])}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f'A palette is a JSON object, name -> number or [red, green, blue]. {file} is not: {error}. Write {{"road": [128, 64, 128]}}.'
        ) from None


def _colour(value: Any) -> Colour:
    if isinstance(value, int):
        return value
    red, green, blue = (int(part) for part in value)
    return red, green, blue


def _read_off(pairs: Mapping[str, tuple[list[str], list[str]]]) -> tuple[tuple[str, ...], Palette]:
    """Classes and palette that the masks' own values tell, where nothing is declared."""
    values: set[int] = set()
    binary, strays = 0, list[tuple[str, int]]()
    for file, found in zip(pairs["train"][1], _in_threads(_values, pairs["train"][1])):
        if isinstance(found, str):
            continue  # an unreadable one is named later
        if found is None:
            raise DataError(
                f'Colour masks need a palette. {file} holds colours, and there is no palette.json. Write one: {{"road": [128, 64, 128]}}.'
            )
        values |= found
        if IGNORED in found and found <= {0, IGNORED}:
            binary += 1
        elif strange := found - {0, IGNORED}:
            strays.append((file, min(strange)))
    if len(strays) < binary:  # most are background and foreground; a few pixels of other values are no further classes
        return ("background", "foreground"), {0: 0, IGNORED: 1}
    if values <= {0, IGNORED} and IGNORED in values:
        return ("background", "foreground"), {0: 0, IGNORED: 1}
    numbers = values - {IGNORED}
    if len(numbers) > MOST_CLASSES or (numbers and max(numbers) >= IGNORED):
        raise DataError(
            f"Masks hold class numbers. These hold {len(values)} values, up to {max(values)}, and nothing says what they are. "
            "Write classes.txt, a name a line, or palette.json beside images/ and masks/."
        )
    most = max(numbers, default=0) + 1
    return tuple(str(i) for i in range(most)), {**{i: i for i in range(most)}, IGNORED: IGNORED}


def _values(file: str) -> set[int] | None | str:
    """The values of a mask; None for colours; the reason where it cannot be read."""
    try:
        pixels = pixels_of(file)
    except DataError as error:
        return str(error)
    return None if pixels.ndim == 3 else {int(v) for v in np.unique(pixels)}


def _reasons(pictures: list[str], masks: list[MaskFile], classes: int) -> list[str | None]:
    """Why each pair cannot be used, None where it can."""

    def look(pair: tuple[str, MaskFile]) -> str | None:
        picture, mask = pair
        try:
            found, size = read_mask(mask), size_of(picture)
        except DataError as error:
            return str(error)
        if size is not None and found.shape != size:
            return f"{mask.path} is {found.shape[0]}x{found.shape[1]}, its picture {size[0]}x{size[1]}"
        return None

    return _in_threads(look, list(zip(pictures, masks)))


def size_of(picture: str) -> tuple[int, int] | None:
    """Height and width of a picture by its header, as it is shown; None where it cannot be read (the input names it)."""
    from PIL import Image

    try:
        with Image.open(picture) as opened:
            width, height = opened.size
            turned = opened.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # the orientation: lying on a side
    except Exception:
        return None
    return (width, height) if turned else (height, width)


def refuse_or_skip(reasons: list[str | None], split: str, thing: str, request: Request, notes: list[str]) -> np.ndarray:
    """Indices of the items that can be used.

    Raises:
        DataError: some cannot, and `on_bad_item` is `"raise"`, or none can.
    """
    bad = [reason for reason in reasons if reason is not None]
    keep = np.array([i for i, reason in enumerate(reasons) if reason is None], dtype=np.int64)
    if bad and (not request.skip or not len(keep)):
        raise DataError(
            f"Every {thing} must fit its picture and its classes. {len(bad)} of {len(reasons)} in {split} do not: {'; '.join(bad[:3]).rstrip('.')}. "
            "Mend them, or leave them out with on_bad_item='skip'."
        )
    if bad:
        notes.append(f"{count(len(bad), 'picture')} of {split} left out: {'; '.join(bad[:3])}")
    return keep


def _in_threads(call: Any, items: list[Any]) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(call, items))


def _recognise(data: Any, request: Request) -> bool:
    path = as_path(data)
    return path is not None and path.is_dir() and request.task in (None, "segmentation") and bool(_places(path))


def _load(data: Any, request: Request) -> Raw:
    request.refuse_target("a folder of pictures and masks")
    if request.kinds and "image" not in request.kinds:
        raise ArgumentError(f"These are pictures with masks. The architecture takes {' or '.join(request.kinds)}. Take one like 'unet/resnet18'.")
    return read_masks_folder(Path(data).expanduser(), request)


SOURCES.register("masks_folder")(
    Source(order=24, form="the path of a folder with images/ and masks/", recognise=_recognise, load=_load)
)
