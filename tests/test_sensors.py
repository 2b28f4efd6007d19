"""Sensor series: the forms in which they come, what is refused, and the architectures."""

import socket
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from fastgpu import Learner
from fastgpu.data import sources
from fastgpu.errors import ArgumentError, DataError, MissingPackageError, ModelError, UnknownNameError
from fastgpu.inputs.series import SeriesInput
from fastgpu.nn.adapters.base import adapt
from fastgpu.nn.series import patches
from fastgpu.zoo import build, find, list_models, model_info

SERIES = {"kind": "series", "channels": 3, "length": 20}
SUPERVISED = ("patchtst", "patchtsmixer", "inception_time", "lstm")
NAMES = [n for f in SUPERVISED for n in list_models(f"{f}*")]


def runs(n=4, steps=30, seed=0, **more):
    """A table of `n` runs with two sensors; the odd runs are faulty and faster."""
    rng, parts = np.random.default_rng(seed), []
    for i in range(n):
        time = np.arange(steps)
        x = np.sin(time * (0.9 if i % 2 else 0.3) + rng.uniform(0, 6))
        parts.append(pd.DataFrame({"unit": i, "time": time, "x": x, "y": rng.normal(size=steps), "label": "bad" if i % 2 else "ok"}))
    return pd.concat(parts, ignore_index=True).assign(**more)


def load(data, **asked):
    return sources.load(data, kinds=("series",), **asked)


def learner(data, out, name="lstm/small", **settings):
    return Learner(name, data, out=out, report=False, verbose=False, **settings)


def write(frame, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)


def class_folder(folder, n=3, steps=12):
    for name, speed in (("inner", 0.3), ("outer", 0.9)):
        for i in range(n):
            x = np.sin(np.arange(steps) * speed + i)
            write(pd.DataFrame({"time": np.arange(steps) / 10, "x": x, "z": x**2}), folder / name / f"{i}.csv")
    return folder


# Forms


def test_folder_of_classes(tmp_path):
    raw = load(class_folder(tmp_path / "vibration"))
    assert raw.kind == "series"
    assert raw.splits["train"].y.tolist() == ["inner"] * 3 + ["outer"] * 3
    assert raw.splits["train"].x.layout.channels == ("x", "z")
    assert raw.splits["train"].x.runs[0].name == "inner/0.csv"


def test_folder_with_splits_and_windows(tmp_path):
    class_folder(tmp_path / "train")
    class_folder(tmp_path / "test", n=1)
    raw = load(tmp_path, window=5, stride=3)
    assert {split: len(items) for split, items in raw.splits.items()} == {"train": 18, "test": 6}
    assert raw.splits["train"].group.tolist() == [i for i in range(6) for _ in range(3)]


@pytest.mark.parametrize("form", ["csv", "parquet", "frame", "folder"])
def test_table_of_runs(form, tmp_path):
    frame = runs()
    if form == "folder":
        write(frame, tmp_path / "plant" / "train.csv")
        write(runs(2, seed=1), tmp_path / "plant" / "test.csv")
    write(frame, tmp_path / "runs.csv")
    frame.to_parquet(tmp_path / "runs.parquet")
    raw = load({"csv": tmp_path / "runs.csv", "parquet": tmp_path / "runs.parquet", "frame": frame, "folder": tmp_path / "plant"}[form])
    assert raw.splits["train"].y.tolist() == ["ok", "bad"] * 2
    assert raw.splits["train"].x.layout.channels == ("x", "y")  # y is a sensor here
    assert ("test" in raw.splits) == (form == "folder")


def test_other_names_and_a_split_column():
    frame = runs().rename(columns={"unit": "motor", "time": "seconds", "label": "state"})
    frame["split"] = np.where(frame.motor < 3, "train", "test")
    raw = load(frame, target="state", columns={"unit": "motor", "time": "seconds"})
    assert [run.name for run in raw.splits["test"].x.runs] == ["3"]
    assert raw.splits["train"].x.layout.channels == ("x", "y")


def test_windows_never_mix_runs_and_take_the_label_of_their_last_step():
    frame = runs(3, 10)
    frame["label"] = np.where(frame.time >= 6, "bad", "ok")
    items = load(frame, window=4, stride=2).splits["train"]
    assert items.x.start.tolist() == [0, 2, 4, 6] * 3
    assert items.y.tolist() == ["ok", "ok", "bad", "bad"] * 3
    fitted = SeriesInput.fit(items.x)
    batch = fitted.encode(items.x).gather(torch.arange(12))["series"]
    np.testing.assert_allclose(batch[5].numpy(), frame[["x", "y"]].to_numpy()[12:16], rtol=1e-6)


