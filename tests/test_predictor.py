"""The Predictor: what it gives is what the learner gives, and it loads no torch."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from fields import all_fields
from fields.detection import coco, lively
from PIL import Image

from fastgpu import Learner, Predictor, zoo
from fastgpu.answers import ANSWERS
from fastgpu.answers.instances import pasted
from fastgpu.answers.pixels import in_original
from fastgpu.cli import main
from fastgpu.errors import ArgumentError, BadItemError, CheckpointError, DataError, DeviceError, ModelError, UnknownNameError
from fastgpu.export.manifest import header, sealed
from fastgpu.nn.speech import LogMel
from fastgpu.reading import READERS
from fastgpu.reading.scaling import scaled
from fastgpu.tasks.pixels import in_original as in_original_by_torch

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "lightning", "timm", "torchmetrics", "transformers", "matplotlib", "pandas", "wandb", "rich")
TOLERANCE = 1e-4

CASES = {field.name: field for field in all_fields()}
QUICK = {"reconstruction", "sensors", "sentiment", "tables-tabm"}


def same(found, expected, tolerance=TOLERANCE):
    """Results that are equal: columns, their types and shapes, and values within the tolerance."""
    assert list(found.columns) == list(expected.columns)
    assert len(found) == len(expected)
    assert repr(found) == repr(expected)
    for name, column in expected.columns.items():
        ours = found.columns[name]
        assert type(ours) is type(column)
        if name == "masks":
            assert [mask.shape for mask in ours] == [mask.shape for mask in column]
            assert np.mean(np.concatenate([(a != b).ravel() for a, b in zip(ours, column)])) < 1e-3
        elif name == "boxes":
            for a, b in zip(ours, column):
                assert a["labels"] == b["labels"]
                assert [a[key].dtype for key in ("boxes", "scores")] == [b[key].dtype for key in ("boxes", "scores")]
                np.testing.assert_allclose(a["boxes"], b["boxes"], atol=1e-2)
                np.testing.assert_allclose(a["scores"], b["scores"], atol=1e-4)
                if "masks" in b:
                    assert (a["masks"].shape, a["masks"].dtype) == (b["masks"].shape, b["masks"].dtype)
                    assert not a["masks"].size or np.mean(a["masks"] != b["masks"]) < 1e-3
        elif name == "sounds":  # rounds of Griffin and Lim's method make much of the least difference, but for what is heard
            for a, b in zip(ours, column):
                assert (a.shape, a.dtype) == (b.shape, b.dtype)
                hear = LogMel(8000, 40, hop=128, window=512)
                heard, right = (hear(torch.from_numpy(each)[None]) for each in (a, b))
                assert (heard - right).abs().mean() < 0.3
                assert (hear(torch.zeros(1, len(b))) - right).abs().mean() > 1
        elif isinstance(column, np.ndarray) or (column and isinstance(column[0], np.ndarray)):
            for a, b in zip(ours, column):
                assert a.dtype == b.dtype
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(b).max())))
        else:
            assert ours == column
    assert found[0].keys() == expected[0].keys()
    if "sounds" not in expected.columns:  # which no table holds
        assert list(found.to_frame().columns) == list(expected.to_frame().columns)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("predictor")


@pytest.fixture(scope="module")
def learn(digits, folder):
    learn = Learner("mlp", digits, out=folder / "runs", report=False, verbose=False)
    learn.fit(3)
    return learn


@pytest.fixture(scope="module")
def exported(learn, folder):
    return Path(learn.export(folder / "digits.onnx", verify=False))


@pytest.fixture(scope="module")
def predictor(exported):
    return Predictor.load(exported, threads=1)


@pytest.fixture(scope="module")
def pictures(folder, digits):
    (folder / "pictures").mkdir()
    for i, pixels in enumerate(digits[1][0][:7, 0]):
        picture = Image.fromarray(np.kron(pixels, np.ones((3 + i % 2, 4), np.uint8)))
        (picture.convert("RGB") if i % 3 == 0 else picture).save(folder / "pictures" / f"{i}.png")
    return folder / "pictures"


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES])
def test_every_field_that_can_be_exported_gives_what_the_learner_gives(name, tmp_path):
    field = CASES[name]
    for package in field.packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    learn = Learner(field.architecture, field.data(tmp_path), out=tmp_path / "runs", report=False, verbose=False, **field.settings)
    learn.fit(1)
    path = learn.export(tmp_path / "model.onnx", verify=False)
    predictor = Predictor.load(path, threads=1)
    items = field.items(tmp_path)
    expected = learn.predict(items)
    same(predictor.predict(items), expected)
    same(predictor.predict(items, batch_size=2), expected)
    assert predictor.task == field.task
    assert field.task in repr(predictor)
    with (tmp_path / "items").open("wb") as file:
        pickle.dump(items, file)
    allowed = {"pandas"} if learn.data.input.kind in ("table", "series", "interactions") else set()
    code = (
        "import pickle, sys; from fastgpu import Predictor\n"
        f"assert len(Predictor.load({os.fspath(path)!r}).predict(pickle.load(open({str(tmp_path / 'items')!r}, 'rb'))))"
    )
    assert loaded_by(code) <= allowed


def test_every_reader_and_every_answer_is_tested():
    tasks = {field.task for field in CASES.values()} | {"multilabel"}
    assert set(ANSWERS) == tasks
    assert set(READERS) == {"image", "text", "table", "series", "audio", "interactions", "characters"}


def test_arrays_tensors_files_and_single_items(learn, predictor, pictures, digits):
    pixels = digits[1][0]
    files = sorted(pictures.glob("*.png"))
    opened = Image.open(files[0])
    for items in (
        pixels,
        pixels[0],
        pixels[0, 0],
        pixels / 255,
        pixels.astype(np.int64),
        torch.from_numpy(pixels[:3]),
        list(pixels[:2]),
        np.kron(pixels[:3], np.ones((4, 3), np.uint8)),
        pictures,
        str(pictures),
        files[1],
        files,
        [str(file) for file in files],
        opened,
        [opened, files[2]],
    ):
        same(predictor.predict(items), learn.predict(items))


def test_batches_and_facts(predictor, learn, digits):
    pixels = digits[1][0]
    whole = predictor.predict(pixels)
    for size in (1, 7, 100, 1000):
        same(predictor.predict(pixels, batch_size=size), whole)
    assert predictor.classes == learn.data.classes
    assert predictor.task == "classification"
    assert predictor.metrics["accuracy"] == learn.history["val_accuracy"][learn.weights_epoch - 1]
    assert repr(predictor).startswith("Predictor(classification of 10 classes by mlp, float32, ")
    assert whole.speed > 0


@pytest.mark.parametrize("task", ["multilabel", "regression", "regression of two"])
def test_other_tasks_of_pictures(task, digits, tmp_path):
    (x, y), held = digits
    targets = {
        "multilabel": lambda y: np.stack([y % 2, y > 4], 1),
        "regression": lambda y: y.astype(np.float32),
        "regression of two": lambda y: np.stack([y, -y], 1).astype(np.float32),
    }[task]
    learn = Learner("mlp", ((x, targets(y)), (held[0], targets(held[1]))), task=task.split()[0], out=tmp_path, report=False, verbose=False)
    learn.fit(1)
    predictor = Predictor.load(learn.export(tmp_path / "model.onnx", verify=False), threads=1)
    same(predictor.predict(held[0]), learn.predict(held[0]))


def test_colour_in_floats_of_a_scale_of_their_own(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 7, (40, 3, 6, 6)).astype(np.float32)
    learn = Learner("mlp", (x, np.arange(40) % 2), out=tmp_path, report=False, verbose=False)
    learn.fit(1)
    predictor = Predictor.load(learn.export(tmp_path / "model.onnx", verify=False), threads=1)
    Image.fromarray(rng.integers(0, 255, (9, 8, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    for items in (x, x.transpose(0, 2, 3, 1), x[0], rng.uniform(0, 7, (2, 3, 9, 4)).astype(np.float32), tmp_path / "a.png"):
        same(predictor.predict(items), learn.predict(items))


def loaded_by(code):
    """Heavy modules that a new process has loaded after some code."""
    code += f"\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_a_new_process_loads_nothing_heavy(exported, pictures, tmp_path):
    predict = f"import sys; from fastgpu import Predictor; Predictor.load({str(exported)!r}).predict({str(pictures)!r})[0]['label']"
    assert loaded_by(predict) == set()
    line = ["predict", str(exported), str(pictures), "--out", str(tmp_path / "r.csv")]
    command = f"import sys; from fastgpu.cli import main; assert main({line!r}) == 0"
    assert loaded_by(command) == {"pandas"}  # which writes the table


def test_the_command_line_predicts_with_an_exported_file(learn, exported, pictures, tmp_path, capsys):
    assert main(["predict", str(exported), str(pictures), "--out", str(tmp_path / "a.csv"), "--threads", "1"]) == 0
    saved = str(learn.save(tmp_path / "saved.safetensors"))
    assert main(["predict", saved, str(pictures), "--out", str(tmp_path / "b.csv")]) == 0
    a, b = ((tmp_path / name).read_text().splitlines() for name in ("a.csv", "b.csv"))
    assert [line.split(",")[:2] for line in a] == [line.split(",")[:2] for line in b]
    assert len(a) == 8
    for given, said in (
        ((str(exported), str(pictures), "--precision", "64"), "An exported file takes --providers and --threads. --precision came"),
        ((saved, str(pictures), "--threads", "2"), "A run folder or saved file takes --devices and --precision. --threads came"),
        ((str(exported), str(pictures), "--providers", "cpu,quda"), "Unknown provider 'quda'. Did you mean 'cuda'"),
        ((str(exported), "none.png"), "1 of 1 cannot be read: none.png"),
        ((str(tmp_path / "none.onnx"), str(pictures)), "An exported model is a file."),
    ):
        capsys.readouterr()
        assert main(["predict", *given]) == 2
        line = capsys.readouterr().err
        assert said in line
        assert line.count("\n") == 1


def test_files_that_are_no_whole_exports_are_refused(exported, tmp_path):
    content = exported.read_bytes()
    changed = tmp_path / "a.onnx"

    def refused(part, said):
        changed.write_bytes(part)
        with pytest.raises(CheckpointError, match=said):
            Predictor.load(changed)

    with pytest.raises(CheckpointError, match=r"An exported model is a file. .*none.onnx cannot be read: No such file"):
        Predictor.load(tmp_path / "none.onnx")
    with pytest.raises(CheckpointError, match="is a folder. Open a run folder with Learner.load"):
        Predictor.load(tmp_path)
    refused(b"", "A Predictor opens what learn.export wrote. .* carries no manifest")
    refused(b"no model at all", "A Predictor opens what learn.export wrote")
    for cut in (1, 100, len(content) // 2):
        refused(content[:-cut], "its end is missing|is damaged: its digest is another")
    for at in (10, len(content) // 3, content.rfind(b'"architecture"') + 2, len(content) - 1):
        refused(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], "An exported file must be whole. .* is damaged")
    newer = content.replace(b'"format": 1,', b'"format": 2,')
    assert newer != content
    refused(newer, "This FastGPU reads exports of format 1. .* has 2, written by FastGPU .* Upgrade: pip install")
    empty = header({"input": {"kind": "image"}, "task": {"name": "classification"}})
    refused(sealed(b"no network " + empty.encode()), "onnxruntime must be able to open")


@pytest.mark.parametrize("format", ["pt2", "safetensors"])
def test_files_of_other_formats_are_told_from_damaged_ones(learn, format, tmp_path):
    made = learn.export(tmp_path / f"model.{format}")
    with pytest.raises(CheckpointError, match="A Predictor opens the .onnx file that learn.export wrote. .* is of another format"):
        Predictor.load(made)


def test_kinds_and_tasks_that_it_does_not_know_are_refused(exported, tmp_path):
    facts = Predictor.load(exported).facts
    for part, said in (
        ({"input": {**facts["input"], "kind": "wave"}}, "The Predictor reads audio, characters, .* is of wave. Use Learner.load"),
        ({"task": {**facts["task"], "name": "count"}}, "The Predictor answers anomaly, classification, .* is of count. Use Learner.load"),
    ):
        (tmp_path / "a.onnx").write_bytes(sealed(header({**facts, **part}).encode()))
        with pytest.raises(ArgumentError, match=said):
            Predictor.load(tmp_path / "a.onnx")


def test_wrong_arguments_are_refused(exported, predictor, monkeypatch):
    for threads in (0, -1, True, 1.5, "2"):
        with pytest.raises(ArgumentError, match="threads is a whole number from 1"):
            Predictor.load(exported, threads=threads)
    for size in (0, True, 2.0):
        with pytest.raises(ArgumentError, match="batch_size is a whole number from 1"):
            predictor.predict(np.zeros((8, 8)), batch_size=size)
    with pytest.raises(UnknownNameError, match="Unknown provider 'cudda'. Did you mean 'cuda'"):
        Predictor.load(exported, providers="cudda")
    absent = next(p for p in ("coreml", "openvino", "tensorrt") if not any(p in there.lower() for there in onnxruntime.get_available_providers()))
    with pytest.raises(DeviceError, match=r"It has .*CPUExecutionProvider. .* was asked for. Take one of these"):
        Predictor.load(exported, providers=["cpu", absent])
    for providers in ("cpu", ["cpu"], ("CPUExecutionProvider",)):
        assert Predictor.load(exported, providers=providers).session.get_providers() == ["CPUExecutionProvider"]


def test_a_provider_that_does_not_start_is_named(exported, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    if "CUDAExecutionProvider" in Predictor.load(exported).session.get_providers():
        pytest.skip("CUDA is there")
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"), pytest.raises(DeviceError, match="CUDAExecutionProvider does not start here"):
        Predictor.load(exported, providers="cuda")


def test_items_that_do_not_fit_are_refused_as_by_the_learner(learn, predictor, pictures, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    for items in (
        [],
        np.zeros((0, 1, 8, 8), np.uint8),
        np.zeros((2, 4, 8, 8), np.uint8),
        np.full((1, 8, 8), np.nan),
        {"a": 1},
        tmp_path / "bad.png",
        [*sorted(pictures.glob("*")), tmp_path / "bad.png"],
        "nowhere.png",
    ):
        with pytest.raises(DataError) as expected:  # noqa: PT011  # compared below
            learn.predict(items)
        with pytest.raises(type(expected.value), match=".") as found:
            predictor.predict(items)
        assert str(found.value) == str(expected.value)
        if isinstance(expected.value, BadItemError):
            assert found.value.indices == expected.value.indices


def test_many_files_are_read_batch_by_batch(predictor, pictures, monkeypatch):
    whole = predictor.predict(pictures)
    monkeypatch.setattr("fastgpu.reading.pictures.MEMORY_BUDGET", 0)
    same(predictor.predict(pictures, batch_size=3), whole)


def test_pictures_are_drawn_and_a_network_that_fails_says_so(predictor, pictures):
    figure = predictor.predict(pictures).plot(4)
    assert len(figure.axes) >= 4
    figure.canvas.draw()
    broken = Predictor(predictor.session, {**predictor.facts, "input": {**predictor.facts["input"], "size": [9, 9]}}, Path("a.onnx"))
    with pytest.raises(ModelError, match="The network of a.onnx does not compute these items. onnxruntime says: "):
        broken.predict(pictures)


@pytest.mark.parametrize("antialias", [True, False])
def test_scaling_is_that_of_torch(antialias):
    rng = np.random.default_rng(0)
    for height, width, size in ((37, 53, (16, 20)), (8, 8, (32, 30)), (20, 30, (20, 7)), (5, 6, (6, 5)), (1, 9, (4, 2))):
        images = rng.uniform(0, 255, (2, 3, height, width)).astype(np.float32)
        expected = torch.nn.functional.interpolate(torch.from_numpy(images), size, mode="bilinear", antialias=antialias)
        np.testing.assert_allclose(scaled(images, size, antialias=antialias), expected.numpy(), atol=1e-2)


def test_maps_come_out_of_the_frame_as_with_torch():
    values = np.random.default_rng(0).normal(size=(3, 32, 64)).astype(np.float32)
    for original in ((20, 40), (64, 100), (31, 90), (32, 64)):
        expected = in_original_by_torch(torch.from_numpy(values), torch.tensor(original)).numpy()
        np.testing.assert_allclose(in_original(values, original), expected, atol=1e-4)


@pytest.mark.parametrize("size", [(50, 70), (37, 20), (120, 200)])
def test_masks_are_pasted_as_by_torchvision(size):
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    rng = np.random.default_rng(0)
    masks = rng.uniform(0, 1, (40, 28, 28)).astype(np.float32)
    low = rng.uniform(0, 0.9, (40, 2)) * size[::-1]
    boxes = np.concatenate([low, np.minimum(low + rng.uniform(0, 40, (40, 2)), size[::-1])], 1).astype(np.float32)
    boxes[0], boxes[1] = (0, 0, *size[::-1]), (*size[::-1], *size[::-1])
    expected = paste_masks_in_image(torch.from_numpy(masks)[:, None], torch.from_numpy(boxes), size)[:, 0].numpy() > 0.5
    assert expected.any()
    assert np.mean(expected != pasted(masks, boxes, size)) < 1e-4
    assert pasted(masks[:0], boxes[:0], size).shape == (0, *size)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("architecture", ["ssdlite320_mobilenet_v3_large", "fasterrcnn/resnet10t", "maskrcnn/resnet10t"])
def test_detectors_that_are_sure_of_objects(architecture, tmp_path):
    pytest.importorskip("faster_coco_eval")
    task = zoo.find(architecture)[1].tasks[0]
    learn = Learner(architecture, coco(tmp_path, 24, outlines=True), task=task, out=tmp_path / "runs", report=False, verbose=False)
    lively(learn)
    getattr(learn.module, "roi_heads", learn.module).detections_per_img = 20  # of more, some have scores that are as good as equal
    made = learn.export(tmp_path / "model.onnx")
    assert made.certificate["largest_difference"] < 1e-4
    assert made.certificate["metrics"]["map"]["learner"] == made.certificate["metrics"]["map"]["file"]
    files = sorted((tmp_path / "images").glob("*.png"))[:5]
    predictor, expected = Predictor.load(made, threads=1), learn.predict(files)
    assert predictor.facts["batch_size"] == 4
    assert all(len(found["labels"]) for found in expected.boxes)
    for size in (1, 2, 64):
        same(predictor.predict(files, batch_size=size), expected)


def test_the_manifest_is_plain_json(predictor):
    assert json.loads(json.dumps(predictor.facts)) == predictor.facts
