"""Segmentation: formats, bad input, architectures, masks in the pictures' own pixels."""

from __future__ import annotations

import json
import socket

import numpy as np
import pytest
import torch
from fields.detection import coco
from fields.segmentation import discs
from PIL import Image

from fastgpu import Learner, zoo
from fastgpu.assemble import open_data
from fastgpu.config import Settings
from fastgpu.data import sources
from fastgpu.data.columns import Columns, TensorColumns
from fastgpu.data.masks import IGNORED, MaskFile, Polygons, encode_masks, read_mask
from fastgpu.errors import ArgumentError, BadItemError, DataError, MissingPackageError, ModelError, UnknownNameError
from fastgpu.nn.adapters import adapt
from fastgpu.tasks import TASKS

pytest.importorskip("segmentation_models_pytorch")

ARCHITECTURES = [
    *(f"{family}/resnet10t" for family in "unet unetplusplus manet linknet fpn pspnet pan deeplabv3 deeplabv3plus upernet segformer".split()),
    "dpt/test_vit",
    "unet/mit_b0",
    "unet/mobilenet_v2",
    "unet/convnext_atto",
    "segformer/b0",
]
FACTS = {"kind": "image", "channels": 3, "size": (64, 64)}
TARGET = {"task": "segmentation", "outputs": 3}


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_learns_without_the_network(name, offline):
    torch.manual_seed(0)
    side = 128 if name.startswith("pan/") else 64  # its decoder halves the smallest map three times more
    built = zoo.build(name, {**FACTS, "size": (side, side)}, TARGET)
    model = adapt(built.net, ("image",))
    assert isinstance(built.net.get_submodule(built.head[-1]), torch.nn.Module)
    x = {"image": torch.randn(2, 3, side, side)}
    mask = torch.zeros(2, side, side, dtype=torch.uint8)
    mask[:, 16:40, 20:50], mask[:, :8] = 2, IGNORED
    task = TASKS["segmentation"].fit(mask.numpy())
    loss, losses = task.loss("cross_entropy_dice"), []
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(5):
        out, value = task.step(model.train(), x, {"mask": mask}, loss)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert out["logits"].shape == (2, 3, side, side)
    assert min(losses[1:]) < losses[0]
    assert zoo.find(name)[1].extra == "vision"
    assert zoo.model_info(name).parameters > 0


def test_names_come_from_the_libraries_without_the_extra():
    names = zoo.list_models("unet/*")
    assert len(names) > 500
    assert {"unet/resnet34", "unet/convnext_atto", "unet/mit_b0"} <= set(names)
    assert "unet/vit_tiny_patch16_224" not in names
    assert "dpt/vit_tiny_patch16_224" in zoo.list_models("dpt/*", task="segmentation")


def test_own_encoders_are_those_of_the_package():
    from segmentation_models_pytorch.encoders import encoders

    from fastgpu.zoo.vision.mask_decoders import ENCODERS

    assert set(ENCODERS) <= set(encoders)


def test_an_encoder_that_does_not_fit_is_answered_in_a_line():
    with pytest.raises(ModelError, match="A decoder has to go with its encoder. unetplusplus/mit_b0 does not work"):
        zoo.build("unetplusplus/mit_b0", FACTS, TARGET)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(MissingPackageError, match=r"fastgpu\[vision\]"):
        zoo.build("unet/resnet18", FACTS, TARGET)


# Formats


def test_masks_of_0_and_255_are_background_and_foreground(tmp_path):
    raw = sources.load(discs(tmp_path), kinds=("image",))
    assert (raw.task, raw.classes, len(raw.splits["train"])) == ("segmentation", ("background", "foreground"), 40)
    assert set(np.unique(read_mask(raw.splits["train"].y[0]))) == {0, 1}


def made(folder, masks, *, split=False, rgb=False):
    """A folder with these masks, and grey pictures of their sizes."""
    for i, mask in enumerate(masks):
        place = ("train" if i % 4 else "val") if split else ""
        for kind, pixels in (("images", np.full(mask.shape[:2], 40 * i % 256, np.uint8)), ("masks", mask)):
            (folder / kind / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / kind / place / f"p{i}.png")
    return folder


def index_masks(n=8, size=(16, 24)):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 3, size).astype(np.uint8) for _ in range(n)]