def test_automatic_split_keeps_runs_whole(out):
    learn = learner(runs(10), out, window=10, stride=5)
    train, val = (set(learn.data.splits[s].x.items.run.tolist()) for s in ("train", "val"))
    assert not train & val
    assert len(train | val) == 10


def test_ts_files(tmp_path):
    head = "#made up\n@problemName tiny\n@timeStamps false\n@univariate false\n@classLabel true a b\n@data\n"
    (tmp_path / "tiny_TRAIN.ts").write_text(head + "1,2,3:4,5,6:a\n7,?,9:1,2,3:b\n")
    (tmp_path / "tiny_TEST.ts").write_text(head + "1,2:4,5:a\n")
    for data in (tmp_path, tmp_path / "tiny_TRAIN.ts"):
        raw = load(data)
        assert raw.splits["train"].y.tolist() == ["a", "b"]
        assert raw.splits["test"].x.runs[0].values.tolist() == [[1, 4], [2, 5]]
        assert raw.splits["train"].x.runs[1].values[:, 0].tolist() == [7, 7, 9]
        assert any("filled with the value before" in note for note in raw.notes)
    (tmp_path / "number.ts").write_text("@targetLabel true\n@data\n1,2,3:0.5\n3,4,5:1.5\n")
    assert load(tmp_path / "number.ts").splits["train"].y.tolist() == [0.5, 1.5]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,2,3\n", "a line @data"),
        ("@timeStamps true\n@data\n(0,1),(1,2)\n", "times of its own"),
        ("@classLabel true a\n@data\n1,2,x:a\n", "Line 3 of .*bad.ts"),
        ("@classLabel true a\n@data\n1,2:1,2,3:a\n", "2 and 3 steps"),
        ("@classLabel true a\n@data\n1,2:1,2:a\n1,2:a\n", "same channels"),
        ("@classLabel true a\n@data\n", "none after @data"),
        ("@targetLabel true\n@data\n1,2:a\n", "is a number"),
    ],
)
def test_bad_ts_files(text, says, tmp_path):
    (tmp_path / "bad.ts").write_text(text)
    with pytest.raises(DataError, match=says):
        load(tmp_path / "bad.ts")


def test_arrays_of_equal_and_of_unequal_length(out):
    rng = np.random.default_rng(0)
    equal = load((rng.normal(size=(6, 9, 2)), list("ababab")))
    assert len(equal.splits["train"]) == 6
    unequal = [rng.normal(size=(n, 2)) for n in (5, 8, 7, 9, 6, 9, 9, 9)]
    learn = learner((unequal, list("abababab")), out)
    assert learn.data.input.length == 9
    assert any("unequal length" in note for note in learn.data.notes)
    learn.fit(1)
    assert len(learn.predict([unequal[0], unequal[3]])) == 2


def test_own_network_takes_series_where_a_window_is_given(out):
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(20, 2))
    assert learner(runs(6), out, net, window=10).data.input.kind == "series"


def test_large_values_with_small_changes_keep_their_digits():
    values = 1e5 + np.random.default_rng(0).normal(0, 0.01, (60, 1))
    items = load((values.reshape(3, 20, 1), [0, 1, 0])).splits["train"].x
    fitted = SeriesInput.fit(items)
    assert fitted.double
    batch = fitted.preparation()(fitted.encode(items).gather(torch.arange(3)))["series"]
    assert batch.dtype == torch.float32
    assert 0.8 < batch.std() < 1.2


# Bad input


def test_time_out_of_order_is_sorted_and_told():
    frame = runs(2)
    mixed = pd.concat([frame.iloc[:5], frame.iloc[[7, 6, 5]], frame.iloc[8:]])
    raw = load(mixed)
    assert "1 run with time out of order, sorted: 0" in raw.notes
    np.testing.assert_array_equal(raw.splits["train"].x.runs[0].values[:, 0], frame.x[:30])


