"""Files of pictures: found, read several at once in threads, and named where they cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fastgpu.errors import BadItemError, DataError

__all__ = ["THREADS", "picture_files", "read_all", "refuse_bad"]

THREADS = min(8, (os.cpu_count() or 1) * 2)


def picture_files(path: Path) -> list[str]:
    """A file of a picture, or all that are anywhere below a folder, in sorted order."""
    from PIL import Image

    if not path.is_dir():
        return [str(path)]
    files = sorted(str(p) for p in path.rglob("*") if p.suffix.lower() in Image.registered_extensions())
    if not files:
        raise DataError(f"A folder to predict must hold pictures. {path} holds none. Check the path.")
    return files


def read_all(items: Any, decode: bool = True, then: Callable[[Any], Any] | None = None) -> Any:
    """Yield `(picture, None)` or `(None, reason)` for each file or PIL image, in order, read in threads.

    Args:
        items: files and PIL images.
        decode: whether pictures are decoded whole; if not, they are only looked at.
        then: makes of each picture what is given in its place, in the same threads.
    """
    from PIL import Image, ImageOps

    def made(item: Any) -> tuple[Any, str | None]:
        picture, reason = read(item)
        return (picture if picture is None or then is None else then(picture)), reason

    def read(item: Any) -> tuple[Any, str | None]:
        try:
            if isinstance(item, Image.Image):
                return ImageOps.exif_transpose(item), None
            with Image.open(item) as opened:
                if not decode:
                    opened.draft("L", (1, 1))  # a JPEG is read whole, but decoded at an eighth of its size
                    opened.load()
                    return opened, None
                picture = ImageOps.exif_transpose(opened)
                picture.load()
                return picture, None
        except FileNotFoundError:
            return None, "no such file"
        except Exception as error:  # PIL's decoders raise errors of a dozen kinds, SyntaxError among them
            return None, str(error).split("\n")[0] or type(error).__name__

    window = 64 * THREADS  # pictures decoded ahead at most
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(items), window):
            yield from pool.map(made, items[start : start + window])


def refuse_bad(items: Any, reasons: list[str | None]) -> None:
    """Name the pictures that cannot be read.

    Args:
        items: all of them.
        reasons: why each cannot be read, None where it can.

    Raises:
        BadItemError: some cannot.
    """
    bad = [i for i, reason in enumerate(reasons) if reason is not None]
    if bad:
        named = "; ".join(f"{items[i]} ({reasons[i]})" for i in bad[:3])
        more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise BadItemError(
            f"Every picture must be readable. {len(bad)} of {len(items)} cannot be read: {named}{more}. "
            "Mend or remove them; where data are opened for training, on_bad_item='skip' leaves them out.",
            bad,
        )
