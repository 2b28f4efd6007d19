"""Pictures: layouts, scales, files of every kind, normalisation, augmentation."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from PIL import Image

from fastgpu.errors import BadItemError, DataError
from fastgpu.inputs.base import Input
from fastgpu.inputs.image import ImageInput

GREY = np.random.default_rng(0).integers(0, 256, (20, 1, 6, 5), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (20, 3, 6, 5), dtype=np.uint8)


def prepared(input, items):
    columns = input.encode(input.as_items(items))
    return input.preparation()(columns.gather(torch.arange(len(columns))))["image"]


@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_prepared_pictures_have_mean_0_and_deviation_1(pixels):
    input = ImageInput.fit(pixels)
    image = prepared(input, pixels)
    assert image.dtype == torch.float32
    torch.testing.assert_close(image.mean((0, 2, 3)), torch.zeros(pixels.shape[1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(image.std((0, 2, 3)), torch.ones(pixels.shape[1]), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "given",
    [
        COLOUR,
        COLOUR.transpose(0, 2, 3, 1),
        torch.from_numpy(COLOUR),
        COLOUR / np.float32(255),
        COLOUR / 255,
        COLOUR.astype(np.int64),
        list(COLOUR),
        list(COLOUR.transpose(0, 2, 3, 1)),
    ],
    ids=["nchw", "nhwc", "tensor", "float32", "float64", "int64", "list chw", "list hwc"],
)
def test_every_layout_and_scale_means_the_same_picture(given):
    input = ImageInput.fit(COLOUR)
    torch.testing.assert_close(prepared(input, given), prepared(input, COLOUR))


def test_one_picture_is_one_item():
    for pixels, one in ((COLOUR, COLOUR[0]), (COLOUR, COLOUR[0].transpose(1, 2, 0)), (GREY, GREY[0, 0]), (GREY, GREY[0])):
        input = ImageInput.fit(pixels)
        torch.testing.assert_close(prepared(input, one), prepared(input, pixels)[:1])


def test_a_float_scale_is_kept_and_files_are_brought_to_it(tmp_path):
    floats = GREY.astype(np.float32) / 255 * 16
    input = ImageInput.fit(floats)
    assert 15.9 < input.white <= 16
    Image.fromarray(GREY[0, 0]).save(tmp_path / "a.png")
    torch.testing.assert_close(prepared(input, tmp_path / "a.png"), prepared(input, floats[:1]), atol=0.02, rtol=0.02)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp", "gif", "ppm", "jpg"])
def test_files_of_every_kind(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    smooth = np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8)
    Image.fromarray(smooth).convert("RGB").save(path, **({"lossless": True} if suffix == "webp" else {}))
    input = ImageInput.fit(np.stack([smooth, smooth])[:, None])
    image = input.encode(input.as_items(path)).gather(torch.tensor([0]))["image"]
    assert (image[0, 0].float() - torch.from_numpy(smooth).float()).abs().max() <= (6 if suffix == "jpg" else 1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "F"])
def test_pictures_of_every_mode(mode):
    picture = Image.fromarray(np.full((8, 8), 200, np.uint8))
    picture = Image.fromarray(np.full((8, 8), 200, np.uint16)) if mode == "I;16" else picture.convert(mode)
    for pixels in (GREY, COLOUR):
        input = ImageInput.fit(pixels)
        assert len(input.encode(input.as_items(picture))) == 1


def test_orientation_of_photographs_is_heeded(tmp_path):
    upright = np.zeros((6, 5), np.uint8)
    upright[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, to be turned right by 90 degrees
    Image.fromarray(np.rot90(upright).copy()).save(tmp_path / "a.png", exif=exif)
    input = ImageInput.fit(GREY)
    image = input.encode(input.as_items(tmp_path / "a.png")).gather(torch.tensor([0]))["image"]
    np.testing.assert_array_equal(image[0, 0].numpy(), upright)


def test_files_are_stored_no_larger_than_needed(tmp_path):
    files = np.empty(4, dtype=object)
    for i in range(4):
        Image.fromarray(np.zeros((300, 400 + i), np.uint8)).save(tmp_path / f"{i}.png")
        files[i] = str(tmp_path / f"{i}.png")
    assert ImageInput.fit(files, size=(224, 224)).size == (224, 224)
    assert ImageInput.fit(files).size == (300, 300)
    Image.fromarray(np.zeros((300, 400), np.uint8)).save(tmp_path / "0.png")
    for i in range(4):
        Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / f"{i}.png")
    assert ImageInput.fit(files, size=(224, 224)).size == (20, 30)


@pytest.mark.parametrize("frame", ["crop", "pad"])
def test_pictures_are_scaled_by_the_threads_that_read_them(tmp_path, monkeypatch, frame):
    threads, decoded = [], ImageInput._decoded

    def noted(self, picture):
        threads.append(threading.current_thread())
        return decoded(self, picture)

    monkeypatch.setattr(ImageInput, "_decoded", noted)
    files = np.array([str(tmp_path / f"{i}.png") for i in range(6)], object)
    for i, file in enumerate(files):
        Image.new("RGB", (40 + i, 30), (40 * i,) * 3).save(file)
    input = ImageInput.fit(files, size=(32, 32), frame=frame)
    batch = input.encode(files).gather(torch.arange(6))
    assert batch["image"][:, 0, 0, 0].tolist() == [0, 40, 80, 120, 160, 200]
    assert frame == "crop" or batch["original_size"].tolist() == [[30, 40 + i] for i in range(6)]
    assert len(threads) == 6
    assert threading.current_thread() not in threads


def test_augmentation_shifts_and_mirrors():
    input = ImageInput.fit(GREY)
    preparation = input.preparation()
    batch = preparation(input.encode(GREY).gather(torch.arange(20)))
    torch.manual_seed(0)
    varied = preparation.augment(batch, {})[0]["image"]
    assert varied.shape == batch["image"].shape
    assert not torch.equal(varied, batch["image"])
    # Nothing is invented: every value stood in the picture, or is the padding.
    for before, after in zip(batch["image"], varied):
        assert set(after.flatten().tolist()) <= {*before.flatten().tolist(), 0.0}


def test_an_input_survives_json():
    import json

    input = ImageInput.fit(COLOUR)
    assert Input.from_dict(json.loads(json.dumps(input.to_dict()))) == input


def test_what_cannot_be_pictures_is_refused():
    input = ImageInput.fit(COLOUR)
    with pytest.raises(DataError, match=r"must have 3 channel\(s\).*2 came|arrays .h, w."):
        prepared(input, np.zeros((4, 2, 6, 5), np.uint8))
    with pytest.raises(BadItemError, match="Picture 1 holds NaN"):
        prepared(input, np.stack([np.zeros((3, 6, 5), np.float32), np.full((3, 6, 5), np.nan, np.float32)]))
    with pytest.raises(DataError, match="list .*files, PIL images or arrays|int came"):
        prepared(input, [1, 2])
