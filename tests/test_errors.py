"""Every mistake that the documentation names: one line with the rule, what came and what to do; nothing left on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from fastgpu import Learner, errors
from fastgpu.errors import FastGPUError

X = np.random.default_rng(0).random((40, 3, 8, 8), dtype=np.float32)
Y = np.arange(40) % 4


class Items(Dataset):
    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 40

    def __getitem__(self, i):
        return self.item(i)


def picture(path, good=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    if good:
        Image.fromarray((X[0].transpose(1, 2, 0) * 255).astype(np.uint8)).save(path)
    else:
        path.write_bytes(b"\x89PNG\r\n\x1a\nnothing")


@pytest.fixture
def world(tmp_path):
    """Folders and files with something wrong in each."""
    (tmp_path / "empty").mkdir()
    picture(tmp_path / "one" / "a" / "1.png")
    for name in "ab":
        for i in range(6):
            picture(tmp_path / "two" / name / f"{i}.png")
    picture(tmp_path / "two" / "a" / "bad.png", good=False)
    pd.DataFrame({"a": [1, 2, 3], "b": [1, 2, 3]}).to_csv(tmp_path / "plain.csv", index=False)
    pd.DataFrame({"a": [1.0, 2, 3], "label": ["u", None, "v"]}).to_csv(tmp_path / "gaps.csv", index=False)
    (tmp_path / "a_file").write_text("")
    return tmp_path


def flat(classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, classes))


# what is done wrong -> (the call, what the line must say)
MISTAKES = {
    "architecture": (lambda L, w: L("resnt18"), "Unknown architecture 'resnt18'. Did you mean 'resnet18'"),
    "architecture type": (lambda L, w: L(3), "a name of the zoo or a torch.nn.Module. int came"),
    "data name": (lambda L, w: L(data="digit"), "Unknown data set 'digit'. Did you mean 'digits'"),
    "data type": (lambda L, w: L(data=3), "3|int"),
    "loss": (lambda L, w: L(loss="cros_entropy"), "Unknown loss 'cros_entropy'. Did you mean 'cross_entropy'"),
    "loss of another task": (lambda L, w: L(loss="mse"), "'mse' is not a loss of classification. Take one of: cross_entropy"),
    "metric": (lambda L, w: L(metrics="acuracy"), "Unknown metric 'acuracy'. Did you mean 'accuracy'"),
    "metric of another task": (lambda L, w: L(metrics=["mae"]), "'mae' is not a metric of classification"),
    "optimizer": (lambda L, w: L(optimizer="adamm"), "Unknown optimizer 'adamm'. Did you mean 'adam'"),
    "callback": (lambda L, w: L(callbacks="early_stoping"), "Unknown callback 'early_stoping'. Did you mean 'early_stopping'"),
    "callback type": (lambda L, w: L(callbacks=3), "A callback is a name or a Lightning Callback. int came"),
    "logger": (lambda L, w: L(logger="tensorbord"), "Unknown logger 'tensorbord'. Did you mean 'tensorboard'"),
    "keyword": (lambda L, w: L(batchsize=3), "Learner does not take 'batchsize'. Did you mean 'batch_size'"),
    "keyword of fit": (lambda L, w: L().fit(epoch=3), "Learner.fit does not take 'epoch'. Did you mean 'epochs'"),
    "keyword of load": (lambda L, w: Learner.load(L().save(w / "s"), batchsize=3), "load does not take 'batchsize'"),
    "epochs": (lambda L, w: L().fit(0), "epochs is a whole number, at least 1. 0 came"),
    "schedule": (lambda L, w: L().fit(schedule="cosin"), "Unknown schedule 'cosin'. Did you mean 'cosine'"),
    "task": (lambda L, w: L(task="clasification"), "Unknown task 'clasification'. Did you mean 'classification'"),
    "missing path": (lambda L, w: L(data=w / "nothing"), "nothing does not"),
    "empty folder": (lambda L, w: L(data=w / "empty"), "empty holds no folder and no picture"),
    "one class": (lambda L, w: L(data=w / "one"), "needs at least two classes. .*one has one, 'a'"),
    "corrupt picture": (lambda L, w: L(data=w / "two"), r"1 of 10 cannot be read: .*bad.png .*on_bad_item='skip'"),
    "no target column": (lambda L, w: L(data=w / "plain.csv"), "the columns are a, b"),
    "wrong target column": (lambda L, w: L(data=w / "plain.csv", target="bb"), "'bb' came; .*Did you mean 'b'"),
    "gaps in the target": (lambda L, w: L(data=w / "gaps.csv"), "1 of 3 have none: row 1"),
    "labels out of range": (lambda L, w: L(data=((X, Y), (X, Y + 1))), "Labels must be among the 4 classes .* 4 came"),
    "lengths": (lambda L, w: L(data=(X, Y[:-1])), "x has 40 items, y 39"),
    "loader of three": (lambda L, w: L(data=DataLoader(Items(lambda i: (X[i], Y[i], 1)))), r"must yield \(x, y\).* of 3 came"),
    "loader of strings": (lambda L, w: L(data=DataLoader(Items(lambda i: ("a", Y[i])))), "must yield tensors"),
    "loader without targets": (lambda L, w: L(data=DataLoader(Items(lambda i: X[i]))), "Tensor came"),
    "shape": (lambda L, w: L(torch.nn.Linear(5, 4), (X, Y)).fit(), r"got image \(2, 3, 8, 8\) float32 and failed"),
    "outputs": (lambda L, w: L(flat(7), (X, Y)).fit(), r"must give \(items, 4\) numbers.*gave \(2, 7\)"),
    "dtype": (lambda L, w: L(torch.nn.Embedding(5, 4), (X, Y)).fit(), "got image .* float32 and failed"),
    "input kind": (lambda L, w: L("resnet18", pd.DataFrame({"a": range(40), "label": Y})), "resnet18 takes image, the data are table"),
    "precision": (lambda L, w: L(precision="bf15-mixed"), "Unknown precision 'bf15-mixed'. Did you mean 'bf16-mixed'"),
    "devices": (lambda L, w: L(devices=0), "a number above 0"),
    "strategy": (lambda L, w: L(strategy="dpp").fit(), "invalid strategy name: `strategy='dpp'`"),
    "out is a file": (lambda L, w: L(out=w / "a_file").fit(), "folder must be made in .*a_file"),
    "a checkpoint of a long name": (lambda L, w: Learner.load("n" * 300), "There is none at"),
    "no such checkpoint": (lambda L, w: Learner.load(w / "nothing"), "There is none at"),
    "weights of another program": (lambda L, w: Learner.load(plain_safetensors(w)), "holds weights alone"),
    "another architecture": (lambda L, w: Learner.load(L().save(w / "s"), architecture="resnet18"), "saved from 'mlp'. 'resnet18' was asked"),
    "another network": (lambda L, w: Learner.load(L().save(w / "s"), architecture=flat(4)), "differ in .* weights, for example"),
    "data needed": (lambda L, w: Learner.load(L().save(w / "s")).fit(), "was loaded without"),
    "save over a folder": (lambda L, w: L().save(w), "is a folder or a device"),
    "save below a file": (lambda L, w: L().save(w / "a_file" / "s"), "a_file/s. It could not be: what should be its folder is a file"),
    "save where nobody can": (lambda L, w: L().save("/proc/s"), r"to /proc/s. It could not be: [A-Z][a-z ]+\."),
    "save under a long name": (lambda L, w: L().save(w / ("s" * 300)), "It could not be: File name too long"),
    "export into a folder": (lambda L, w: L().export(f"{w}/"), "path is where the file is to be"),
    "a teacher for other items": (lambda L, w: L().distill(torch.nn.Linear(3, 4), 1), "takes the items that the student takes. Linear does not"),
    "a teacher for other classes": (lambda L, w: L().distill(seven(), 1), r"answers in the shape .* \(2, 10\) and \(2, 7\) came"),
    "predictions below a file": (lambda L, w: L().predict(np.zeros((2, 8, 8))).save(w / "a_file" / "s.csv"), "what should be its folder is a file"),
    "predictions without a name": (lambda L, w: L().predict(np.zeros((2, 8, 8))).save(""), "path is where the predictions are to be"),
    "a teacher by its path": (lambda L, w: L().distill("runs/large", 1), "A teacher is a learner or a torch module. str came"),
    "paths in an array": (lambda L, w: L().predict(np.array(["no.png", "none.png"])), "2 of 2 cannot be read: no.png .no such file"),
    "picture to predict": (lambda L, w: L().predict("nothing.png"), "nothing.png .no such file"),
    "thing to predict": (lambda L, w: L().predict(3), "Pictures to predict are files, PIL images or arrays. int came"),
    "no item to predict": (lambda L, w: L().predict([]), "at least one|Nothing came"),
    "NaN in pictures": (lambda L, w: L(data=(np.full_like(X, np.nan), Y)), "must hold finite numbers"),
    "validation split": (lambda L, w: L(validation_split=1.5), "a share between 0 and 1. 1.5 came"),
    "pretrained": (lambda L, w: L("resnet18", pretrained="yes"), "True, False or 'auto'"),
    "class_weight": (lambda L, w: L(class_weight={"x": 2.0}), "Unknown class in class_weight 'x'"),
    "image size": (lambda L, w: L(image_size=0), "number of pixels"),
    "tokenizer": (lambda L, w: L(tokenizer="t.json"), "goes with text"),
    "freezing one layer": (lambda L, w: L(torch.nn.Linear(2, 2), (X[:, 0, 0, :2], Y % 2)).freeze(), "all of it is the head"),
    "lr_find without fit": (lambda L, w: L().lr_find(steps=3), "at least 10 steps"),
}


def seven():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 7))


def plain_safetensors(folder):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, folder / "plain")
    return folder / "plain"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_leaves_nothing(make, out, world, mistake):
    call, match = MISTAKES[mistake]
    there = {p for p in world.rglob("*")}
    with pytest.raises(FastGPUError, match=match) as caught:
        call(make, world)
    assert "\n" not in str(caught.value)
    left = {p for p in world.rglob("*")} - there - {world / "s", world / "plain"}
    assert not left


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_where_there_is_none(make):
    with pytest.raises(errors.DeviceError, match="CUDA was asked for. There is none"):
        make(devices="cuda")


@pytest.mark.parametrize("spoil", ["truncate", "flip", "empty", "text"])
def test_a_spoilt_checkpoint_is_refused(make, tmp_path, spoil):
    learn = make()
    learn.fit(1)
    for path in (learn.save(tmp_path / "saved"), learn.run_dir / "checkpoints" / "last", learn.run_dir / "checkpoints" / "best"):
        whole = path.read_bytes()
        spoilt = {
            "truncate": whole[: len(whole) // 2],
            "flip": whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:],
            "empty": b"",
            "text": b"not a checkpoint at all",
        }[spoil]
        path.write_bytes(spoilt)
        with pytest.raises(errors.CheckpointError, match="truncated or of another kind|was changed since"):
            Learner.load(path)


def test_tampered_facts_are_refused(make, tmp_path):
    path = make().save(tmp_path / "saved")
    path.write_bytes(path.read_bytes().replace(b"mlp", b"mlq"))
    with pytest.raises(errors.CheckpointError, match="was changed since"):
        Learner.load(path)


def test_bad_pictures_are_skipped_named_and_counted(make, world):
    learn = make(data=world / "two", on_bad_item="skip")
    assert learn.data.sizes == {"train": 9, "val": 3}
    assert "skipped 1 unreadable of" in repr(learn.data)
    assert "bad.png" in repr(learn.data)


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting a small file system needs root on Linux")
def test_no_space(tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(full)], check=False, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        learn = Learner("mlp/large", "digits", out=full, report=False, verbose=False)
        with pytest.raises(errors.RunFolderError, match="no space left"):
            learn.fit(1)
        with pytest.raises(errors.RunFolderError, match="no space left"):
            learn.save(full / "model")
        assert not list(full.rglob("*.partial"))
        assert not (full / "model").exists()
        assert len(learn.predict(np.zeros((2, 8, 8), np.uint8))) == 2
    finally:
        subprocess.run(["umount", str(full)], check=True)


def test_a_folder_that_cannot_be_written(make):
    if not Path("/proc/self").exists():
        pytest.skip("/proc is where nobody can write")
    with pytest.raises(errors.RunFolderError, match="folder must be made in /proc/runs"):
        make(out="/proc/runs").fit(1)


def test_every_error_has_the_one_base():
    for name in errors.__all__:
        thing = getattr(errors, name)
        assert name == "nearest" or issubclass(thing, FastGPUError)
