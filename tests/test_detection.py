"""Detection: formats, bad annotations, architectures, films."""

from __future__ import annotations

import json
import socket
import textwrap

import numpy as np
import pytest
import torch
import yaml
from fields.detection import coco, lively, scenes
from PIL import Image

from fastgpu import Learner, Predictor, zoo
from fastgpu.assemble import open_data
from fastgpu.compress.quantize import input_ranges, quantized_layers
from fastgpu.config import Settings
from fastgpu.data.instance_masks import filled
from fastgpu.data.sources import load
from fastgpu.errors import ArgumentError, DataError, ModelError, UnknownNameError
from fastgpu.inputs import INPUTS
from fastgpu.nn.adapters import adapt
from fastgpu.reading.video import Film, is_film
from fastgpu.tasks import TASKS
from fastgpu.tasks.boxes import matched, original_boxes, shown
from fastgpu.tasks.detection import Detection
from fastgpu.train.groups import freeze_to_head

SIZE = (64, 96)
FACTS = {"kind": "image", "channels": 3, "size": SIZE}


def changed(file, change):
    """A COCO file with its content changed in place."""
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return file


def yolo(folder, made):
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    for scene in made:
        rows = []
        for (left, top, right, bottom), label in zip(scene["boxes"], scene["labels"]):
            x, y, w, h = (left + right) / 2 / SIZE[1], (top + bottom) / 2 / SIZE[0], (right - left) / SIZE[1], (bottom - top) / SIZE[0]
            rows.append(f"{int(label == 'red')} {x} {y} {w} {h}")
        (folder / "labels" / scene["file"].replace("png", "txt")).write_text("\n".join(rows))
    (folder / "data.yaml").write_text(yaml.safe_dump({"train": "images", "names": {0: "blue", 1: "red"}}))
    return folder


def voc(folder, made):
    (folder / "Annotations").mkdir()
    for scene in made:
        objects = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{b[0] + 1}</xmin><ymin>{b[1] + 1}</ymin>"
            f"<xmax>{b[2]}</xmax><ymax>{b[3]}</ymax></bndbox></object>"
            for b, label in zip(scene["boxes"], scene["labels"])
        )
        text = f"<annotation><filename>{scene['file']}</filename><size><width>96</width><height>64</height></size>{objects}</annotation>"
        (folder / "Annotations" / scene["file"].replace("png", "xml")).write_text(text)
    return folder


def kitti(folder, made):
    (folder / "label_2").mkdir()
    for scene in made:
        rows = [f"{label} 0.00 0 -1.57 {' '.join(map(str, b))} 1 1 1 0 0 0 0" for b, label in zip(scene["boxes"], scene["labels"])]
        rows.append("DontCare -1 -1 -10 0 0 9 9 -1 -1 -1 -1000 -1000 -1000 -10")
        (folder / "label_2" / scene["file"].replace("png", "txt")).write_text("\n".join(rows))
    return folder


def check_read(raw, made):
    assert (raw.kind, raw.task, raw.classes) == ("image", "detection", ("blue", "red"))
    items = raw.splits["train"]
    assert len(items) == len(made)
    for scene, target in zip(made, items.y):
        np.testing.assert_allclose(target["boxes"], np.asarray(scene["boxes"], np.float32).reshape(-1, 4), atol=1e-4)
        assert [raw.classes[i] for i in target["labels"]] == scene["labels"]
        assert target["size"] == SIZE