def test_index_masks_with_classes_and_ignored_pixels(tmp_path):
    masks = index_masks()
    masks[0][0, 0] = IGNORED
    folder = made(tmp_path / "d", masks, split=True)
    assert sources.load(folder).classes == ("0", "1", "2")
    (folder / "classes.txt").write_text("sky\nroad\ncar\n")
    raw = sources.load(folder)
    assert raw.classes == ("sky", "road", "car")
    assert {name: len(items) for name, items in raw.splits.items()} == {"train": 6, "val": 2}
    assert (read_mask(raw.splits["val"].y[0]) == masks[0]).all()


def test_colour_maps_need_a_palette(tmp_path):
    colours = np.array([[0, 0, 0], [128, 64, 128], [0, 0, 142], [255, 255, 255]], np.uint8)
    masks = index_masks()
    masks[0][0, 0] = 3
    folder = made(tmp_path / "d", [colours[m] for m in masks])
    with pytest.raises(DataError, match="Colour masks need a palette"):
        sources.load(folder)
    (folder / "palette.json").write_text(json.dumps({"other": [0, 0, 0], "road": [128, 64, 128], "car": [0, 0, 142], "ignore": [255, 255, 255]}))
    raw = sources.load(folder)
    assert raw.classes == ("other", "road", "car")
    masks[0][0, 0] = IGNORED
    assert (read_mask(raw.splits["train"].y[0]) == masks[0]).all()


def test_a_palette_of_numbers_and_a_folder_a_split(tmp_path):
    for split in ("train", "val"):
        made(tmp_path / "d" / split, [m * 7 for m in index_masks(4)])
    (tmp_path / "d" / "palette.json").write_text(json.dumps({"a": 0, "b": 7, "c": 14}))
    raw = sources.load(tmp_path / "d")
    assert list(raw.splits) == ["train", "val"]
    assert set(np.unique(read_mask(raw.splits["train"].y[0]))) == {0, 1, 2}


def test_coco_polygons_become_masks(tmp_path):
    file = coco(tmp_path, 6, outlines=True)
    raw = sources.load(file, task="segmentation", kinds=("image",))
    assert raw.classes == ("background", "red", "blue")
    content = json.loads(file.read_text())
    first = [a for a in content["annotations"] if a["image_id"] == 0]
    mask = read_mask(raw.splits["train"].y[0])
    left, top, width, height = first[0]["bbox"]
    assert (mask[top : top + height, left : left + width] == {3: 1, 7: 2}[first[0]["category_id"]]).all()
    drawn, outlined = (mask > 0).sum(), [a["bbox"][2:] for a in first]
    assert sum(w * h for w, h in outlined) <= drawn <= sum((w + 1) * (h + 1) for w, h in outlined)  # PIL draws the edge too


def test_coco_without_outlines_is_refused_or_left_out(tmp_path):
    file = coco(tmp_path, 3)
    with pytest.raises(DataError, match="needs an outline for each object, .*annotations.json, annotation 0"):
        sources.load(file, task="segmentation", kinds=("image",))
    raw = sources.load(file, task="segmentation", kinds=("image",), on_bad_item="skip")
    assert "annotations without an outline" in " ".join(raw.notes)


# Bad input


def test_a_mask_of_another_size(tmp_path):
    folder = made(tmp_path / "d", index_masks())
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "masks" / "p3.png")
    with pytest.raises(DataError, match="p3.png is 8x8, its picture 16x24"):
        sources.load(folder)
    raw = sources.load(folder, on_bad_item="skip")
    assert len(raw.splits["train"]) == 7
    assert "1 picture of train left out" in " ".join(raw.notes)


def test_an_unknown_value(tmp_path):
    folder = made(tmp_path / "d", index_masks())
    (folder / "classes.txt").write_text("sky\nroad\n")
    with pytest.raises(DataError, match="p0.png holds 2 at row .* Add it to palette.json or mend the mask"):
        sources.load(folder)


def test_a_missing_mask_and_a_missing_picture(tmp_path):
    folder = made(tmp_path / "d", index_masks())
    (folder / "masks" / "p2.png").unlink()
    with pytest.raises(DataError, match="1 picture of .* without a partner in .*: p2"):
        sources.load(folder)
    assert len(sources.load(folder, on_bad_item="skip").splits["train"]) == 7
    (folder / "images" / "p2.png").unlink()
    (folder / "images" / "p4.png").unlink()
    with pytest.raises(DataError, match="1 mask of .*: p4"):
        sources.load(folder)


