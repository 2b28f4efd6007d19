"""Speech synthesis: from text to sound, and what is refused."""

from __future__ import annotations

import copy
import itertools
import shutil
import socket

import numpy as np
import pandas as pd
import pytest
import torch
from spoken_tones import RATE, ljspeech, texts, wave

from fastgpu import Learner, Predictor, zoo
from fastgpu.answers.spectrograms import mel_filters, sound_of
from fastgpu.data.columns import TensorColumns
from fastgpu.data.sources import load
from fastgpu.errors import ArgumentError, BadItemError, DataError, ExportError, RunFolderError
from fastgpu.export.base import FORMATS, format_of
from fastgpu.export.verify import compare, outputs_of
from fastgpu.inputs.characters import CharacterInput
from fastgpu.nn.adapters import adapt
from fastgpu.nn.adapters.fastspeech2_speaking import spoken
from fastgpu.nn.adapters.speecht5_speaking import drawn
from fastgpu.nn.speech import LogMel
from fastgpu.tasks.synthesis import PAD, Synthesis

sf = pytest.importorskip("soundfile")
pytest.importorskip("transformers")
pytest.importorskip("soxr")

SETTINGS = {"sampling_rate": RATE, "verbose": False, "task": "synthesis"}


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    return ljspeech(tmp_path_factory.mktemp("speech"), 24)


@pytest.fixture(scope="module")
def learn(metadata, tmp_path_factory):
    learn = Learner("fastspeech2/tiny", metadata, out=str(tmp_path_factory.mktemp("out")), **SETTINGS)
    learn.fit(1)
    return learn


def test_the_same_list_serves_both_tasks(metadata):
    raw = load(metadata, task="synthesis")
    assert (raw.kind, raw.task) == ("characters", "synthesis")
    assert raw.splits["train"].x.tolist() == texts(24)
    assert raw.splits["train"].y[0].endswith("clip-000.wav")
    assert load(metadata, kinds=("characters",)).task == "synthesis"


def test_a_sound_comes_back(learn, tmp_path):
    results = learn.predict("Abc")
    row = results[0]
    assert row["sampling_rate"] == RATE
    assert row["sound"].ndim == 1
    assert np.abs(row["sound"]).max() <= 1
    assert results.save(tmp_path / "abc.wav") == [tmp_path / "abc.wav"]
    read, rate = sf.read(tmp_path / "abc.wav")
    assert (len(read), rate) == (len(row["sound"]), RATE)
    assert len(learn.predict(["abc", "ab"]).save(tmp_path / "two.flac")) == 2
    with pytest.raises(ArgumentError, match="saved as .wav, .flac, .ogg. 'abc.png' came"):
        results.save(tmp_path / "abc.png")


def test_a_text_sounds_alike_alone_and_beside_others(learn):
    items, model = learn.data.input.encode(["abcdeabcde", "abc"]), learn.task_module().model.eval()
    with torch.no_grad():
        both, alone = (model(items.gather(torch.tensor(some))) for some in ([0, 1], [1]))
    frames = int(alone["frames"][0])
    assert both["frames"][1] == frames
    np.testing.assert_allclose(both["spectrogram"][1, :frames], alone["spectrogram"][0], atol=1e-4)
    assert len(learn.predict(["abcdeabcde", "abc"]).sounds[1]) == len(learn.predict("abc").sounds[0])


def lively(net):
    """Texts of different length in frames, and statistics that make something of what fills up."""
    torch.manual_seed(0)
    if hasattr(net, "duration_predictor"):
        net.duration_predictor.linear.bias.data.fill_(1.6)
    else:
        net.speech_decoder_postnet.prob_out.weight.data.normal_(0, 0.4)
        net.speech_decoder_postnet.prob_out.bias.data.fill_(-4.0)
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm1d):
            for values in (part.running_mean, part.bias.data):
                values.normal_()
            part.running_var.uniform_(0.5, 2)
    return net


def some_texts():
    lengths = torch.tensor([7, 1, 12, 3, 9, 2])
    mask = torch.arange(13) < lengths[:, None]  # wider than the longest text
    return {"input_ids": torch.randint(1, 9, mask.shape) * mask, "attention_mask": mask}, lengths.tolist()


def alike(out, each):
    """What was spoken in a batch is what was spoken of each text alone."""
    for i, expected in enumerate(each):
        assert out["frames"][i] == out["durations"][i].sum() == len(expected)
        np.testing.assert_allclose(out["spectrogram"][i, : len(expected)], expected, atol=1e-4)
        assert not out["spectrogram"][i, len(expected) :].any()
    assert len(out["frames"].unique()) > 1