class TestFormats:
    def test_yolo(self, tmp_path):
        made = scenes(tmp_path / "images", 6)
        check_read(load(yolo(tmp_path, made)), made)
        check_read(load(tmp_path / "data.yaml", task="detection"), made)

    def test_yolo_pictures_without_labels_have_no_objects(self, tmp_path):
        made = scenes(tmp_path / "images", 4)
        yolo(tmp_path, made)
        (tmp_path / "labels" / "000.txt").unlink()
        raw = load(tmp_path)
        assert raw.splits["train"].y[0]["boxes"].shape == (0, 4)
        assert "1 picture without a label file taken as without objects" in raw.notes

    def test_yolo_labels_without_a_picture(self, tmp_path):
        made = scenes(tmp_path / "images", 4)
        yolo(tmp_path, made)
        (tmp_path / "images" / "000.png").unlink()
        with pytest.raises(DataError, match="A label file has a picture .*000.txt"):
            load(tmp_path)
        notes = load(tmp_path, on_bad_item="skip").notes
        assert any(note.startswith("left out 1 label files without a picture") for note in notes)

    def test_yolo_outlines(self, tmp_path):
        made = scenes(tmp_path / "images", 2)
        yolo(tmp_path, made)
        (tmp_path / "labels" / "000.txt").write_text("0 0.25 0.25 0.5 0.25 0.5 0.75")
        with pytest.raises(DataError, match="needs an outline for each object. .*001.txt, line 1"):
            load(tmp_path, task="instance_segmentation")
        target = load(tmp_path, task="instance_segmentation", on_bad_item="skip").splits["train"].y[0]
        assert target["boxes"].tolist() == [[24, 16, 48, 48]]
        assert target["outlines"] == [[[24.0, 16.0, 48.0, 16.0, 48.0, 48.0]]]

    def test_yolo_says_which_pictures_two_splits_share(self, tmp_path):
        made = scenes(tmp_path / "images", 4)
        yolo(tmp_path, made)
        (tmp_path / "data.yaml").write_text(yaml.safe_dump({"train": "images", "val": "./images", "names": ["blue", "red"]}))
        assert f"val shares 4 pictures of its 4 with train: {tmp_path / 'images' / '000.png'}" in load(tmp_path).notes

    def test_voc(self, tmp_path):
        made = scenes(tmp_path / "JPEGImages", 6)
        check_read(load(voc(tmp_path, made)), made)
        main = tmp_path / "ImageSets" / "Main"
        main.mkdir(parents=True)
        (main / "train.txt").write_text("000\n001\n")
        (main / "val.txt").write_text("002\n")
        assert {name: len(items) for name, items in load(tmp_path).splits.items()} == {"train": 2, "val": 1}

    @pytest.mark.parametrize(
        ("lists", "sizes"),
        [
            ({"trainval": "000 001 002", "test": "003"}, {"train": 3, "test": 1}),  # as VOC2007 came
            ({"trainval": "000 001 002", "val": "002", "test": "003"}, {"train": 2, "val": 1, "test": 1}),
            ({"train": "000", "trainval": "000 001", "val": "001"}, {"train": 1, "val": 1}),
        ],
    )
    def test_voc_trainval(self, tmp_path, lists, sizes):
        voc(tmp_path, scenes(tmp_path / "JPEGImages", 4))
        main = tmp_path / "ImageSets" / "Main"
        main.mkdir(parents=True)
        for name, listed in lists.items():
            (main / f"{name}.txt").write_text(listed.replace(" ", "\n"))
        assert {name: len(items) for name, items in load(tmp_path).splits.items()} == sizes

    def test_voc_without_a_list_to_train_on(self, tmp_path):
        voc(tmp_path, scenes(tmp_path / "JPEGImages", 4))
        main = tmp_path / "ImageSets" / "Main"
        main.mkdir(parents=True)
        (main / "test.txt").write_text("000\n")
        with pytest.raises(DataError, match="listed in train.txt or trainval.txt. .*Main has test.txt, and none to train on"):
            load(tmp_path)

    def test_kitti(self, tmp_path):
        made = scenes(tmp_path / "image_2", 6)
        raw = load(kitti(tmp_path, made))
        check_read(raw, made)
        assert "6 regions of the type DontCare passed over" in raw.notes

    def test_coco_file_and_its_sparse_ids(self, tmp_path):
        raw = load(coco(tmp_path / "traffic", 6))
        assert raw.classes == ("red", "blue")  # in the order of their ids
        assert raw.name == "traffic"
        assert len(raw.splits["train"]) == 6

    @pytest.mark.parametrize("names", [("instances_train2017", "instances_val2017"), ("train", "val")])
    def test_coco_folder_with_a_file_a_split(self, tmp_path, names):
        file = coco(tmp_path, 6)
        (tmp_path / "annotations").mkdir()
        for name in names:
            (tmp_path / "annotations" / f"{name}.json").write_text(file.read_text())
        file.unlink()
        assert {name: len(items) for name, items in load(tmp_path).splits.items()} == {"train": 6, "val": 6}

    def test_coco_films_are_never_split(self, tmp_path):
        def film(content):
            for image in content["images"]:
                image["video_id"] = image["id"] // 40

        raw = load(changed(coco(tmp_path, 12), film))
        assert raw.splits["train"].group.tolist() == ["0"] * 4 + ["1"] * 4 + ["2"] * 4

    def test_a_picture_without_a_film_stands_alone(self, tmp_path):
        raw = load(changed(coco(tmp_path, 4), lambda c: [image.update(video_id="drive") for image in c["images"][1:]]))
        group = raw.splits["train"].group
        assert group.tolist() == [str(tmp_path / "images" / "000.png"), "drive", "drive", "drive"]

    def test_crowds_are_passed_over(self, tmp_path):
        raw = load(changed(coco(tmp_path, 4), lambda c: c["annotations"][0].update(iscrowd=1)))
        assert "1 annotation of crowds (iscrowd) passed over" in raw.notes