def test_masks_that_are_no_masks(tmp_path):
    folder = made(tmp_path / "d", index_masks())
    (folder / "masks" / "p1.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="Every mask must be readable. .*p1.png"):
        sources.load(folder)
    (folder / "masks" / "p1.png").unlink()
    Image.fromarray(np.zeros((16, 24), np.uint8)).save(folder / "masks" / "p1.jpg")
    with pytest.raises(DataError, match="kept without loss, as PNG. .*p1.jpg"):
        sources.load(folder)
    photographs = [np.arange(384, dtype=np.uint8).reshape(16, 24) % 251 for _ in range(3)]
    with pytest.raises(DataError, match="nothing says what they are. Write classes.txt"):
        sources.load(made(tmp_path / "e", photographs))
    (folder / "masks" / "p1.jpg").unlink()
    (folder / "images" / "p1.png").unlink()
    (folder / "palette.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="A palette is a JSON object"):
        sources.load(folder)


def test_a_black_mask_and_a_palette_of_colours(tmp_path):
    road = np.tile(np.array([128, 64, 128], np.uint8), (16, 24, 1))
    folder = made(tmp_path / "d", [road, road, np.zeros_like(road)])
    (folder / "palette.json").write_text(json.dumps({"road": [128, 64, 128], "car": [0, 0, 142]}))
    with pytest.raises(DataError, match="p2.png holds 0 at row 0, column 0, and 384 such pixels in all. Add it to palette.json"):
        sources.load(folder)
    (folder / "palette.json").write_text(json.dumps({"road": [128, 64, 128], "car": [0, 0, 142], "ignore": [0, 0, 0]}))
    assert (read_mask(sources.load(folder).splits["train"].y[2]) == IGNORED).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"sky\nstra\xdfe\ncar\n", "must be UTF-8. .*classes.txt is not, at byte 8, in line 2"),
        (b"sky\n\ncar\n", "has no name in line 1. Write one there"),
        (b"sky\ncar\ncar\n", "In .*classes.txt car comes more than once"),
        ("\n".join(f"c{i}" for i in range(300)).encode(), "up to 255 classes. .*classes.txt names 300"),
    ],
)
def test_names_of_classes_that_cannot_be(tmp_path, content, said):
    folder = made(tmp_path / "d", index_masks())
    (folder / "classes.txt").write_bytes(content)
    with pytest.raises(DataError, match=said):
        sources.load(folder)
    (folder / "classes.txt").write_bytes(b"sky\nroad\ncar\n\n\n")
    assert sources.load(folder).classes == ("sky", "road", "car")


def test_two_files_of_one_name(tmp_path):
    folder = made(tmp_path / "d", index_masks())
    Image.new("RGB", (24, 16)).save(folder / "images" / "p1.jpg")
    with pytest.raises(DataError, match="p1.jpg and .*p1.png have one name. Rename or remove one"):
        sources.load(folder, on_bad_item="skip")
    (folder / "images" / "p1.jpg").unlink()
    Image.new("L", (24, 16)).save(folder / "masks" / "p1_mask.png")
    with pytest.raises(DataError, match="p1.png and .*p1_mask.png have one name"):
        sources.load(folder)


# Other data


def seen(trained, folder):
    """Other data, opened for a trained learner: the masks `(n, h, w)` as its class numbers."""
    other, _ = open_data(folder, Settings(task="segmentation", validation_split=None), input=trained.input, task=trained.task)
    split = other.split("train")
    return split.head(len(split))["y"]["mask"]


def test_other_data_count_their_classes_by_themselves(tmp_path):
    for name, palette in (("a", {"road": 1, "car": 2, "sky": 0}), ("b", {"sky": 2, "car": 0, "road": 1})):
        made(tmp_path / name, [np.full((32, 32), palette["road"], np.uint8)] * 4)
        (tmp_path / name / "palette.json").write_text(json.dumps(palette))
    trained, _ = open_data(tmp_path / "a", Settings(), kinds=("image",))
    assert [trained.classes[i] for i in seen(trained, tmp_path / "b").unique()] == ["road"]
    (tmp_path / "b" / "palette.json").write_text(json.dumps({"road": 1, "bus": 2}))
    with pytest.raises(DataError, match="have its 3 classes road, car, sky. 'bus' came, which is none of them"):
        seen(trained, tmp_path / "b")