def test_a_time_that_comes_twice():
    frame = runs(3)
    frame.loc[35, "time"] = 4
    with pytest.raises(DataError, match=r"unit 1 has one twice in 'time', row 35"):
        load(frame)
    assert any("1 run left out (a time comes once in a run): 1" in note for note in load(frame, on_bad_item="skip").notes)
    with pytest.raises(DataError, match="columns=\\{'unit'"):
        load(runs(2).drop(columns="unit"))


def test_dates_are_times_and_bad_ones_are_named(tmp_path):
    frame = runs(2)
    frame["time"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(frame.time, unit="min")
    write(frame, tmp_path / "dated.csv")
    raw = load(tmp_path / "dated.csv", window=10)
    assert raw.splits["train"].x.begins()[1].startswith("2024-01-01 00:10")
    frame.loc[3, "time"] = None
    with pytest.raises(DataError, match="Every row must have a time. .*row 3"):
        load(frame)


def test_windows_of_a_single_run_are_not_split_at_random(out):
    frame = runs(1).assign(label=[0, 1] * 15).drop(columns="unit")
    with pytest.raises(DataError, match="keeps each run whole"):
        learner(frame, out, window=5, stride=1)
    assert learner(frame, out, window=5, stride=1, validation_split=None).data.sizes == {"train": 26}


def test_a_unit_in_two_splits_is_told():
    frame = runs(4)
    frame["split"] = np.where(frame.time < 20, "train", "test")
    assert any("4 unit in train and in test" in note for note in load(frame, window=5).notes)


def test_constant_sensors_are_kept_and_told(out):
    learn = learner(runs(8, const=7.0), out, window=10)
    assert any("1 of 3 sensors constant in training, kept: const" in note for note in learn.data.notes)
    moved = np.full((10, 3), 1e6)
    shown = learn.data.input.preparation()(learn.data.input.encode(learn.data.input.as_items(moved)).gather(torch.tensor([0])))
    assert shown["series"].abs().max() == 8


def test_infinite_values_are_named(tmp_path):
    folder = class_folder(tmp_path / "vibration")
    bad = pd.read_csv(folder / "outer" / "1.csv")
    bad.loc[4, "z"] = np.inf
    write(bad, folder / "outer" / "1.csv")
    with pytest.raises(DataError, match="outer/1.csv holds an infinite value in 'z', row 4"):
        load(folder)
    raw = load(folder, on_bad_item="skip")
    assert len(raw.splits["train"]) == 5
    assert "1 run left out (sensors must be finite): outer/1.csv" in raw.notes


def test_a_word_among_numbers_is_named(tmp_path):
    folder = class_folder(tmp_path / "vibration")
    file = folder / "inner" / "2.csv"
    file.write_text(file.read_text().replace("0.4,", "0.4,off", 1))
    with pytest.raises(DataError, match=r"'x' holds numbers.*row 4.*inner/2.csv"):
        load(folder)


def test_a_run_shorter_than_the_window():
    frame = runs(3)
    frame = frame[(frame.unit != 1) | (frame.time < 4)]
    with pytest.raises(DataError, match="1 has 4 steps, the window 8"):
        load(frame, window=8)
    assert any("left out (a run is at least as long as the window): 1" in note for note in load(frame, window=8, on_bad_item="skip").notes)


def test_runs_with_other_columns(tmp_path):
    folder = class_folder(tmp_path / "vibration")
    write(pd.DataFrame({"time": [0, 1], "x": [1, 2], "zz": [1, 2]}), folder / "outer" / "9.csv")
    with pytest.raises(DataError, match="outer/9.csv lacks 'z'. Is it 'zz'?"):
        load(folder)
    assert any("left out (all runs must have the same sensors)" in note for note in load(folder, on_bad_item="skip").notes)


def test_gaps_take_the_value_before():
    frame = runs(2)
    frame.loc[[0, 5], "x"] = np.nan
    frame.loc[frame.unit == 1, "y"] = np.nan
    raw = load(frame)
    values = raw.splits["train"].x.runs[0].values
    assert values[0, 0] == values[1, 0]
    assert values[5, 0] == values[4, 0]
    batch = SeriesInput.fit(raw.splits["train"].x)
    shown = batch.preparation()(batch.encode(raw.splits["train"].x).gather(torch.tensor([1])))["series"]
    assert (shown[0, :, 1] == 0).all()


@pytest.mark.parametrize(
    ("change", "asked", "error", "says"),
    [
        ({}, {"target": "labl"}, DataError, "Did you mean 'label'"),
        ({}, {"columns": {"time": "tim"}}, DataError, "Did you mean 'time'"),
        ({}, {"columns": {"user": "unit"}}, UnknownNameError, "role in columns 'user'"),
        ({}, {"columns": {"unit": "time"}}, ArgumentError, "Unit and time are two columns"),
        ({"fault": 1}, {}, DataError, "label and fault both could be"),
        ({"label": ["a", "b"] * 60}, {}, DataError, "Give window= to cut it"),
        ({"label": None}, {}, DataError, "Every item must have a label"),
    ],
)
def test_tables_that_cannot_be_read(change, asked, error, says):
    with pytest.raises(error, match=says):
        load(runs().assign(**change), **asked)


def test_a_table_without_targets_or_sensors():
    with pytest.raises(DataError, match="Training needs targets"):
        load(runs().drop(columns="label"))
    with pytest.raises(DataError, match="columns of numbers, its sensors"):
        load(runs()[["unit", "time", "label"]])


# Predicting


def test_predict_says_run_and_start(out, tmp_path):
    learn = learner(runs(8), out, window=10, stride=5)
    learn.fit(1)
    fresh = runs(2, 20, seed=5).drop(columns="label")
    found = learn.predict(fresh)
    assert found.runs == ["0"] * 3 + ["1"] * 3
    assert found.starts == [0, 5, 10] * 2
    assert {"run", "start", "label"} <= set(found[0])
    write(fresh[fresh.unit == 0].drop(columns="unit"), tmp_path / "one.csv")
    same = learn.predict([tmp_path / "one.csv"])
    np.testing.assert_allclose(same.probabilities, found.probabilities[:3], rtol=1e-5)
    assert same.runs == ["one.csv"] * 3
    np.testing.assert_allclose(learn.predict(fresh[["x", "y"]].to_numpy()[:20]).probabilities, same.probabilities, rtol=1e-5)
    with pytest.raises(DataError, match="at least 10 steps"):
        learn.predict(np.zeros((4, 2)))
    with pytest.raises(DataError, match="2 channels here: x, y. Run 0 of 3 came"):
        learn.predict(np.zeros((10, 3)))
    with pytest.raises(DataError, match="no file"):
        learn.predict("nowhere.csv")
    assert learn.evaluate(runs(2, seed=9))["accuracy"] >= 0


def test_channels_are_told_by_their_names(out):
    learn = learner(runs(8), out, window=10)
    same = learn.evaluate(runs(4, seed=9))
    turned = runs(4, seed=9)[["label", "y", "x", "time", "unit"]]
    assert learn.evaluate(turned) == same
    assert learn.evaluate(turned.assign(z=1.0)) == same  # a further sensor is passed over
    with pytest.raises(DataError, match=r"channels of training here: x, y. 'y' is missing; there are: speed, x. Rename or add"):
        learn.evaluate(turned.rename(columns={"y": "speed"}))


def test_anomalies_in_runs_and_rows(out):
    normal = runs(12, 40)
    normal = normal[normal.unit % 2 == 0].drop(columns="label")
    learn = learner(normal, out, "autoencoder", window=16, stride=8, lr=3e-3, quantile=0.9)
    learn.fit(15)
    judged = learn.evaluate(runs(6, 40, seed=3))
    assert judged["auroc"] > 0.8
    found = learn.predict(runs(2, 40, seed=4))
    assert len(found.scores) == 8
    assert found.columns["thresholds"][0] > 0
    with pytest.raises(DataError, match="normal items alone"):
        learner({"train": (np.zeros((4, 8, 1)), [0, 1, 0, 1]), "val": (np.zeros((4, 8, 1)), [0, 0, 0, 0])}, out, "autoencoder")


def test_anomalies_in_a_table(out):
    rng = np.random.default_rng(0)
    base = rng.normal(size=(300, 2))
    table = pd.DataFrame({"a": base[:, 0], "b": base[:, 1], "sum": base.sum(1), "kind": np.where(base[:, 0] > 0, "p", "n")})
    learn = learner(table, out, "autoencoder")
    assert learn.data.input.kind == "table"
    learn.fit(30)
    broken = table.assign(sum=rng.permutation(table["sum"]), label=1).head(100)
    assert learn.evaluate(pd.concat([table.head(100).assign(label=0), broken]))["auroc"] > 0.7
    with pytest.raises(DataError, match="target must name one column"):
        learner(table, out, "autoencoder", target="labl")
    assert learner((base, None), out, "autoencoder").data.input.kind == "table"


# Architectures


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_loss_falls_on_one_batch(name, task):
    if task == "regression" and name not in ("patchtst/tiny", "patchtsmixer/tiny", "lstm", "inception_time/small"):
        pytest.skip("one size of each for numbers")
    if name.startswith("patch"):
        pytest.importorskip("transformers")
    torch.manual_seed(0)
    outputs = 3 if task == "classification" else 1
    net = build(name, SERIES, {"task": task, "outputs": outputs}).net
    model = adapt(net, ("series",))
    waves = torch.sin(torch.arange(20.0)[None, :, None] * (1 + torch.arange(12) % 3)[:, None, None] * 0.4)
    x = {"series": waves + 0.1 * torch.randn(12, 20, 3)}
    target = torch.arange(12) % 3 if task == "classification" else (torch.arange(12) % 3 - 1.0)[:, None]
    loss = torch.nn.CrossEntropyLoss() if task == "classification" else torch.nn.MSELoss()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    values = []
    for _ in range(15):
        optimizer.zero_grad()
        out = model(x, {"target": target})
        values.append(loss(out["logits"], target))
        values[-1].backward()
        optimizer.step()
    assert out["logits"].shape == (12, outputs)
    assert set(out) == {"logits"}  # the loss is the task's
    assert values[-1] < 0.9 * values[0]
    assert model.eval()(x).keys() == out.keys()


@pytest.mark.parametrize("length", [2, 3, 5, 24, 100, 600])
def test_patches_fit_any_length(length):
    patch, stride = patches(length)
    assert 1 <= stride <= patch < length
    if length < 30:
        pytest.importorskip("transformers")
        for name in ("patchtst/tiny", "patchtsmixer/tiny"):
            model = adapt(build(name, {**SERIES, "length": length}, 2).net, ("series",)).eval()
            assert model({"series": torch.randn(2, length, 3)})["logits"].shape == (2, 2)


def test_every_family_builds_without_the_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was tried")

    pytest.importorskip("transformers")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("patchtst/tiny", "patchtsmixer/tiny", "inception_time", "lstm"):
        assert build(name, SERIES, 3).net is not None
    for facts in (SERIES, {"kind": "table", "numbers": 3, "cardinalities": (4,)}, {"kind": "table", "numbers": 0, "cardinalities": (4, 2)}):
        assert build("autoencoder", facts, {"task": "anomaly", "outputs": 1}).net is not None


@pytest.mark.parametrize("name", [*NAMES, "autoencoder", "autoencoder/large"])
def test_facts(name):
    entry = find(name)[1]
    assert entry.inputs[0] == "series"
    if entry.extra:
        pytest.importorskip("transformers")
    assert model_info(name).parameters > 1000


def test_without_the_extra_names_are_listed_and_the_cure_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "patchtst/tiny" in list_models("patchtst*")
    with pytest.raises(MissingPackageError, match="pip install 'fastgpu"):
        build("patchtst/tiny", SERIES, 3)


def test_networks_that_do_not_fit():
    transformers = pytest.importorskip("transformers")
    net = transformers.PatchTSTForPretraining(transformers.PatchTSTConfig(context_length=20, num_input_channels=3, patch_length=4))
    with pytest.raises(ModelError, match="those for classification"):
        adapt(net, ("series",))({"series": torch.randn(2, 20, 3)})
    with pytest.raises(ModelError, match="longer window"):
        build("patchtst/tiny", {**SERIES, "length": 1}, 2)


def test_a_noisy_sensor_does_not_drown_the_others():
    torch.manual_seed(0)
    net = build("autoencoder", {"kind": "series", "channels": 2, "length": 16}, {"task": "anomaly", "outputs": 1}).net
    for _ in range(200):
        net(torch.stack([torch.zeros(8, 16), 3 * torch.randn(8, 16)], 2))
    net.eval()
    odd = torch.stack([torch.ones(1, 16), torch.zeros(1, 16)], 2)
    assert net(odd)["score"] > net(torch.stack([torch.zeros(1, 16), 3 * torch.randn(1, 16)], 2))["score"]