class TestBadAnnotations:
    """Each is refused with file and place, or left out and counted."""

    @pytest.mark.parametrize(
        ("change", "said", "what"),
        [
            (lambda c: c["annotations"][1].update(bbox=[5, 5, 0, 9]), r"annotation 1: left 5, .* 96x64", "boxes of zero size"),
            (lambda c: c["annotations"][1].update(bbox=[30, 5, -9, 9]), "annotation 1: left 30, top 5, right 21", "boxes with crossed corners"),
            (lambda c: c["annotations"][1].update(bbox=[200, 5, 9, 9]), "outside of the picture. .*annotation 1", "boxes outside of the picture"),
            (lambda c: c["annotations"][1].update(bbox=[float("nan"), 5, 9, 9]), "annotation 1: left nan", "boxes without finite corners"),
            (lambda c: c["annotations"][1].update(bbox=[1, 2, 3]), r"annotation 1: \[1, 2, 3\] came", "boxes that are not four numbers"),
            (lambda c: c["annotations"][1].update(category_id=99), "annotation 1: 99 is not; there are 3, 7", "annotations of unknown categories"),
            (lambda c: c["annotations"][1].update(image_id=5), "annotation 1: 5 is not", "annotations of unknown pictures"),
            (lambda c: c["images"][1].update(file_name="none.png"), r"none.png \(no such file\)", "pictures that are missing"),
            (lambda c: c["images"][1].update(width="96px"), "image 10: height 64, width '96px'", "pictures whose size is no number"),
            (lambda c: c["annotations"][1].update(image_id=[10]), r"annotation 1: \[10\] is not", "annotations of unknown pictures"),
            (lambda c: c["images"][1].update(width=50), "is 96x64, the annotations say 50x64", "pictures of another size than annotated"),
        ],
    )
    def test_coco(self, tmp_path, change, said, what):
        file = changed(coco(tmp_path, 8), change)
        with pytest.raises(DataError, match=said):
            load(file)
        notes = load(file, on_bad_item="skip").notes
        assert any(note.startswith(f"left out 1 {what}: ") for note in notes), notes

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda c: c.update(images=["a.png"]), "Each of images is a JSON object with a plain id. In .* number 0 .* is 'a.png'"),
            (lambda c: c.update(annotations=[3]), "Each of annotations is a JSON object .* is 3"),
            (lambda c: c["images"][1].update(id=0), "No two of images have one id. In .*annotations.json 0 comes more than once"),
            (lambda c: c["categories"][1].update(id=3), "No two of categories have one id. .* 3 comes"),
            (lambda c: c["categories"][1].update(name="red"), "No two of categories have one name. .* 'red' comes"),
        ],
    )
    def test_coco_of_another_shape(self, tmp_path, change, said):
        file = changed(coco(tmp_path, 8), change)
        with pytest.raises(DataError, match=said):
            load(file, on_bad_item="skip")

    def test_coco_in_a_list(self, tmp_path):
        file = coco(tmp_path, 4)
        file.write_text(f"[{file.read_text()}]")
        with pytest.raises(DataError, match="COCO annotations are a JSON object. .*annotations.json holds a list"):
            load(file)

    @pytest.mark.parametrize("task", ["instance_segmentation", "segmentation"])
    @pytest.mark.parametrize(
        ("outline", "said"),
        [
            ([[5, 5, 25, 5, 25, 25, 5, 25], [1, 1, 5, 5, 5, 1, 3]], r"one polygon is \[1, 1, 5, 5, 5, 1, 3\]"),
            ([[5, 5, 25, 25]], r"one polygon is \[5, 5, 25, 25\]"),
            ([[5, 5, "x", 5, 25, 25]], "one polygon is "),
            ([[5, 5, float("nan"), 5, 25, 25]], "one polygon is "),
            ([5, 5, 25, 5, 25, 25], "one polygon is 5"),
            ({"counts": [10, 20, 70], "size": [10, 10]}, r"it has runs of the size \[10, 10\], the picture has \[64, 96\]"),
            ({"counts": [10, 20], "size": [64, 96]}, "its runs cannot be read: .*decoded 30 pixels"),
            ({"counts": "abc", "size": [64, 96]}, "its runs cannot be read: "),
            ({"size": [64, 96]}, "its runs cannot be read: "),
        ],
    )
    def test_outlines(self, tmp_path, task, outline, said):
        pytest.importorskip("faster_coco_eval")
        file = changed(coco(tmp_path, 4, outlines=True), lambda c: c["annotations"][0].update(segmentation=outline))
        with pytest.raises(DataError, match=f"needs an outline for each object, .*annotation 0: segmentation: {said}"):
            load(file, task=task, kinds=("image",))
        raw = load(file, task=task, kinds=("image",), on_bad_item="skip")
        assert any(note.startswith("left out 1 outlines that cannot be filled") for note in raw.notes), raw.notes
        target = raw.splits["train"].y[0]
        given = json.loads(file.read_text())["annotations"]
        own = [a for a in given if a["image_id"] == 0]
        if task == "segmentation":
            assert len(target.shapes) == len(own) - 1
        else:  # the box is taken instead
            left, top, width, height = own[0]["bbox"]
            assert target["outlines"][0] == [[left, top, left + width, top, left + width, top + height, left, top + height]]

    def test_boxes_over_the_edge_are_cut_and_counted(self, tmp_path):
        file = changed(coco(tmp_path, 4), lambda c: c["annotations"][0].update(bbox=[-10, -10, 30, 30]))
        raw = load(file)
        assert raw.splits["train"].y[0]["boxes"][0].tolist() == [0, 0, 20, 20]
        assert any(note.startswith("boxes cut at the edge of their picture: 1, ") for note in raw.notes)

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("0 0.5 0.5 0.1", "000.txt, line 1: '0 0.5 0.5 0.1'"),
            ("zero 0.5 0.5 0.1 0.1", "line 1: 'zero"),
            ("7 0.5 0.5 0.1 0.1", "a number from 0 to 1, as data.yaml names them"),
            ("0 50 40 20 20", "shares of the picture, 0 to 1"),
            ("0 0.5 0.5 0 0.1", "of zero size"),
        ],
    )
    def test_yolo(self, tmp_path, line, said):
        made = scenes(tmp_path / "images", 4)
        yolo(tmp_path, made)
        (tmp_path / "labels" / "000.txt").write_text(line)
        with pytest.raises(DataError, match=said):
            load(tmp_path)
        assert len(load(tmp_path, on_bad_item="skip").splits["train"].y[0]["boxes"]) == 0

    def test_yolo_yaml(self, tmp_path):
        made = scenes(tmp_path / "images", 4)
        yolo(tmp_path, made)
        for content, said in (
            ({"train": "images"}, "has None"),
            ({"names": ["a", "b"], "val": "images"}, "has no train"),
            ({"names": ["a", "b"], "train": "pictures"}, "names pictures, "),
            ({"names": ["a", "a"], "train": "images"}, "a comes more than once"),
        ):
            (tmp_path / "data.yaml").write_text(yaml.safe_dump(content))
            with pytest.raises(DataError, match=said):
                load(tmp_path)

    def test_voc_and_kitti(self, tmp_path):
        made = scenes(tmp_path / "voc" / "JPEGImages", 4)
        voc(tmp_path / "voc", made)
        (tmp_path / "voc" / "Annotations" / "000.xml").write_text("<annotation>")
        with pytest.raises(DataError, match="Annotations are XML. .*000.xml"):
            load(tmp_path / "voc")
        for width, said in (("wide", "Height and width of a picture are numbers. .*000.xml: height '64', width 'wide'"), ("96.0", "")):
            text = f"<annotation><filename>000.png</filename><size><width>{width}</width><height>64</height></size></annotation>"
            (tmp_path / "voc" / "Annotations" / "000.xml").write_text(text)
            if said:
                with pytest.raises(DataError, match=said):
                    load(tmp_path / "voc")
        assert len(load(tmp_path / "voc").splits["train"]) == 4
        made = scenes(tmp_path / "kitti" / "image_2", 4)
        kitti(tmp_path / "kitti", made)
        (tmp_path / "kitti" / "label_2" / "000.txt").write_text("Car 0 0 0 1 2")
        (tmp_path / "kitti" / "label_2" / "009.txt").write_text("Car 0 0 0 1 2 9 9")
        with pytest.raises(DataError, match="000.txt, line 1: 'Car 0 0 0 1 2'"):
            load(tmp_path / "kitti")
        notes = load(tmp_path / "kitti", on_bad_item="skip").notes
        assert any("left out 1 pictures that are missing" in note for note in notes)
        Image.new("RGB", (96, 64)).save(tmp_path / "kitti" / "image_2" / "001.jpg")
        with pytest.raises(DataError, match="found by its name without the suffix. .*001.jpg and .*001.png have one name"):
            load(tmp_path / "kitti", on_bad_item="skip")

    def test_no_box_at_all(self, tmp_path):
        file = changed(coco(tmp_path, 6), lambda c: c.update(annotations=[]))
        with pytest.raises(DataError, match="detection needs boxes. None of 5 training pictures has one"):
            Learner("fcos/resnet10t", file, out=tmp_path, report=False, verbose=False)

    def test_labels_for_a_detector(self, tmp_path):
        with pytest.raises(DataError, match="The target of a picture is a dict of boxes, labels and size"):
            Learner("fcos/resnet10t", "digits", out=tmp_path, report=False, verbose=False)


