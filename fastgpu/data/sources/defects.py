"""Pictures of good and of defective things, in the layout of the MVTec anomaly detection data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastgpu.data.masks import Colour, MaskFile, read_mask
from fastgpu.data.raw import Items, Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, count, objects
from fastgpu.data.sources.masks_folder import refuse_or_skip, size_of
from fastgpu.data.sources.pictures import find_pictures
from fastgpu.errors import ArgumentError, DataError

__all__ = ["read_defects"]

GOOD = "good"


DEFECT: dict[Colour, int] = {value: int(value > 0) for value in range(256)}
"""Any value but 0 is a defect."""


def read_defects(folder: Path, request: Request) -> Raw:
    """Read the layout of Bergmann et al. 2019 (https://doi.org/10.1109/CVPR.2019.00982); pictures are not decoded.

    Args:
        folder: holds `train/good/`, or just `good/`; `test/<defect>/` with `test/good/`; and `ground_truth/<defect>/` with a
            mask `<stem>_mask.png` or `<stem>.png` for each picture of a defect, where there are masks.
        request: what the user asked for.

    Returns:
        Items with `x` `(n,)` paths and `y` `(n,)` `{"label": name of the folder, "mask": MaskFile or None}`; masks are 0 on
        what is good.

    Raises:
        DataError: `good/` is missing or empty, a mask is missing where others of its defect are there, or has another size.
    """
    notes: list[str] = []
    good = _good_folder(folder)
    if good is None or not find_pictures(good)[0]:
        here = ", ".join(sorted(f.name + "/" for f in folder.iterdir() if f.is_dir())) or "nothing"
        raise DataError(f"Learning what is normal needs pictures in train/good/ or good/. {folder} holds {here} and no such pictures. Add them.")
    splits = {"train": _items([(str(p), GOOD, None) for p in find_pictures(good)[0]])}
    found = [f for f in sorted((folder / "train").glob("*/")) if f.is_dir() and f.name != GOOD]
    if found:
        raise DataError(f"Training learns from good pictures alone. {folder / 'train'} also holds {found[0].name}/. Move it to test/.")
    if (folder / "test").is_dir():
        items = _tests(folder)
        keep = refuse_or_skip([_reason(item) for item in items], "test", "mask", request, notes)
        if len(keep):
            splits["test"] = _items([items[i] for i in keep])
        defective = sum(items[i][1] != GOOD for i in keep)
        notes.append(f"test: {count(len(keep), 'picture')}, {defective:,} of them defective; evaluate('test') judges by them")
    return Raw(name=folder.resolve().name, kind="image", splits=splits, task="anomaly", origin=str(folder), notes=tuple(notes))


def _good_folder(folder: Path) -> Path | None:
    return next((f for f in (folder / "train" / GOOD, folder / GOOD) if f.is_dir()), None)


def _items(rows: list[tuple[str, str, str | None]]) -> Items:
    targets = [{"label": label, "mask": None if mask is None else MaskFile(mask, DEFECT)} for _, label, mask in rows]
    return Items(objects(path for path, _, _ in rows), objects(targets))


def _tests(folder: Path) -> list[tuple[str, str, str | None]]:
    """Picture, its folder's name, and its mask, of all test pictures; a mask that is missing is `""`."""
    rows: list[tuple[str, str, str | None]] = []
    for place in sorted(f for f in (folder / "test").iterdir() if f.is_dir()):
        pictures = find_pictures(place)[0]
        truth = folder / "ground_truth" / place.name
        known = {Path(m).stem.removesuffix("_mask"): m for m in find_pictures(truth)[0]} if truth.is_dir() else None
        rows += [(p, place.name, None if known is None or place.name == GOOD else known.get(Path(p).stem, "")) for p in pictures]
    return rows


def _reason(item: tuple[str, str, str | None]) -> str | None:
    picture, label, mask = item
    if mask is None:
        return None
    if not mask:
        return f"{picture} has no mask in ground_truth/{label}/"
    try:
        found = read_mask(MaskFile(mask, DEFECT))
    except DataError as error:
        return str(error)
    size = size_of(picture)
    return None if size in (None, found.shape) else f"{mask} is {found.shape[0]}x{found.shape[1]}, its picture {size[0]}x{size[1]}"


def _recognise(data: Any, request: Request) -> bool:
    path = as_path(data)
    if path is None or not path.is_dir() or request.task not in (None, "anomaly"):
        return False
    if request.task == "anomaly" and request.wants("image"):
        return True
    good = _good_folder(path)
    # A class may be called good: without a word from the user there must be nothing else to train on.
    return good is not None and (path / "test").is_dir() and (good.parent == path or [f.name for f in good.parent.iterdir() if f.is_dir()] == [GOOD])


def _load(data: Any, request: Request) -> Raw:
    request.refuse_target("a folder of good and defective pictures")
    if request.kinds and "image" not in request.kinds:
        raise ArgumentError(f"These are pictures. The architecture takes {' or '.join(request.kinds)}. Take one like 'patchcore/resnet18'.")
    return read_defects(Path(data).expanduser(), request)


SOURCES.register("defects")(
    Source(order=26, form="the path of a folder with train/good/ and test/<defect>/", recognise=_recognise, load=_load)
)
