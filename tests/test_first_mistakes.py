"""What a beginner calls wrongly: one line that says what to do."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fastgpu import Predictor
from fastgpu.doctor import Report
from fastgpu.errors import ArgumentError, DataError, FastGPUError, RunFolderError, UnknownKeywordError, UnknownNameError


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda learn: learn.evaluate("validation"), UnknownNameError, "Unknown split or data set 'validation'.* Splits are train, val, test"),
        (lambda learn: learn.interpret("vall"), UnknownNameError, "Did you mean 'val'"),
        (lambda learn: learn.interpret(np.zeros((3, 8, 8))), DataError, r"Items of shape \(3, 8, 8\) came, without targets\. Give \(x, y\)"),
        (lambda learn: learn.evaluate(["a", "b"]), DataError, r"A list of 2 \(str, str\) came, without targets"),
        (lambda learn: learn.prune(0.5, epochs=0), ArgumentError, "Give for example epochs=5"),
        (lambda learn: learn.tune({}, trial=3), UnknownKeywordError, r"^Learner\.tune does not take 'trial'"),
        (lambda learn: learn.export(), UnknownKeywordError, r"^Learner\.export was called wrongly"),
        (lambda learn: type(learn)("mlp", "digits", epochs=3), UnknownKeywordError, "^Learner does not take 'epochs'"),
        (lambda learn: learn.save("/proc/x.safetensors"), RunFolderError, "choose another folder\\.$"),
        (lambda learn: learn.report("x.pdf"), ArgumentError, r"A report is an \.html file. 'x\.pdf' came"),
        (lambda learn: learn.interpret().per_slice(abs), ArgumentError, "the name of a column, or one value an item. <built-in function abs> came"),
        (lambda learn: Predictor("q.onnx"), ArgumentError, r"'q\.onnx' came alone. Call Predictor\.load\(path\)"),
    ],
)
def test_a_line_says_what_to_do(make, call, kind, says):
    learn = make()
    with pytest.raises(kind, match=says) as caught:
        call(learn)
    assert isinstance(caught.value, FastGPUError)
    assert len(str(caught.value)) < 500


def test_a_report_without_a_suffix_gets_one(make, tmp_path):
    assert make().report(tmp_path / "page") == tmp_path / "page.html"
    assert (tmp_path / "page.html").is_file()


def test_the_doctors_columns_are_as_wide_as_the_longest_name():
    names = {"torch": "2.8", "a-package-of-a-long-name": None}
    report = Report(versions=names, devices=(), memory=10**9, disk=10**9, extras=dict.fromkeys(names, True), problems=())
    rows = [line for line in str(report).splitlines() if re.match(r"  (torch|a-package|memory|disk)", line)]
    assert len({re.match(r"  \S+ +", line).end() for line in rows}) == 1
    assert all(re.match(r"  \S+  +\S", line) for line in rows)