SMALL = (
    "fcos/resnet10t",
    "retinanet/mobilenetv3_small_050",
    "fasterrcnn/resnet10t",
    "maskrcnn/resnet10t",
    "rt_detr_v2/tiny",
    "d_fine/tiny",
)
LARGE = ("fcos/convnext_atto", "fcos/swin_tiny_patch4_window7_224", "ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn")


def batch(size=SIZE, masks=False):
    y = {
        "boxes": torch.tensor([[[10.0, 10, 40, 40], [50, 20, 90, 60]], [[5, 5, 30, 30], [0, 0, 0, 0]]]),
        "labels": torch.tensor([[0, 2], [1, -1]]),
        "count": [2, 1],
    }
    if masks:
        y["masks"] = torch.zeros(2, 2, *size, dtype=torch.uint8)
        y["masks"][:, :, 10:30, 10:30] = 1
    torch.manual_seed(0)
    return {"image": torch.randn(2, 3, *size)}, y


class TestArchitectures:
    @pytest.mark.parametrize("name", [*SMALL, *(pytest.param(n, marks=pytest.mark.slow) for n in LARGE)])
    def test_loss_falls_and_boxes_come_without_any_network(self, name, monkeypatch):
        monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a builder reached for the network"))
        torch.manual_seed(0)
        task = zoo.find(name)[1].tasks[0]
        size = (320, 320) if name.startswith("ssd") else SIZE
        built = zoo.build(name, {**FACTS, "size": size}, {"task": task, "outputs": 3, "box_sizes": (20.0, 40.0)})
        model = adapt(built.net, ("image",))
        x, y = batch(size, masks=task == "instance_segmentation")
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        losses = []
        for _ in range(4):
            out = model.train()(x, y)
            out["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(out["loss"].item())
        assert losses[-1] < losses[0]
        statistics = {k: v.clone() for k, v in model.state_dict().items() if "running" in k}
        with torch.no_grad():
            judged = model.eval()(x, y)
            found = model.detect(x, judged)
        assert judged.keys() == out.keys()
        assert torch.isfinite(judged["loss"])
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in statistics.items())  # a validation loss changes nothing
        assert not any(part.training for part in model.modules())
        for boxes, labels, scores in zip(found["boxes"], found["labels"], found["scores"]):
            assert boxes.shape == (len(labels), 4)
            assert not len(labels) or (0 <= labels.min() and labels.max() < 3 and 0 <= scores.min() and scores.max() <= 1)

    def test_pictures_without_any_object_train(self):
        for name in ("fcos/resnet10t", "fasterrcnn/resnet10t", "rt_detr_v2/tiny"):
            net = zoo.build(name, FACTS, {"task": "detection", "outputs": 2, "box_sizes": (20.0, 40.0)}).net
            y = {"boxes": torch.zeros(2, 1, 4), "labels": torch.full((2, 1), -1), "count": [0, 0]}
            out = adapt(net, ("image",)).train()(batch()[0], y)
            out["loss"].backward()
            assert torch.isfinite(out["loss"])

    @pytest.mark.parametrize("name", ["fcos/resnet10t", "fasterrcnn/resnet10t"])
    def test_all_that_is_new_trains_where_the_backbone_is_frozen(self, name):
        built = zoo.build(name, FACTS, {"task": "detection", "outputs": 3, "box_sizes": (20.0, 40.0)})
        freeze_to_head(built.net, built.head)
        still = {parameter for parameter, p in built.net.named_parameters() if not p.requires_grad}
        assert still == {parameter for parameter, _ in built.net.named_parameters() if parameter.startswith("backbone.body.")}

    def test_grey_pictures(self):
        for name in ("fcos/resnet10t", "d_fine/tiny", "ssdlite320_mobilenet_v3_large"):
            size = (320, 320)
            net = zoo.build(name, {**FACTS, "channels": 1, "size": size}, {"task": "detection", "outputs": 2, "box_sizes": (20.0, 40.0)}).net
            model = adapt(net, ("image",)).eval()
            x = {"image": torch.randn(1, 1, *size)}
            assert len(model.detect(x, model(x))["boxes"]) == 1

    def test_what_is_of_a_class_of_ones_own(self):
        from torchvision.models.detection import FCOS

        net = zoo.build("fcos/resnet10t", FACTS, {"task": "detection", "outputs": 3, "box_sizes": (20.0, 40.0)}).net
        net.__class__ = type("MyFCOS", (FCOS,), {})
        assert torch.isfinite(adapt(net, ("image",)).train()(*batch())["loss"])

    @pytest.mark.parametrize("name", ["fcos/resnet10t", "fasterrcnn/resnet10t", "rt_detr_v2/tiny", "d_fine/tiny"])
    def test_processes_wait_for_no_parameter_where_there_is_no_box(self, name):
        net = zoo.build(name, FACTS, {"task": "detection", "outputs": 3, "box_sizes": (20.0, 40.0)}).net
        y = {"boxes": torch.zeros(2, 1, 4), "labels": torch.full((2, 1), -1), "count": [0, 0]}
        adapt(net, ("image",)).train()(batch()[0], y)["loss"].backward()
        without = {parameter for parameter, p in net.named_parameters() if p.requires_grad and p.grad is None}
        assert not without

    @pytest.mark.parametrize("name", ["fcos/resnet10t", "fasterrcnn/resnet10t", "rt_detr_v2/tiny"])
    def test_what_is_compiled_is_called(self, name):
        net = zoo.build(name, FACTS, {"task": "detection", "outputs": 3, "box_sizes": (20.0, 40.0)}).net
        model = adapt(net, ("image",)).train()
        called = []
        for part in model.called():
            part.register_forward_hook(lambda module, *_: called.append(module))
        model(*batch())
        assert set(called) == set(model.called())

    def test_default_boxes_of_a_large_ssd_lie_in_the_picture(self):
        facts = {**FACTS, "size": (512, 512)}
        net = zoo.build("ssd300_vgg16", facts, {"task": "detection", "outputs": 2, "box_sizes": (20.0, 40.0)}).net
        model = adapt(net, ("image",)).eval()
        anchors = []
        net.anchor_generator.register_forward_hook(lambda _module, _given, out: anchors.append(out[0]))
        x = {"image": torch.zeros(1, 3, 512, 512)}
        with torch.no_grad():
            model.detect(x, model(x))
        middle = (anchors[0][:, :2] + anchors[0][:, 2:]) / 2
        assert 0 < middle.min()
        assert middle.max() < 512

    def test_fixed_numbers_stay_fixed(self, tmp_path):
        learn = Learner("d_fine/tiny", coco(tmp_path, 6), out=tmp_path, report=False, verbose=False)
        fixed = {name for name, p in learn.module.named_parameters() if not p.requires_grad}
        assert fixed
        learn.freeze().unfreeze()
        assert {name for name, p in learn.module.named_parameters() if not p.requires_grad} == fixed
        again = Learner.load(learn.freeze().save(tmp_path / "saved")).unfreeze()
        assert {name for name, p in again.module.named_parameters() if not p.requires_grad} == fixed

    def test_a_precision_that_does_not_work_is_said_before_training(self, tmp_path):
        learn = Learner("d_fine/tiny", coco(tmp_path, 6), out=tmp_path, report=False, verbose=False, precision=64)
        with pytest.raises(ModelError, match='It does not in 64-true: .*Use precision="bf16-mixed" or 32'):
            learn.fit(1)
        assert not learn.run_dir

    def test_names_come_from_the_libraries(self):
        listed = zoo.list_models(task="detection")
        assert len(listed) > 2500
        assert {"fcos/convnext_atto", "retinanet/regnety_002", "fasterrcnn/resnet50", "fcos_resnet50_fpn", "d_fine/small"} <= set(listed)
        assert "fcos/vit_tiny_patch16_224" not in listed
        assert "maskrcnn/resnet50" in zoo.list_models("mask*", task="instance_segmentation")
        with pytest.raises(UnknownNameError, match="fcos/resnet18"):
            zoo.find("fcos/resnet81")

    def test_facts(self):
        info = zoo.model_info("fcos/resnet18")
        assert 10e6 < info.parameters < 40e6
        assert "arXiv 1904.01355" in info.source
        assert zoo.model_info("rt_detr_v2/tiny").parameters < 2e6

    def test_levels_follow_the_boxes(self):
        from fastgpu.zoo.vision.pyramids import choose_levels

        strides = (2, 4, 8, 16, 32)
        assert choose_levels((8, 14), strides).all == (4, 8)
        assert choose_levels((24, 40), strides).all == (8, 16)
        assert choose_levels((32, 400), strides).all == (8, 16, 32, 64, 128)

    def test_too_small_for_an_ssd(self):
        with pytest.raises(ModelError, match="at least 300x300. The data are 64x96. Use image_size=300"):
            zoo.build("ssd300_vgg16", FACTS, {"task": "detection", "outputs": 2, "box_sizes": (20.0, 40.0)})