@pytest.mark.parametrize(
    "settings", [{}, {"encoder_normalize_before": False}, {"decoder_concat_after": True}, {"speaking_speed": 1.7}, {"mute": True}], ids=str
)
def test_texts_of_a_batch_are_spoken_as_the_library_speaks_each(settings):
    from transformers import FastSpeech2ConformerConfig, FastSpeech2ConformerModel

    settings = dict(settings)
    mute = settings.pop("mute", False)
    small = {f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in (("layers", 2), ("linear_units", 48))}
    config = FastSpeech2ConformerConfig(vocab_size=9, hidden_size=24, **small, **settings)
    net = lively(FastSpeech2ConformerModel(config).eval())
    if mute:  # no character has a frame: then each has one
        net.duration_predictor.linear.bias.data.fill_(-50.0)
    x, lengths = some_texts()
    with torch.no_grad():
        out = adapt(net, tuple(x))(x)
        each = [net(ids[None, :n], return_dict=True).spectrogram[0] for ids, n in zip(x["input_ids"], lengths)]
        alike(out, each)
    assert out["durations"].shape == (len(lengths), max(lengths))
    with torch.no_grad():  # as a graph does it: all at once
        alike({"frames": out["frames"], "durations": out["durations"], "spectrogram": spoken(net, *x.values())[0]}, each)


def test_speecht5_speaks_a_batch_as_the_library_speaks_each(monkeypatch):
    from transformers import SpeechT5Config, SpeechT5ForTextToSpeech

    sizes = {f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in (("layers", 2), ("ffn_dim", 48), ("attention_heads", 2))}
    config = SpeechT5Config(vocab_size=9, pad_token_id=0, hidden_size=24, speech_decoder_prenet_units=32, speaker_embedding_dim=4, **sizes)
    torch.manual_seed(0)
    net = lively(SpeechT5ForTextToSpeech(config).eval())
    prenet = net.speecht5.decoder.prenet
    kept, turn = drawn(prenet), itertools.cycle(range(len(prenet.layers)))
    monkeypatch.setattr(prenet, "_consistent_dropout", lambda x, share: torch.where(kept[: x.shape[1], next(turn)], x, 0) / (1 - share))
    x, lengths = some_texts()
    voice = torch.ones(1, 4)
    with torch.no_grad():
        out = adapt(net, tuple(x))(x)
        alike(out, [net.generate_speech(ids[None, :n], voice) for ids, n in zip(x["input_ids"], lengths)])
    assert 0.4 < kept.float().mean() < 0.6
    assert any(frames < 20 * n for frames, n in zip(out["frames"].tolist(), lengths))  # an end, not the limit


def test_what_cannot_be_spoken_is_refused(learn):
    with pytest.raises(DataError, match="'7', 'z', which no training text had"):
        learn.predict("ab7z")
    with pytest.raises(BadItemError, match="must not be empty"):
        learn.predict(["abc", "  "])
    for item, kind in ((3, "int"), ([3], "int"), (["abc", None], "NoneType")):
        with pytest.raises(DataError, match=f"Texts to speak are strings. {kind} came"):
            learn.predict(item)
    with pytest.raises(DataError, match="at most 200 characters here: four times the longest of training, at least 200. One of 205 came"):
        learn.predict("abcde" * 41)
    with pytest.raises(RunFolderError, match="Predictions must be written to /proc/x.wav. They could not be: [A-Z]"):
        learn.predict("abc").save("/proc/x.wav")
    with pytest.raises(ArgumentError, match="Networks for synthesis give none. Train without one"):
        learn.distill(copy.deepcopy(learn.module), 1)


def test_silent_targets_are_refused_or_skipped(metadata, tmp_path):
    sf.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    paths = [str(metadata.parent / "wavs" / f"clip-{i:03d}.wav") for i in range(6)] + [str(tmp_path / "silent.wav")]
    frame = pd.DataFrame({"path": paths, "text": texts(7)})
    with pytest.raises(BadItemError, match="silent.wav: silent"):
        Learner("fastspeech2/tiny", frame, validation_split=None, out=tmp_path, **SETTINGS)
    learn = Learner("fastspeech2/tiny", frame, validation_split=None, on_bad_item="skip", out=tmp_path, **SETTINGS)
    assert learn.data.sizes == {"train": 6}
    assert any("skipped 1 unreadable of 7" in note for note in learn.data.notes)


