"""Speech synthesis: from text to sound, and what is refused."""

from __future__ import annotations

import socket

import numpy as np
import pandas as pd
import pytest
import torch
from spoken_tones import RATE, ljspeech, texts, wave

from fastgpu import Learner, zoo
from fastgpu.data.columns import TensorColumns
from fastgpu.data.sources import load
from fastgpu.errors import ArgumentError, BadItemError, DataError
from fastgpu.inputs.characters import CharacterInput
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
    with pytest.raises(ArgumentError, match="written as .wav"):
        results.save(tmp_path / "abc.png")


def test_a_text_sounds_alike_alone_and_beside_others(learn):
    alone = learn.predict("abc").sounds[0]
    np.testing.assert_allclose(learn.predict(["abcdeabcde", "abc"]).sounds[1], alone, atol=1e-4)


def test_what_cannot_be_spoken_is_refused(learn):
    with pytest.raises(DataError, match="'7', 'z', which no training text had"):
        learn.predict("ab7z")
    with pytest.raises(BadItemError, match="must not be empty"):
        learn.predict(["abc", "  "])
    with pytest.raises(DataError, match="Texts to speak are strings"):
        learn.predict([3])


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
    again = mel.invert(spectrogram)
    assert len(again) == len(spectrogram) * 128
    loud = spectrogram > spectrogram.max() - 5
    assert (mel(again[None])[0] - spectrogram)[loud].abs().mean() < 0.8
    assert (mel(torch.zeros_like(again)[None])[0] - spectrogram)[loud].abs().mean() > 5
    assert torch.equal(again, mel.invert(spectrogram))


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