class TestTask:
    def test_other_data_count_their_classes_by_themselves(self, tmp_path):
        """Blue is number 0 of these VOC files, and number 1 of the COCO file that the task was fitted to."""
        file = coco(tmp_path / "traffic", 12)
        trained, _ = open_data(file, Settings(task="detection"), kinds=("image",))
        made = scenes(tmp_path / "voc" / "JPEGImages", 6)
        settings = Settings(task="detection", validation_split=None)
        other, _ = open_data(voc(tmp_path / "voc", made), settings, input=trained.input, task=trained.task)
        assert [found["labels"] for found in trained.task.truth(other.split("train").head(6)["y"])["boxes"]] == [s["labels"] for s in made]
        xml = tmp_path / "voc" / "Annotations" / "000.xml"
        xml.write_text(xml.read_text().replace(made[0]["labels"][0], "green"))
        with pytest.raises(DataError, match="have its 2 classes red, blue. 'green' came, which is none of them"):
            open_data(tmp_path / "voc", settings, input=trained.input, task=trained.task)

    def test_frame_and_back(self, tmp_path):
        """A picture of twice the frame's size: boxes are halved, and come back as they were."""
        raw = load(coco(tmp_path, 6, size=(128, 192)))
        items = raw.splits["train"]
        input = INPUTS["image"].fit(items.x, size=(64, 96), **Detection.input_options(items.y))
        task = Detection.fit(items.y, classes=raw.classes, input=input)
        y = task.encode(items.y, input.encode(items.x)).gather(torch.arange(6))
        first = torch.as_tensor(items.y[0]["boxes"])
        torch.testing.assert_close(y["boxes"][0, : len(first)], first / 2)
        assert int((y["labels"] >= 0).sum()) == sum(len(t["labels"]) for t in items.y)
        back = original_boxes([y["boxes"][0, : len(first)]], torch.tensor([[128, 192]]), (64, 96))[0]
        torch.testing.assert_close(back, first)
        assert len(task.truth(y)["boxes"][0]["labels"]) == len(first)
        assert TASKS["detection"].from_dict(json.loads(json.dumps(task.to_dict()))) == task

    def test_mirrored_with_the_picture(self, tmp_path):
        raw = load(coco(tmp_path, 4, outlines=True), task="instance_segmentation")
        items = raw.splits["train"]
        task_class = TASKS["instance_segmentation"]
        input = INPUTS["image"].fit(items.x, **task_class.input_options(items.y))
        task = task_class.fit(items.y, classes=raw.classes, input=input)
        y = task.encode(items.y).gather(torch.arange(4))
        torch.manual_seed(1)
        x = {"image": torch.zeros(4, 3, *SIZE)}
        _, mirrored = input.preparation().augment(x, y)
        for i, count in enumerate(y["count"]):
            for k in range(count):
                rows, columns = torch.nonzero(mirrored["masks"][i, k], as_tuple=True)
                drawn = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
                torch.testing.assert_close(drawn, mirrored["boxes"][i, k], atol=1.01, rtol=0)
        assert not torch.equal(mirrored["boxes"], y["boxes"])

    def test_runs_and_polygons_fill_alike(self):
        polygon = [[2.0, 1.0, 6.0, 1.0, 6.0, 4.0, 2.0, 4.0]]
        runs = {"size": [6, 8], "counts": [13, 3, 3, 3, 3, 3, 3, 3, 14]}
        np.testing.assert_array_equal(filled(runs, (6, 8), (12, 16)).sum(), 4 * filled(runs, (6, 8), (6, 8)).sum())
        assert abs(int(filled(polygon, (6, 8), (6, 8)).sum()) - 12) <= 8

    def test_a_network_of_ones_own(self, tmp_path, out):
        class Middle(torch.nn.Module):
            """Finds one box in the middle of every picture."""

            def __init__(self):
                super().__init__()
                self.score = torch.nn.Linear(1, 1)

            def forward(self, x):
                return {"boxes": [torch.tensor([[32.0, 16, 64, 48]])] * len(x), "labels": [torch.tensor([0])] * len(x),
                        "scores": [torch.tensor([0.9])] * len(x), "loss": self.score(torch.ones(1)).square().sum()}  # fmt: skip

        learn = Learner(Middle(), coco(tmp_path, 12), out=out, report=False, verbose=False)
        learn.fit(1)
        assert learn.predict()[0]["boxes"]["labels"] == ["red"]

    def test_metrics_by_name(self, tmp_path, out):
        learn = Learner("maskrcnn/resnet10t", coco(tmp_path, 10, outlines=True), out=out, report=False, verbose=False, metrics=["map_50", "mask_map"])
        judged = learn.evaluate()
        assert {"loss", "map_50"} <= judged.keys()
        with pytest.raises(UnknownNameError, match="accuracy"):
            Learner("fcos/resnet10t", tmp_path / "annotations.json", out=out, report=False, verbose=False, metrics=["accuracy"])


