"""Export: every format, kind of data, field and family; the manifest; what is refused; what is left behind."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from compressible import FAMILIES, network
from fields import all_fields
from torch import nn

import fastgpu
from fastgpu import Learner
from fastgpu.cli import main
from fastgpu.compress.quantize import prepare
from fastgpu.errors import ArgumentError, CheckpointError, DataError, DeviceError, ExportError, RunFolderError, UnknownNameError
from fastgpu.export.base import FORMATS
from fastgpu.export.graph import Graph
from fastgpu.export.manifest import MARKER, digest, header, is_whole, sealed
from fastgpu.export.onnx import finish, to_onnx
from fastgpu.export.verify import compare
from fastgpu.export.worker import Worker

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)


def texts():
    words = np.array(["good", "bad", "fine", "poor", "film", "book", "and", "so"])
    made = [" ".join(RNG.choice(words, RNG.integers(2, 9))) for _ in range(60)]
    return made, np.array(["good" in text for text in made]).astype(int)


def table():
    import pandas as pd

    frame = pd.DataFrame({"a": RNG.normal(size=80), "b": RNG.normal(size=80), "c": RNG.choice(["x", "y", "z"], 80)})
    frame.loc[::9, "a"] = np.nan
    return frame.assign(price=frame["b"] * 1000 + 1e6)


def pictures(labels=2):
    return RNG.integers(0, 255, (60, 12, 12, 3), dtype=np.uint8), RNG.integers(0, 2, (60, labels))


def pairs():
    from fields.translation import phrases

    return tuple(map(list, zip(*phrases())))


def plays():
    from fields.recommendation import plays

    return plays(None)


KINDS = {
    "image": ("mlp", lambda: (pictures()[0], np.arange(60) % 3), {}),
    "multilabel": ("mlp", pictures, {"task": "multilabel"}),
    "regression": ("mlp", lambda: (RNG.normal(size=(60, 5)).astype("float32"), RNG.normal(size=(60, 2))), {"task": "regression"}),
    "text": ("text_bag", texts, {}),
    "table": ("mlp", table, {"target": "price"}),
    "series": ("inception_time/small", lambda: (RNG.normal(size=(60, 24, 2)).astype("float32"), np.arange(60) % 2), {}),
    "interactions": ("matrix_factorization", plays, {}),
    "translation": ("marian/tiny", pairs, {}),
}
"""Kind of data and task -> architecture, data, settings."""

EVERY_KIND = [pytest.param(kind, marks=(pytest.mark.slow, pytest.mark.timeout(900)) if kind == "translation" else ()) for kind in KINDS]

LONG = {name: (pytest.mark.slow, pytest.mark.timeout(900)) for name in ("aoti", "executorch", "safetensors")}


@pytest.fixture
def learner(make):
    return make()


def no_package(name):
    return [package for package in FORMATS[name].needs if importlib.util.find_spec(package) is None]


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def manifest(path):
    return json.loads(session(path).get_modelmeta().custom_metadata_map["fastgpu"])


def contents(path):
    """The bytes of a file, unpacked where it is an archive."""
    if not zipfile.is_zipfile(path):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return b"".join(map(archive.read, archive.namelist()))


@pytest.mark.parametrize("format", [pytest.param(name, marks=LONG.get(name, ())) for name in FORMATS])
def test_every_format(format, learner, tmp_path):
    if missing := no_package(format):
        pytest.skip(f"{missing[0]} is not installed")
    try:
        FORMATS[format].ready()
    except DeviceError as error:
        pytest.skip(str(error))
    learner.fit(1)
    before = {name: value.clone() for name, value in learner.module.state_dict().items()}
    path = tmp_path / f"model{FORMATS[format].suffix}"
    made = learner.export(path, format=format)
    assert os.fspath(made) == str(path)
    belonging = [path.name, f"{path.name}.json", *(path.stem + suffix for suffix in FORMATS[format].companions)]
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_file()) == sorted(belonging)
    written = json.loads(Path(f"{path}.json").read_text())
    assert written == made.certificate
    assert (written["format"], written["samples"], written["tolerance"]) == (format, 64, FORMATS[format].tolerance)
    if FORMATS[format].precision == "float32":
        assert written["largest_difference"] <= 1e-5
        assert written["metrics"]["accuracy"]["learner"] == written["metrics"]["accuracy"]["file"]
    assert set(written["versions"]) >= {"fastgpu", "torch"}
    assert "\n" not in repr(made)
    assert f"{path}: {format}, {FORMATS[format].precision}" in repr(made)
    assert all(torch.equal(value, before[name]) for name, value in learner.module.state_dict().items())
    assert Path(fastgpu.__file__).parent.as_posix().encode() not in contents(path)  # no trace of where the code lies


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_as_onnx(kind, out, tmp_path):
    architecture, data, settings = KINDS[kind]
    learn = Learner(architecture, data(), out=out, report=False, verbose=False, **settings)
    found = learn.export(tmp_path / "model.onnx").certificate
    assert found["largest_difference"] <= 1e-5
    assert set(found["metrics"]) == set(learn.task_module().val_metrics)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_by_torch_export(kind, out, tmp_path):
    architecture, data, settings = KINDS[kind]  # stricter than ONNX's tracer, and what aoti and executorch begin with
    learn = Learner(architecture, data(), out=out, report=False, verbose=False, **settings)
    assert learn.export(tmp_path / "model.pt2").certificate["largest_difference"] <= 1e-4


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("field", all_fields(), ids=lambda field: field.name)
def test_every_field(field, out, tmp_path):
    for package in field.packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    learn = Learner(field.architecture, field.data(tmp_path), out=out, report=False, verbose=False, **field.settings)
    learn.fit(1)
    assert learn.export(tmp_path / "model.onnx").certificate["largest_difference"] <= 1e-3


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family(name, tmp_path):
    net, x = network(name)
    graph = _Bare(net, [f"x{i}" for i in range(len(x))])
    model = to_onnx(graph, dict(zip(graph.inputs, x)), {"x0": 1, "x1": 1} if FAMILIES[name]["kind"] == "text" else {})
    finish(model, {}, tmp_path / "model.onnx")
    for some in (x, [column[:1] for column in x]):
        [found] = session(tmp_path / "model.onnx").run(None, {k: v.numpy() for k, v in zip(graph.inputs, some)})
        with torch.no_grad():
            assert np.abs(found - net(*some).numpy()).max() < 1e-3


class _Bare(nn.Module):
    """A network in the place of a graph, without data."""

    def __init__(self, net, inputs):
        super().__init__()
        self.net, self.inputs, self.outputs = net, inputs, ["logits"]

    def forward(self, *x):
        return (self.net(*x),)


class TestFile:
    def test_a_manifest_says_what_the_file_is(self, learner, tmp_path):
        learner.fit(1)
        learner.export(tmp_path / "model.onnx", verify=False)
        found = manifest(tmp_path / "model.onnx")
        assert [*found][:2] == ["sha256", "format"]
        assert found["format"] == 1
        assert (found["architecture"], found["precision"], found["opset"], found["licence"]) == ("mlp", "float32", 18, "Apache-2.0")
        assert found["input"] == json.loads(json.dumps(learner.data.input.to_dict()))
        assert found["task"] == json.loads(json.dumps(learner.data.task.to_dict()))
        assert (found["inputs"], found["outputs"]) == (["image"], ["labels", "probabilities"])
        assert found["metrics"]["val_accuracy"] == learner.history.rows[0]["val_accuracy"]
        assert not (tmp_path / "model.onnx.json").exists()

    def test_pictures_go_in_as_they_are_stored_and_any_number_of_them(self, learner, tmp_path):
        learner.export(tmp_path / "model.onnx")
        run = session(tmp_path / "model.onnx")
        [image] = run.get_inputs()
        assert (image.type, image.shape) == ("tensor(uint8)", ["batch", 1, 8, 8])
        assert [value.shape for value in run.get_outputs()] == [["batch"], ["batch", 10]]
        split = learner.data.split("val")
        for count in (1, 3, 100):
            labels, probabilities = run.run(None, {"image": split.head(count)["x"]["image"].numpy()})
            assert labels.shape == (count,)
            assert np.allclose(probabilities, learner.predict("val").probabilities[:count], atol=1e-5)

    def test_the_length_of_texts_is_open(self, out, tmp_path):
        learn = Learner("text_bag", texts(), out=out, report=False, verbose=False)
        learn.export(tmp_path / "model.onnx", verify=False)
        run = session(tmp_path / "model.onnx")
        assert [value.shape for value in run.get_inputs()] == [["batch", "length"], ["batch", "length"]]

    def test_a_digest_proves_the_file_whole(self, learner, tmp_path):
        path = tmp_path / "model.onnx"
        learner.export(path, verify=False)
        content = path.read_bytes()
        assert is_whole(path)
        assert digest(content)[0] == manifest(path)["sha256"]
        for wrong in (content[:-1], content + b"\0", content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]):
            path.write_bytes(wrong)
            assert not is_whole(path)

    def test_a_digest_is_its_own(self):
        content = sealed(b"before" + header({"task": {}}).encode() + b"after")
        named, found = digest(content)
        assert named == found != "0" * 64
        assert digest(b"none")[0] == ""
        with pytest.raises(ExportError, match="sealed that holds a manifest with a blank digest"):
            sealed(content)
        assert content.count(MARKER) == 1

    def test_a_name_without_a_suffix_gets_one(self, learner, tmp_path):
        assert learner.export(tmp_path / "model", verify=False).path == tmp_path / "model.onnx"
        assert learner.export(tmp_path / "model", format="pt2", verify=False).path == tmp_path / "model.pt2"

    def test_a_quantized_network_is_written_with_its_rounded_weights(self, learner, tmp_path):
        learner.fit(1)
        prepare(learner.module)
        learner.evaluate()  # the ranges of its inputs are seen
        found = learner.export(tmp_path / "model.onnx", int8=False).certificate
        assert found["tolerance"] == 0.1
        assert found["largest_difference"] < 0.1
        assert "FakeQuantize" not in (tmp_path / "model.onnx").read_bytes().decode("latin1")

    def test_modes_and_random_numbers_stay(self, learner, tmp_path):
        learner.module.train()
        torch.manual_seed(0)
        expected = torch.rand(3)
        torch.manual_seed(0)
        learner.export(tmp_path / "model.onnx")
        assert torch.equal(torch.rand(3), expected)
        assert learner.module.training

    def test_a_loader_of_the_users_own(self, out, tmp_path):
        x, y = torch.randn(20, 6), torch.arange(20) % 2
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=5)
        learn = Learner(nn.Linear(6, 2), loader, out=out, report=False, verbose=False)
        assert learn.export(tmp_path / "model.onnx").certificate["samples"] == 5


class TestRefused:
    def test_a_file_that_differs_is_removed_and_an_earlier_one_stays(self, learner, tmp_path):
        path = tmp_path / "model.onnx"
        path.write_text("earlier")
        with pytest.raises(ExportError, match=r"model.onnx differs by .* in probabilities \(tolerance 0\) on 64 items, and is not kept"):
            learner.export(path, tolerance=0.0)
        assert path.read_text() == "earlier"
        assert [each.name for each in tmp_path.iterdir() if each.name != "runs"] == ["model.onnx"]

    def test_half_precision_is_written_in_single(self, out, digits, tmp_path):
        learn = Learner("resnet10t", digits, precision="bf16-true", out=out, report=False, verbose=False)
        made = learn.export(tmp_path / "model.onnx")
        assert made.certificate["largest_difference"] <= 0.1
        learn.fit(1)
        assert learn.quantize("weights", max_drop=100).steps

    def test_formats_and_suffixes(self, learner, tmp_path):
        with pytest.raises(UnknownNameError, match="Unknown export format 'onx'. Did you mean 'onnx'"):
            learner.export(tmp_path / "model.onnx", format="onx")
        with pytest.raises(UnknownNameError, match="Unknown suffix of an exported file '.onxx'. Did you mean '.onnx'"):
            learner.export(tmp_path / "model.onxx")
        with pytest.raises(ArgumentError, match="A file of the format onnx ends in .onnx. 'model.pt2' came"):
            learner.export(tmp_path / "model.pt2", format="onnx")
        with pytest.raises(ArgumentError, match="int8 is True, False or 'auto'. 'yes' came"):
            learner.export(tmp_path / "model.onnx", int8="yes")
        with pytest.raises(ArgumentError, match="tolerance is a share of the largest output, 0 or more. -1 came"):
            learner.export(tmp_path / "model.onnx", tolerance=-1)
        with pytest.raises(UnknownNameError, match="Unknown export format 'torhc'. Did you mean 'torch'"):
            learner.benchmark(["torhc"])
        with pytest.raises(ArgumentError, match=r"at least one format. \[\] came"):
            learner.benchmark([])

    def test_places_that_cannot_be_written(self, learner, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(RunFolderError, match="must be written to .*file.model.onnx. It cannot be: .*file is a file"):
            learner.export(tmp_path / "file" / "model.onnx")
        (tmp_path / "folder.onnx").mkdir()
        with pytest.raises(RunFolderError, match="must be written to a file. .*folder.onnx is a folder"):
            learner.export(tmp_path / "folder.onnx")

    @pytest.mark.skipif(os.name != "posix", reason="limits of a process")
    @pytest.mark.parametrize("name", ["model.onnx", "model.safetensors"])
    def test_a_file_that_does_not_fit_is_named_as_the_user_named_it(self, learner, tmp_path, name):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        try:
            with pytest.raises(RunFolderError, match=f"must be written to {tmp_path / name}. It could not be: .*ile too large"):
                learner.export(tmp_path / name)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not list(tmp_path.glob("*model*"))

    def test_folders_that_were_made_in_vain_go(self, learner, tmp_path):
        with pytest.raises(ExportError, match="differs by"):
            learner.export(tmp_path / "new" / "deep" / "model.onnx", tolerance=0.0)
        assert not (tmp_path / "new").exists()

    def test_without_data(self, learner, tmp_path):
        loaded = Learner.load(learner.save(tmp_path / "saved"))
        with pytest.raises(DataError, match="Export runs the network on a few items. The learner was loaded without data"):
            loaded.export(tmp_path / "model.onnx")

    @pytest.mark.parametrize(
        ("step", "said"),
        [
            (lambda x: x * 2 if x.sum() > 0 else x, r"Step looks at values at `.*x.sum\(\) > 0.*` \(test_export.py, line \d+\)"),
            (lambda x: torch.special.bessel_j0(x), r"onnx must have each operation of the network. It lacks prims.bessel_j0 of Step"),
            (lambda x: x + x.new_ones(1) if len(x) != 5 else x, "the size of a batch must stay open. Step fixes a size"),
        ],
        ids=["looks at values", "operation", "size"],
    )
    def test_networks_that_cannot_be_traced(self, make, step, said, tmp_path, capfd):
        learn = make(Step(step))
        with pytest.raises(ExportError, match=said) as caught:
            learn.export(tmp_path / "model.onnx")
        assert "\n" not in str(caught.value)
        assert capfd.readouterr() == ("", "")
        assert not list(tmp_path.glob("*model*"))

    def test_weights_of_an_own_network_cannot_be_verified(self, make, tmp_path):
        learn = make(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
        with pytest.raises(ExportError, match="Sequential is a network of your own, whose code is not in it. Give verify=False"):
            learn.export(tmp_path / "model.safetensors")
        path = learn.export(tmp_path / "model.safetensors", verify=False).path
        again = Learner.load(path, architecture=nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
        assert torch.equal(again.module[1].weight, learn.module[1].weight)

    @pytest.mark.slow
    @pytest.mark.skipif(os.name != "posix", reason="signals")
    def test_a_killed_export_leaves_nothing_in_the_place(self, learner, tmp_path):
        saved = learner.save(tmp_path / "saved")
        code = (
            "import sys; from fastgpu import Learner; learn = Learner('mlp', 'digits', report=False, verbose=False)\n"
            f"learn.export({str(tmp_path / 'model.onnx')!r})"
        )
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
        while not (left := list(tmp_path.glob(".model.onnx.*.partial"))) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert left
        assert not (tmp_path / "model.onnx").exists()
        learner.export(tmp_path / "model.onnx", verify=False)
        assert sorted(each.name for each in tmp_path.iterdir() if each.name != "runs") == ["model.onnx", saved.name]


class Step(nn.Module):
    """A linear network with a step in it."""

    def __init__(self, step):
        super().__init__()
        self.step, self.linear = step, nn.Linear(64, 10)

    def forward(self, x):
        return self.linear(self.step(x.flatten(1)))


class TestComparing:
    def test_numbers_as_a_share_of_the_largest_and_classes_as_a_share_of_all(self):
        right = {"labels": np.array([0, 1, 2, 3]), "values": np.array([0.0, -4.0, np.nan, np.inf])}
        wrong = {"labels": np.array([0, 1, 2, 0]), "values": np.array([1.0, -4.0, np.nan, np.inf])}
        found = compare([right, wrong], [right, right])
        assert found.difference == {"values": 0.25}
        assert found.disagree == {"labels": 0.125}
        assert found.largest == 0.25
        assert compare([right], [right]).largest == 0.0

    def test_a_number_that_is_none(self):
        assert compare([{"a": np.array([np.nan])}], [{"a": np.array([1.0])}]).largest == float("inf")
        wrong = np.where(np.arange(32) < 2, 1e4, -1.0)[:, None]  # two large items do not hide thirty wrong ones
        assert compare([{"a": wrong}], [{"a": np.abs(wrong)}]).distance["a"] == pytest.approx(2 * 30 / 32)

    def test_other_outputs(self):
        with pytest.raises(ExportError, match=r"must give a of shape \(2,\). It gave shape \(1,\)"):
            compare([{"a": np.zeros(1)}], [{"a": np.zeros(2)}])
        with pytest.raises(ExportError, match=r"must give a of shape \(2,\). It gave only b"):
            compare([{"b": np.zeros(2)}], [{"a": np.zeros(2)}])


class TestWorker:
    def test_the_runtime_of_onnx_needs_no_torch(self):
        code = "import sys, fastgpu.export.worker, fastgpu.export.onnx, fastgpu.export.manifest; print('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout == "False\n"

    def test_a_file_that_cannot_be_loaded(self, tmp_path):
        (tmp_path / "model.onnx").write_bytes(b"half of it")
        with pytest.raises(ExportError, match="model.onnx must run in its own runtime. It failed: InvalidProtobuf"):
            Worker(FORMATS["onnx"].load, tmp_path / "model.onnx").__enter__()

    def test_a_process_that_dies(self, tmp_path, monkeypatch):
        (tmp_path / "dying.py").write_text("import os\n\ndef load(path, threads):\n    os._exit(threads)\n")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ExportError, match="model.onnx must run in its own runtime. It failed: the process ended with status 3"):
            Worker("dying:load", tmp_path / "model.onnx", threads=3).__enter__()


@pytest.mark.slow
def test_benchmark(learner):
    found = learner.benchmark(("torch", "onnx"))
    assert [row["format"] for row in found.rows] == ["torch", "onnx"]
    assert found["onnx"]["value"] == found["torch"]["value"] == learner.evaluate()["accuracy"]
    assert found["torch"]["difference"] == 0.0
    assert found["onnx"]["memory_mb"] < found["torch"]["memory_mb"]
    assert all(row[key] > 0 for row in found.rows for key in ("ms_1", "ms_32", "per_second", "size_mb"))
    assert repr(found).splitlines()[0].split()[:2] == ["format", "numbers"]
    assert list(found.to_frame()["format"]) == ["torch", "onnx"]
    assert json.loads(json.dumps(found.to_dict())) == found.rows
    with pytest.raises(UnknownNameError, match="Unknown format in this benchmark 'onx'. Did you mean 'onnx'"):
        found["onx"]


def test_a_format_that_cannot_be_measured_is_left_out(learner, monkeypatch):
    class Own(nn.Flatten):
        pass

    monkeypatch.setattr(Own, "__module__", "__main__")
    learner.module = nn.Sequential(Own(), learner.module)
    learner.from_zoo = False
    found = learner.benchmark()
    assert [row["format"] for row in found.rows] == ["onnx"]
    assert "torch is left out: PyTorch is measured in a process of its own" in repr(found)
    assert "Own is defined in the script or notebook that runs" in found.left_out["torch"]
    with pytest.raises(ExportError, match="Own is defined in the script"):
        learner.benchmark("torch")
    with pytest.raises(ArgumentError, match="A benchmark needs at least one format. None came"):
        learner.benchmark(None)


def test_from_a_shell(learner, out, tmp_path, capsys):
    learner.fit(1)
    saved = str(learner.save(tmp_path / "saved"))
    assert main(["export", saved, "digits", "--out", str(tmp_path / "model.onnx"), "--tolerance", "1e-4"]) == 0
    assert "onnx, float32" in capsys.readouterr().out
    assert json.loads((tmp_path / "model.onnx.json").read_text())["tolerance"] == 1e-4
    assert main(["export", saved, "digits", "--out", str(tmp_path / "model.onxx")]) == 2
    assert capsys.readouterr().err == "fastgpu: Unknown suffix of an exported file '.onxx'. Did you mean '.onnx'?\n"
    assert main(["benchmark", saved, "digits", "--formats", "onnx"]) == 0
    assert capsys.readouterr().out.startswith("format  numbers  accuracy")


def test_a_graph_gives_what_predict_gives(learner):
    x = learner.data.split("val").head(9)["x"]
    graph = Graph(learner.module, learner.data.input, learner.data.task, x)
    labels, probabilities = graph(x["image"])
    results = learner.predict("val")
    assert [learner.data.classes[i] for i in labels.tolist()] == results.labels[:9]
    assert np.allclose(probabilities, results.probabilities[:9])


@pytest.mark.parametrize("path", ["", None, 3])
def test_a_path_that_is_none(path, learner):
    with pytest.raises(ArgumentError, match="path is where the file is to be"):
        learner.export(path)


def test_an_exported_file_is_no_saved_learner(learner, tmp_path):
    learner.export(tmp_path / "m.onnx", verify=False)
    with pytest.raises(CheckpointError, match=r"m\.onnx is an exported file\. Open it with Predictor\.load"):
        Learner.load(tmp_path / "m.onnx")