def test_numbers_read_off_other_masks_are_class_numbers(tmp_path):
    folder = made(tmp_path / "a", index_masks(size=(32, 32)))
    (folder / "classes.txt").write_text("sky\nroad\ncar\n")
    trained, _ = open_data(folder, Settings(), kinds=("image",))
    assert seen(trained, made(tmp_path / "b", [np.full((32, 32), 2, np.uint8)] * 4)).unique().tolist() == [2]
    with pytest.raises(DataError, match="numbers of the 3 classes, from 0, or 255. .*p0.png has 5"):
        seen(trained, made(tmp_path / "c", [np.full((32, 32), 5, np.uint8)] * 4))


def test_other_coco_outlines_have_the_classes_of_training(tmp_path):
    pytest.importorskip("faster_coco_eval")
    settings = Settings(task="segmentation")
    trained, _ = open_data(coco(tmp_path, 12, outlines=True), settings, kinds=("image",))
    content = json.loads((tmp_path / "annotations.json").read_text())
    for category in content["categories"]:
        category["id"] = 10 - category["id"]  # blue comes first now
    for annotation in content["annotations"]:
        annotation["category_id"] = 10 - annotation["category_id"]
    (tmp_path / "other.json").write_text(json.dumps(content))
    assert (seen(trained, tmp_path / "other.json") == seen(trained, tmp_path / "annotations.json")).all()


# Arrays


def test_pictures_and_masks_as_arrays(out):
    masks = np.zeros((20, 32, 32), np.int64)
    masks[:, :16] = 1
    masks[0, 0, 0] = IGNORED
    rng = np.random.default_rng(0)
    pictures = (masks[..., None] % 2 * 150 + rng.integers(0, 50, (20, 32, 32, 3))).astype(np.uint8)
    learn = Learner("unet/test_resnet", (pictures, masks), out=out, report=False, verbose=False)
    assert learn.data.classes == ("0", "1")
    learn.fit(1)
    assert 0 < learn.evaluate((pictures, torch.as_tensor(masks)))["iou"] <= 1
    with pytest.raises(DataError, match=r"class numbers below 2, or 255. .* with the value 7 came"):
        learn.evaluate((pictures, masks + 7 * (masks == 0)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m[:, 0, 0], r"Masks are \(n, h, w\) class numbers. y has shape \(8,\)"),
        (lambda m: m / 2, "y goes from 0.0 to 1.0, or holds fractions"),
        (lambda m: m.astype(int) - 1, "y goes from -1 to 1, or holds fractions"),
        (lambda m: np.where(m > 0, np.nan, 0), "or holds fractions"),
        (lambda m: m // 2 * 255, "255 is none. y holds no class but 0. Give y // 255"),
        (lambda m: m[:, :8], "y is 8x24, a picture 16x24"),
    ],
)
@pytest.mark.parametrize("files", [True, False])
def test_arrays_that_are_no_masks(change, said, files):
    masks = np.stack(index_masks())
    pictures = [Image.new("RGB", (24, 16))] * 8 if files else np.zeros((8, 16, 24), np.uint8)
    with pytest.raises(DataError, match=said):
        sources.load((pictures, change(masks)), task="segmentation", kinds=("image",))


# Frame


def test_masks_go_into_the_frame_of_their_pictures():
    mask = np.zeros((10, 20), np.uint8)
    mask[:5] = 1
    columns = encode_masks([mask, Polygons((10, 20), ((2, [[0, 0, 20, 0, 20, 5, 0, 5]]),))], (32, 64))
    assert isinstance(columns, TensorColumns)
    first, second = columns.gather(torch.arange(2))["mask"]
    assert (first[:16] == 1).all()
    assert (first[16:32] == 0).all()
    assert (second[:16] == 2).all()
    wide = encode_masks([mask], (64, 64)).gather(torch.tensor([0]))["mask"][0]
    assert (wide[32:] == IGNORED).all()


def test_many_masks_are_read_when_they_are_asked_for(monkeypatch):
    import fastgpu.data.masks as masks

    monkeypatch.setattr(masks, "MEMORY_BUDGET", 10)
    columns = encode_masks([np.eye(8, dtype=np.uint8)] * 3, (8, 8), also={"target": torch.arange(3)})
    assert not columns.in_memory
    batch = columns.gather(torch.tensor([2, 0]))
    assert batch["mask"].shape == (2, 8, 8)
    assert batch["target"].tolist() == [2, 0]


def test_a_palette_serves_grey_and_colours_alike(tmp_path):
    Image.fromarray(np.array([[0, 7]], np.uint8)).convert("RGB").save(tmp_path / "m.png")
    assert read_mask(MaskFile(str(tmp_path / "m.png"), {(0, 0, 0): 0, (7, 7, 7): 1})).tolist() == [[0, 1]]