# imageio-ffmpeg leaves the pipes of a program that has ended to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
class TestFilms:
    @pytest.fixture
    def learn(self, tmp_path, out):
        learn = Learner("fcos/mobilenetv3_small_050", coco(tmp_path / "traffic", 12), out=out, report=False, verbose=False)
        learn.fit(1)
        return learn

    @pytest.mark.parametrize("suffix", ["gif", "mp4"])
    def test_film_in_and_out(self, learn, tmp_path, suffix, capsys):
        if suffix == "mp4":
            pytest.importorskip("imageio_ffmpeg")
        frames = sorted((tmp_path / "traffic" / "images").glob("*.png"))
        made = learn.predict(frames).save(tmp_path / f"drive.{suffix}")[0]
        assert is_film(made)
        results = learn.predict(str(made))
        assert len(results) == len(frames)
        assert results.speed > 0
        again = results[2:5].save(tmp_path / f"some.{suffix}")
        film = Film(again[0])
        assert len(film) == 3
        assert film.frames_per_second == pytest.approx(10)
        assert next(iter(film)).size == (96, 64)
        assert results.plot(2).axes
        assert len(results[:2].save(tmp_path / "frame.png")) == 2

    def test_speed_is_told(self, learn, tmp_path, capsys):
        frames = sorted((tmp_path / "traffic" / "images").glob("*.png"))
        made = learn.predict(frames).save(tmp_path / "drive.gif")[0]
        learn.settings = type(learn.settings)(**{**learn.settings.__dict__, "verbose": True})
        learn.predict(made)
        assert "drive.gif: 12 frames at 10 a second; predicted" in capsys.readouterr().out

    def test_what_cannot_be_read(self, learn, tmp_path):
        with pytest.raises(DataError, match="A film to predict must be there"):
            learn.predict(str(tmp_path / "none.mp4"))
        pytest.importorskip("imageio_ffmpeg")
        (tmp_path / "broken.mp4").write_text(textwrap.dedent("no film"))
        with pytest.raises(DataError, match="A film must be readable. .*broken.mp4"):
            learn.predict(str(tmp_path / "broken.mp4"))

    def test_frames_of_several_sizes(self, learn, tmp_path):
        Image.new("RGB", (40, 40)).save(tmp_path / "small.png")
        results = learn.predict([tmp_path / "traffic" / "images" / "000.png", tmp_path / "small.png"])
        with pytest.raises(ArgumentError, match="The frames of a film have one size. 96x64 and 40x40 came"):
            results.save(tmp_path / "mixed.gif")