@pytest.mark.parametrize("name", ["fastspeech2/tiny", "speecht5/tiny"])
def test_loss_falls_on_one_batch_without_the_network(name, metadata, tmp_path, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("looked for the network"))
    learn = Learner(name, metadata, out=tmp_path, **SETTINGS)
    batch = learn.data.split("train").head(8)
    module = learn.task_module()
    module.model.train()
    optimizer = torch.optim.AdamW(module.parameters(), 2e-3)
    losses = []
    for _ in range(12):
        out, loss = module.task.step(module.model, batch["x"], batch["y"], module.loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.9 * losses[0]
    module.model.eval()
    before = {key: value.clone() for key, value in module.model.state_dict().items()}
    judged, loss = module.task.step(module.model, batch["x"], batch["y"], module.loss)
    assert set(judged) == set(out)
    assert torch.isfinite(loss)
    assert not any(each.training for each in module.model.modules())
    for key, value in module.model.state_dict().items():  # statistics of normalisation too
        assert torch.equal(value, before[key])
    spoken = module.model({key: value[:2] for key, value in batch["x"].items()})
    assert spoken["spectrogram"].shape[-1] == 80
    assert (spoken["frames"] >= 1).all()


@pytest.mark.parametrize("name", [n for family in ("fastspeech2", "speecht5") for n in zoo.list_models(f"{family}/*")])
def test_facts(name):
    info = zoo.model_info(name)
    assert (info.inputs, info.tasks) == (("characters",), ("synthesis",))
    assert info.parameters > 1_000_000
    assert "arXiv" in info.source


def test_frames_are_dealt_out_and_filled_up():
    targets = np.empty(2, dtype=object)
    targets[:] = [(wave("abcd"), RATE), (wave("ab"), RATE)]
    task = Synthesis.fit(targets, sampling_rate=RATE)
    batch = task.encode(targets, CharacterInput.fit(["abcd"]).encode(["abcd", "ab"])).gather(torch.tensor([0, 1]))
    frames = (batch["spectrogram"][..., 0] != PAD).sum(1)
    assert batch["durations"].sum(1).tolist() == frames.tolist() == [30, 15]
    assert batch["durations"][1].tolist() == [7, 8, 0, 0]
    values = batch["spectrogram"][batch["spectrogram"] != PAD]
    assert values.mean().abs() < 1e-4


def test_metric_passes_over_padding():
    task = Synthesis(sampling_rate=RATE, mean=(0.0,) * 80, std=(1.0,) * 80)
    true = torch.zeros(2, 5, 80)
    true[1, 3:] = PAD
    metric = task.metric("mel_l1")
    metric.update(*task.metric_inputs({"spectrogram": torch.full((2, 5, 80), 0.5)}, {"spectrogram": true}))
    assert float(metric.compute()) == 0.5
    assert metric.higher_is_better is False
    with pytest.raises(ValueError, match="mel_l1"):
        task.metric("mel")


def test_a_spectrogram_becomes_its_sound_again():
    mel = LogMel(RATE, 80, hop=128, window=512)
    original = torch.from_numpy(wave("abcde", 0.3))
    spectrogram = mel(original[None])[0]
    sound = sound_of(spectrogram.numpy(), RATE, hop=128, window=512)
    again = torch.from_numpy(sound)
    assert (again.shape, again.dtype) == ((len(spectrogram) * 128,), torch.float32)
    loud = spectrogram > spectrogram.max() - 5
    assert (mel(again[None])[0] - spectrogram)[loud].abs().mean() < 0.8
    assert (mel(torch.zeros_like(again)[None])[0] - spectrogram)[loud].abs().mean() > 5
    assert np.array_equal(sound, sound_of(spectrogram.numpy(), RATE, hop=128, window=512))


@pytest.mark.parametrize(("rate", "mels", "size"), [(16000, 80, 1024), (8000, 80, 512), (22050, 80, 2048), (16000, 40, 512)])
def test_filters_are_those_of_transformers(rate, mels, size):
    from transformers.audio_utils import mel_filter_bank

    expected = mel_filter_bank(size // 2 + 1, mels, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(mel_filters(rate, mels, size), expected, atol=1e-9)


def test_a_text_whose_durations_differ_is_compared_by_these_alone():
    task = Synthesis(sampling_rate=RATE, mean=(0.0,) * 80, std=(1.0,) * 80)
    expected = {"durations": np.array([[2, 1], [3, 0]]), "frames": np.array([3, 3]), "spectrogram": np.ones((2, 3, 80), np.float32)}
    longer = {
        "durations": np.array([[2, 1], [4, 0]]),
        "frames": np.array([3, 4]),
        "spectrogram": np.pad(expected["spectrogram"], ((0, 0), (0, 1), (0, 0))) * np.float32([[[1.1]], [[9]]]),
    }
    for pair in ((longer, expected), (expected, longer)):
        sides = task.aligned(*pair)
        agreement = compare(*([side] for side in sides))
        assert agreement.disagree == {"durations": 1 / 7}
        assert agreement.largest == pytest.approx(0.1, rel=0.1)
    apart = task.aligned({**expected, "durations": np.array([[1, 2], [2, 1]])}, expected)
    assert compare(*([side] for side in apart)).disagree == {"durations": 0.5}
    assert compare([expected], [expected]).largest == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "suffix"), [("fastspeech2/tiny", ".onnx"), ("fastspeech2/tiny", ".xml"), ("speecht5/tiny", ".onnx"), ("speecht5/tiny", ".pt2")]
)
def test_an_exported_network_speaks_texts_of_any_length(name, suffix, metadata, tmp_path):
    if suffix == ".xml":
        pytest.importorskip("openvino")
    format = FORMATS[format_of(tmp_path / f"voice{suffix}", None)[1]]
    learn = Learner(name, metadata, out=tmp_path / "runs", **SETTINGS)
    lively(learn.module)
    if name.startswith("speecht5"):
        learn.module.speech_decoder_postnet.prob_out.bias.data.fill_(-8.0)
    made = learn.export(tmp_path / f"voice{suffix}")
    assert made.certificate["largest_difference"] < 1e-4
    assert made.certificate["disagree"] == {"durations": 0}
    assert made.certificate["metrics"] == {}
    items = learn.data.input.encode(["a", "abcdeabcde" * 5, "ed", "abc"])
    parts = [items.gather(torch.tensor(some)) for some in ([0], [1], [0, 1, 2, 3], [2, 0])]
    x = [{name: value.numpy() for name, value in part.items()} for part in parts]
    for found, part in zip(outputs_of(format, made.path, x), parts):
        expected = learn.data.task.in_graph(learn.task_module().model.eval(), part)
        assert sorted(found) == ["durations", "frames", "spectrogram"]
        assert len(set(found["frames"])) == len(found["frames"])
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value.detach().numpy(), atol=1e-4)
    if suffix == ".onnx":
        predictor = Predictor.load(made, threads=1)
        assert predictor.facts["batch_size"] == 4
        assert predictor.predict("Abc").save(tmp_path / "abc.wav") == [tmp_path / "abc.wav"]
        assert len(sf.read(tmp_path / "abc.wav")[0]) == len(learn.predict("Abc").sounds[0])
        with pytest.raises(DataError, match="'7', which no training text had"):
            predictor.predict("ab7")


