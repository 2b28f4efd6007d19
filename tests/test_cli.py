"""The command line: the verbs on real data, one line and a status for wrong calls, and a `--help` without torch."""

import csv
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from comparing import heed_interrupts
from PIL import Image

from fastgpu.cli import main
from fastgpu.cli.options import keywords, shrinking
from fastgpu.doctor import Report, examine, known_bad

RUN = [sys.executable, "-c", "import sys; from fastgpu.cli import main; sys.exit(main())"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder of `mlp` on a table, the table's file, and what was printed."""
    folder = tmp_path_factory.mktemp("houses")
    rows = [(i % 7, "abc"[i % 3], 3.0 * (i % 7) + "abc".index("abc"[i % 3])) for i in range(200)]
    _write(folder / "houses.csv", ["rooms", "place", "price"], rows)
    table, out = folder / "houses.csv", folder / "runs"
    assert main(["fit", "mlp", str(table), "--target", "price", "--epochs", "2", "--out", str(out)]) == 0
    return out / "mlp-houses", table


def _write(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def _pictures(folder, number=12):
    for name, value in (("dark", 20), ("light", 230)):
        (folder / name).mkdir(parents=True)
        for i in range(number):
            Image.new("L", (8, 8), value + i).save(folder / name / f"{i}.png")
    return folder


def test_fit_takes_every_keyword_of_the_learner_by_its_name():
    call = "fit mlp digits --epochs=2 --batch-size 128 --metrics accuracy,f1 --lr 1e-2 --seed=3 --validation-split 0.3"
    assert main([*call.split(), "--name", "mine", "--schedule", "cosine", "--no-verbose"]) == 0
    args = yaml.safe_load(Path("runs/mine/args.yaml").read_text())
    assert (args["batch_size"], args["metrics"], args["lr"], args["seed"]) == (128, ["accuracy", "f1"], 0.01, 3)
    assert (args["validation_split"], args["verbose"]) == (0.3, False)
    with open("runs/mine/history.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert "val_f1" in rows[0]


def test_keywords_are_those_of_the_learner():
    import inspect

    from fastgpu import Learner
    from fastgpu.callbacks import Pruning

    found = {Learner.__init__: keywords("__init__"), Learner.fit: keywords("fit")}
    found |= {getattr(Learner, verb): shrinking(verb) for verb in ("prune", "quantize", "compress", "distill", "export", "benchmark")}
    for call, read in found.items():
        with_default = {n: p.default for n, p in inspect.signature(call).parameters.items() if p.default is not p.empty}
        assert {name: keyword.default for name, keyword in read.items()} == with_default
        assert all(keyword.words for keyword in read.values())
    of_callback = keywords("__init__", "callbacks/pruning.py", "Pruning")
    with_default = {n: p.default for n, p in inspect.signature(Pruning).parameters.items() if p.default is not p.empty}
    assert {name: keyword.default for name, keyword in of_callback.items()} == with_default


def test_config_gives_arguments_and_the_command_line_wins(capsys):
    assert main(["fit", "mlp", "digits", "--name", "first", "--lr", "0.003", "--class-weight", "balanced"]) == 0
    assert main(["fit", "--config", "runs/first/args.yaml", "--name", "second", "--seed", "5"]) == 0
    args = yaml.safe_load(Path("runs/second/args.yaml").read_text())
    assert (args["lr"], args["class_weight"], args["seed"], args["name"]) == (0.003, "balanced", 5, "second")
    Path("wrong.yaml").write_text("architecture: mlp\nepoch: 3\n")
    assert main(["fit", "--config", "wrong.yaml"]) == 2
    assert "Did you mean 'epochs'?" in capsys.readouterr().err


def test_evaluate_without_data_uses_the_validation_items_of_training(capsys):
    assert main(["fit", "mlp", "digits", "--epochs", "2", "--name", "run"]) == 0
    with open("runs/run/history.csv") as file:
        best = max(float(row["val_accuracy"]) for row in csv.DictReader(file))
    capsys.readouterr()
    assert main(["evaluate", "runs/run"]) == 0
    shown = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert float(shown["accuracy"]) == pytest.approx(best, abs=1e-4)
    assert set(shown) == {"loss", "accuracy"}


def test_evaluate_and_predict_a_table(trained, capsys):
    run, table = trained
    capsys.readouterr()
    assert main(["evaluate", str(run), str(table)]) == 0
    assert re.search(r"^mae +\d", capsys.readouterr().out, re.M)
    assert main(["predict", str(run), str(table)]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert len(rows) == 200
    assert list(rows[0]) == ["item", "price"]


def test_predict_pictures_in_the_order_given(capsys):
    photos = _pictures(Path("photos"))
    assert main(["fit", "mlp", str(photos), "--epochs", "15", "--lr", "0.01", "--name", "photos"]) == 0
    asked = ["photos/light/3.png", "photos/dark/1.png"]
    assert main(["predict", "runs/photos", *asked, "photos/dark", "--out", "out.csv"]) == 0
    with open("out.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["item"] for row in rows[:2]] == asked
    assert [row["label"] for row in rows] == ["light"] + ["dark"] * 13
    assert 0 <= float(rows[0]["p_dark"]) <= 1
    assert "14 predictions in out.csv" in capsys.readouterr().out


def test_predict_texts_from_the_shell_and_from_a_file(capsys):
    texts = [("a fine and good day", "good"), ("a bad and sad day", "bad")] * 20
    _write("reviews.csv", ["text", "label"], [(f"{t} {i % 5}", label) for i, (t, label) in enumerate(texts)])
    assert main(["fit", "text_bag", "reviews.csv", "--epochs", "2", "--name", "run"]) == 0
    capsys.readouterr()
    assert main(["predict", "runs/run", "a good day", "a sad day"]) == 0
    assert [row["item"] for row in csv.DictReader(capsys.readouterr().out.splitlines())] == ["a good day", "a sad day"]
    assert main(["predict", "runs/run", "reviews.csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 41


def test_models_lists_and_tells_facts(capsys):
    assert main(["models", "resnet1*"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert "resnet18" in listed
    assert main(["models", "--input", "text"]) == 0
    assert "text_bag" in capsys.readouterr().out.splitlines()
    assert main(["models", "mlp"]) == 0
    assert re.search(r"parameters +[\d,]+", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("fti mlp digits", "Unknown command 'fti'. Did you mean 'fit'"),
        ("fit mlp digits --epoch 3", "Unknown option --epoch of fastgpu fit. Did you mean --epochs"),
        ("fit mlp digits --epochs five", "--epochs takes a whole number. 'five' came"),
        ("fit mlp digits --clip high", "--clip takes a number or none. 'high' came"),
        ("fit mlp digits --class-weight {", "as YAML"),
        ("fit mlp digits --epochs 0", "epochs is a whole number, at least 1"),
        ("fit mlp digits --lr fast", "lr is 'auto' or a number above 0"),
        ("fit mlp", "No data came"),
        ("fit mlp digits more", "unexpected extra argument"),
        ("fit mlpp digits", "Did you mean 'mlp'"),
        ("fit mlp digitz", "Did you mean 'digits'"),
        ("fit mlp nowhere/at/all", "A path must lead to a file or folder"),
        ("fit mlp digits --optimizer adamm", "Did you mean 'adam"),
        ("fit mlp digits --config none.yaml", "No such file"),
        ("evaluate", "Missing argument 'MODEL'"),
        ("evaluate runs/none", "runs/none"),
        ("predict none.onnx x.png --out /dev/null/no/where.csv", "--out must be a file that can be written"),
        ("models resnet1 --task classification", "No architecture matches"),
        ("models resnet81", "Did you mean"),
        ("models --task clasification", "Did you mean 'classification'"),
    ],
)
def test_a_wrong_call_is_one_line_and_status_2(call, says, capsys):
    assert main(call.split()) == 2
    out, err = capsys.readouterr()
    assert says in err
    assert len(err.splitlines()) == 1
    assert err.startswith("fastgpu: ")
    assert not Path("runs").exists()


def test_a_fit_that_fails_while_it_runs_is_status_1(capsys):
    assert main(["fit", "mlp", "digits", "--lr", "1e30", "--optimizer", "sgd", "--epochs", "3"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_wrong_table_of_items_is_told(trained, capsys):
    assert main(["predict", str(trained[0]), "none.csv"]) == 2
    assert main(["predict", str(trained[0]), "1", "2"]) == 2
    err = capsys.readouterr().err
    assert "A path must lead to a file" in err
    assert "Rows to predict come in one CSV, Parquet or JSON Lines file. 1 2 came" in err


def test_help_version_and_wrong_calls_load_no_torch():
    code = "import sys; from fastgpu.cli import main; rc = main(sys.argv[1:]); sys.exit(9 if 'torch' in sys.modules else rc)"
    right = ("--version", "--help", "fit --help", "")
    wrong = ("fti", "fit --epohs 3", "fit mlp", "evaluate runs/none", "predict none x.png", "prune none", "export none --out a.onnx")
    for call, status in [*((call, 0) for call in right), *((call, 2) for call in wrong)]:
        done = subprocess.run([sys.executable, "-c", code, *call.split()], capture_output=True, text=True)
        assert done.returncode == status, (call, done.stderr)
    for command in ("fit", "evaluate", "predict", "models", "doctor"):
        done = subprocess.run([*RUN, command, "--help"], capture_output=True, text=True)
        assert f"fastgpu {command}" in done.stdout.partition("Examples:")[2]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_ends_with_130_and_the_run_can_be_resumed():
    process = subprocess.Popen([*RUN, "fit", "mlp", "digits", "--epochs", "3000"], stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if " 3/3000 " in line:
            process.send_signal(signal.SIGINT)
            break
    lines += process.stdout.readlines()
    process.stdout.close()
    assert process.wait() == 130
    assert any(line.startswith("interrupted: ") for line in lines)
    assert lines[-1].strip() == "in a shell: fastgpu fit mlp digits --epochs 3000 --resume runs/mlp-digits"
    assert Path("runs/mlp-digits/checkpoints/last").is_file()


@pytest.fixture
def stops(monkeypatch):
    """A callback of the name `stops`: Ctrl-C in the epoch that was asked for, once, counted over all fits."""
    from lightning.pytorch import Callback

    from fastgpu.callbacks.base import CALLBACKS

    begun = []

    class Stops(Callback):
        epoch = 0

        def on_train_epoch_start(self, trainer, module):
            begun.append(module.epoch)

        def on_train_batch_end(self, trainer, module, *rest):
            if len(begun) == self.epoch + 1 and begun[-1] is not None:
                begun[-1] = None
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setitem(CALLBACKS._load(), "stops", Stops)
    return Stops


@pytest.mark.parametrize("epoch", [0, 1])
def test_the_command_that_ctrl_c_prints_finishes_the_fit(epoch, stops, capsys):
    stops.epoch = epoch
    call = ["fit", "mlp", "digits", "--epochs", "2", "--name", "run", "--no-report", "--callbacks", "stops"]
    assert main(call) == 130
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == f"in a shell: fastgpu {' '.join(call)} --resume runs/run"
    assert main(shlex.split(line.partition("fastgpu ")[2])) == 0
    assert main([*call[:6], "whole", *call[7:]]) == 0
    run, whole = ([line.split(",")[:4] for line in Path(f"runs/{name}/history.csv").read_text().splitlines()] for name in ("run", "whole"))
    assert len(run) == 3
    assert run == whole, "as if there had been no interrupt"


def test_ctrl_c_ends_a_search_with_130(stops, capsys):
    stops.epoch = 1
    call = "tune mlp digits --search lr=0.001,0.01 --trials 3 --epochs 1 --callbacks stops --no-report"
    assert main(call.split()) == 130
    assert "run folder: runs/mlp-digits-tune/trial-01" in capsys.readouterr().out


def test_a_network_that_stays_as_it_came_is_not_saved(monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("fastgpu.quantizing._pays", lambda *_: False)
    assert main(["fit", "mlp", "digits", "--no-report"]) == 0
    assert main(["quantize", "runs/mlp-digits", "--candidates", "all"]) == 0
    assert capsys.readouterr().out.endswith("the network is as it came: quantized.safetensors is not written\n")
    assert not Path("quantized.safetensors").exists()


@pytest.mark.slow
def test_a_run_that_is_shrunk_stays_as_it_was_and_another_has_the_report():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch_pruning")
    assert main(["fit", "mlp", "digits"]) == 0
    before = {path: path.read_bytes() for path in Path("runs/mlp-digits").rglob("*") if path.is_file()}
    assert main(["quantize", "runs/mlp-digits", "--candidates", "all"]) == 0
    assert main(["prune", "runs/mlp-digits", "--epochs", "1"]) == 0
    assert {path: path.read_bytes() for path in Path("runs/mlp-digits").rglob("*") if path.is_file()} == before
    assert [path.parent.name for path in Path("runs").glob("*/report.html") if "Compression" in path.read_text()] == ["mlp-digits-2"]


def test_doctor_reports_this_machine(capsys):
    report = examine()
    assert main(["doctor"]) == (1 if report.problems else 0)
    shown = capsys.readouterr().out
    for word in ("python", "torch", "lightning", "CPU", "memory", "disk", "pyarrow"):
        assert word in shown


def test_doctor_knows_bad_versions():
    good = {"torch": "2.15.0+cu132", "lightning": "2.6.6", "pytorch-lightning": "2.6.6", "torchaudio": None}
    assert known_bad(good) == []
    assert ["malicious" in line for line in known_bad({**good, "lightning": "2.6.3"})] == [True]
    assert ["malicious" in line for line in known_bad({**good, "pytorch-lightning": "2.6.2"})] == [True]
    assert "pip uninstall torchaudio" in known_bad({**good, "torchaudio": "2.11.0"})[0]


def test_doctor_names_a_torchvision_that_does_not_match(tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    problems = examine().problems
    assert any("operator torchvision::nms does not exist" in line and "torch torchvision" in line for line in problems)


def test_a_report_with_problems_says_so():
    found = {"versions": {"torch": None}, "devices": ("CPU, 1 core",), "memory": None, "disk": 10**9}
    report = Report(**found, extras={"pyarrow": False}, problems=("x",))
    assert "not installed" in str(report)
    assert "pip install 'fastgpu[data]'" in str(report)
    assert str(report).endswith("problems\n  x")