def sorted_boxes(count, seed=0):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 30, (count, 2))], 1).astype(np.float32)
    scores = -np.sort(-rng.uniform(0.3, 1, count)).astype(np.float32)
    return {"boxes": boxes, "labels": rng.integers(0, 3, count), "scores": scores, "shown": np.arange(count) % 3 > 0}


EXPORTED = ("fcos/resnet10t", "retinanet/resnet10t", "ssdlite320_mobilenet_v3_large", "fasterrcnn/resnet10t", "maskrcnn/resnet10t")
"""One of each kind of torchvision's detectors."""


class TestExported:
    # The last one has two levels of one size.
    @pytest.mark.parametrize(
        "architecture", [*EXPORTED, "rt_detr_v2/tiny", pytest.param("fasterrcnn_mobilenet_v3_large_320_fpn", marks=pytest.mark.slow)]
    )
    def test_boxes_in_a_graph_are_those_of_the_library(self, architecture, tmp_path, out):
        if architecture.startswith("rt_detr"):
            pytest.importorskip("transformers")
        task = zoo.find(architecture)[1].tasks[0]
        learn = Learner(architecture, coco(tmp_path / "traffic", 12, outlines=True), task=task, out=out, verbose=False)
        x, model = lively(learn), learn.task_module().eval().model
        with torch.no_grad():
            given = model(x)
            found = model.detect(x, given)
            graph = model.detect_in_graph(x, given)
        assert graph.keys() == found.keys()
        for i, scores in enumerate(found["scores"]):
            count = len(scores)
            assert count
            assert torch.allclose(graph["scores"][i, :count], scores, atol=1e-6)
            alone = (scores[:, None] == scores).sum(1) == 1  # the order of equal ones is open
            assert alone.float().mean() > 0.8
            for name, value in found.items():
                assert torch.allclose(graph[name][i, :count][alone].float(), value[i][alone].float(), atol=1e-4)
            assert not graph["scores"][i, count:].any()

    @pytest.mark.slow
    @pytest.mark.timeout(900)
    @pytest.mark.parametrize("architecture", ["fcos/resnet10t", "maskrcnn/resnet10t"])
    def test_by_torch_export(self, architecture, tmp_path, out):
        task = zoo.find(architecture)[1].tasks[0]
        learn = Learner(architecture, coco(tmp_path, 24, outlines=True), task=task, out=out, report=False, verbose=False)
        for sure in (False, True):  # in most batches of the first no box is left
            if sure:
                lively(learn)
            found = learn.export(tmp_path / "model.pt2").certificate
            assert found["largest_difference"] <= 1e-3

    @pytest.mark.slow
    @pytest.mark.timeout(900)
    def test_whole_numbers_in_both_steps(self, tmp_path, out, monkeypatch):
        monkeypatch.setattr("fastgpu.quantizing.BATCHES", (1,))
        learn = Learner("fasterrcnn/resnet10t", coco(tmp_path, 24), out=out, report=False, verbose=False)
        lively(learn)
        learn.quantize(candidates="all", max_drop=100)
        layers = quantized_layers(learn.module)
        assert set(input_ranges(learn.module)) == set(layers)
        assert {"rpn.head.cls_logits", "roi_heads.box_head.fc6", "roi_heads.box_predictor.bbox_pred"} <= set(layers)
        made = learn.export(tmp_path / "model.onnx", int8=True, tolerance=1.0)
        assert made.certificate["precision"] == "int8"
        assert len(Predictor.load(made, threads=1).predict(tmp_path / "images")) == 24

    def test_an_order_has_no_meaning_nor_a_score_at_the_threshold(self):
        expected = sorted_boxes(12)
        other = np.random.default_rng(1).permutation(12)
        found = {name: value[other] for name, value in expected.items()}
        found["shown"][0] = ~found["shown"][0]
        mine, theirs = matched(found, expected)
        assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)
        assert len(theirs["scores"]) == (expected["shown"] | found["shown"][other.argsort()]).sum()
        assert theirs["objects"].all()

    def test_pictures_without_any_box_and_boxes_beyond_the_edge(self):
        assert shown(torch.zeros(1, 0, 4), torch.zeros(1, 0)).shape == (1, 0)
        boxes = torch.tensor([[[-10.0, 0, 10, 10], [0, 0, 10, 10]]])
        assert shown(boxes, torch.tensor([[0.9, 0.8]])).tolist() == [[True, False]]

    def test_a_stray_box_takes_no_other_with_it(self):
        alone = {"boxes": np.float32([[0, 0, 9, 9]]), "labels": np.array([0]), "scores": np.float32([0.9]), "shown": np.array([True])}
        stray = np.float32([[40, 40, 50, 50]])
        both = {
            "boxes": np.concatenate([stray, alone["boxes"]]),
            "labels": np.array([0, 0]),
            "scores": np.float32([0.9, 0.8]),
            "shown": np.array([True, True]),
        }
        hidden = {**alone, "shown": np.array([False])}
        mine, theirs = matched(both, hidden)
        assert mine["objects"].tolist() == [True, True]
        assert sorted(theirs["objects"].tolist()) == [False, True]

    @pytest.mark.parametrize("change", ["fewer", "more", "moved", "renamed"])
    def test_other_boxes_are_told(self, change):
        expected = sorted_boxes(12)
        found = {name: value.copy() for name, value in expected.items()}
        if change == "fewer":
            found["scores"][1] = 0
        elif change == "more":
            expected["scores"][1], expected["shown"][1] = 0, False
        elif change == "moved":
            found["boxes"][1] += 3
        else:
            found["labels"][1] = (found["labels"][1] + 1) % 3
        mine, theirs = matched(found, expected)
        assert not all(np.array_equal(mine[name], theirs[name]) for name in theirs)