@pytest.mark.slow
def test_what_is_not_compiled_ahead_of_time_says_so_in_one_line(learn, tmp_path):
    if not shutil.which("g++"):
        pytest.skip("there is no compiler")
    with pytest.raises(ExportError, match="For aoti each length must have a bound. .* for some of FastSpeech2.* follow from values"):
        learn.export(tmp_path / "voice.aoti.pt2")
    assert not list(tmp_path.glob("voice*"))


@pytest.mark.slow
def test_a_quantized_network_is_exported(metadata, tmp_path):
    learn = Learner("fastspeech2/tiny", metadata, out=tmp_path / "runs", report=False, **SETTINGS)
    learn.fit(1)
    learn.quantize(max_drop=100)
    made = learn.export(tmp_path / "voice.onnx")
    assert made.certificate["precision"] in ("int8", "float32")
    assert len(Predictor.load(made, threads=1).predict(["abc", "de"]).sounds) == 2


def test_sampling_rate_is_checked():
    with pytest.raises(ArgumentError, match="8,000 samples a second"):
        Synthesis.fit(np.array(["x.wav"], dtype=object), sampling_rate=4000)


def test_columns_of_a_loader_are_drawn_too():
    input = CharacterInput.fit(["ab$"])
    batch = input.encode(["b$"]).gather(torch.tensor([0]))
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    input.draw(axes, TensorColumns(batch), 0)
    assert axes.texts[0].get_text() == r"b\$"