# The learner


def test_a_mask_has_the_size_of_its_picture_and_is_written(tmp_path, out):
    folder = discs(tmp_path)
    learn = Learner("unet/test_resnet", folder, out=out, report=False, verbose=False, metrics=["iou", "class_iou", "dice", "pixel_accuracy"])
    learn.fit(1)
    assert {"iou", "iou_background", "iou_foreground", "dice", "pixel_accuracy"} <= set(learn.evaluate())
    results = learn.predict([folder / "images" / "00.png", folder / "images" / "01.png"])
    assert [mask.shape for mask in results.masks] == [(32, 32), (24, 40)]
    assert results[0]["mask"].dtype == np.uint8
    files = results.save(tmp_path / "mask.png")
    with Image.open(files[1]) as written:
        assert (written.mode, written.size) == ("P", (40, 24))
        assert (np.array(written) == results.masks[1]).all()


def test_losses_and_weights_by_name():
    task = TASKS["segmentation"].fit(np.array([[[0, 1], [1, IGNORED]]]))
    logits, mask = torch.randn(1, 2, 2, 2), torch.tensor([[[0, 1], [1, IGNORED]]])
    both = task.loss("cross_entropy_dice")(logits, mask)
    assert both.item() == pytest.approx((task.loss("cross_entropy")(logits, mask) + task.loss("dice")(logits, mask)).item())
    assert task.loss("cross_entropy", class_weight=(1.0, 9.0))(logits, mask) != task.loss("cross_entropy")(logits, mask)
    with pytest.raises(ArgumentError, match="class_weight goes with a cross entropy"):
        task.loss("dice", class_weight=(1.0, 2.0))
    with pytest.raises(ArgumentError, match="one weight a class, 2 here. 3 came"):
        task.loss("cross_entropy", class_weight=(1.0, 2.0, 3.0))
    with pytest.raises(UnknownNameError, match="cross_entropy"):
        task.loss("cros_entropy")
    with pytest.raises(UnknownNameError, match="iou"):
        task.metric("iuo")


def test_class_weights_by_themselves_are_answered(tmp_path, out):
    with pytest.raises(ArgumentError, match="class_weight='balanced' needs class labels"):
        Learner("unet/test_resnet", discs(tmp_path), out=out, report=False, verbose=False, class_weight="balanced")


def test_a_network_and_a_loader_of_the_users_own(out):
    masks = torch.zeros(16, 16, 16, dtype=torch.long)
    masks[:, :8] = 1
    data = torch.utils.data.TensorDataset(masks[:, None].float() + torch.randn(16, 1, 16, 16) * 0.1, masks)
    learn = Learner(torch.nn.Conv2d(1, 2, 3, padding=1), data, task="segmentation", out=out, report=False, verbose=False, lr=0.05, batch_size=4)
    learn.fit(3)
    assert learn.evaluate()["iou"] > 0.8
    with pytest.raises(ModelError, match="The network must give logits"):
        Learner(torch.nn.Conv2d(1, 3, 3, padding=1), data, task="segmentation", out=out, report=False, verbose=False).fit(1)


def test_unreadable_pictures_are_left_out_with_their_masks(tmp_path, out):
    folder = discs(tmp_path)
    (folder / "images" / "05.png").write_bytes(b"nothing")
    with pytest.raises(BadItemError, match="05.png"):
        Learner("unet/test_resnet", folder, out=out, report=False, verbose=False)
    learn = Learner("unet/test_resnet", folder, out=out, report=False, verbose=False, on_bad_item="skip")
    assert sum(learn.data.sizes.values()) == 39
    split = learn.data.split("train")
    assert isinstance(split.y, Columns)
    assert len(split.x) == len(split.y)


def test_a_stray_value_among_masks_of_0_and_255_is_no_class(tmp_path):
    masks = [np.repeat(np.array([[0, 255]], np.uint8), 16, 0).repeat(12, 1) for _ in range(4)]
    masks[2] = masks[2].copy()
    masks[2][0, 0] = 60
    folder = made(tmp_path, masks)
    with pytest.raises(DataError, match="holds 60 at row 0, column 0"):
        sources.load(folder, kinds=("image",))
    assert sources.load(folder, kinds=("image",), on_bad_item="skip").classes == ("background", "foreground")
