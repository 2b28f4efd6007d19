"""Speech recognition: formats, what is refused, every architecture."""

from __future__ import annotations

import json
import socket

import numpy as np
import pandas as pd
import pytest
import torch
from spoken_tones import RATE, ljspeech, texts, wave

from fastgpu import Learner, zoo
from fastgpu.data.sources import load
from fastgpu.data.sources.speech import spoken
from fastgpu.errors import BadItemError, DataError, UnknownNameError
from fastgpu.inputs.audio import AudioInput
from fastgpu.nn.adapters.base import adapt
from fastgpu.tasks.recognition import Recognition

sf = pytest.importorskip("soundfile")
pytest.importorskip("transformers")
pytest.importorskip("soxr")

SMALL = ("parakeet_ctc/tiny", "wav2vec2/tiny", "whisper/nano")


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    return ljspeech(tmp_path_factory.mktemp("speech"), 24)


def bad_row(metadata, tmp_path, samples, text="abc", rate=RATE, name="bad.wav"):
    """A list of three good rows and a bad one in row 4."""
    rows = [{"audio_filepath": str(metadata.parent / "wavs" / f"clip-{i:03d}.wav"), "text": t} for i, t in enumerate(texts(3))]
    if samples is not None:
        sf.write(tmp_path / name, samples, rate)
    rows.append({"audio_filepath": name, "text": text})
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


class TestFormats:
    def test_ljspeech_is_known_without_being_asked_for(self, metadata):
        for given in (metadata, metadata.parent):
            raw = load(given)
            assert (raw.kind, raw.task, len(raw.splits["train"])) == ("audio", "recognition", 24)
            assert raw.splits["train"].y.tolist() == texts(24)
            assert any("minutes of speech, at 8,000 samples a second" in note for note in raw.notes)

    def test_nemo_folder_with_splits(self, metadata, tmp_path):
        lines = [json.dumps({"audio_filepath": str(metadata.parent / "wavs" / f"clip-{i:03d}.wav"), "text": t, "duration": 1.0})
                 for i, t in enumerate(texts(8))]  # fmt: skip
        (tmp_path / "train_manifest.json").write_text("\n".join(lines[:6]), encoding="utf-8")
        (tmp_path / "val_manifest.json").write_text("\n".join(lines[6:]), encoding="utf-8")
        raw = load(tmp_path, task="recognition")
        assert {name: len(items) for name, items in raw.splits.items()} == {"train": 6, "val": 2}

    def test_csv_with_columns_splits_and_speakers(self, metadata, tmp_path):
        frame = pd.DataFrame({"clip": [f"clip-{i:03d}.wav" for i in range(8)], "said": texts(8), "speaker": list("aabbccdd")})
        frame["split"] = ["train"] * 6 + ["test"] * 2
        frame.to_csv(metadata.parent / "list.csv", index=False)
        raw = load(metadata.parent / "list.csv", kinds=("audio",), columns={"path": "clip", "text": "said"})
        assert {name: len(items) for name, items in raw.splits.items()} == {"train": 6, "test": 2}
        assert raw.splits["train"].group.tolist() == list("aabbcc")
        (metadata.parent / "list.csv").unlink()

    def test_data_frame(self, metadata):
        frame = pd.DataFrame({"path": [str(metadata.parent / "wavs" / "clip-000.wav")] * 3, "text": ["abc"] * 3})
        assert len(load(frame, task="recognition").splits["train"]) == 3

    def test_a_speaker_is_on_one_side_alone(self, metadata, tmp_path):
        paths = [str(metadata.parent / "wavs" / f"clip-{i:03d}.wav") for i in range(12)]
        frame = pd.DataFrame({"path": paths, "text": texts(12), "speaker": list("aaabbbcccddd")})
        learn = Learner("parakeet_ctc/tiny", frame, sampling_rate=RATE, out=tmp_path, report=False, verbose=False)
        assert learn.data.sizes == {"train": 9, "val": 3}

    def test_what_is_heard_of_a_text(self):
        assert spoken("It\N{RIGHT SINGLE QUOTATION MARK}s 'quoted' \N{EN DASH} Ä B-C.") == "it's quoted ä b c"


class TestBadInput:
    @pytest.mark.parametrize(
        ("samples", "text", "rate", "says"),
        [
            (None, "abc", RATE, r"train.jsonl row 4: .*bad.wav: no such file"),
            (wave("abc"), "", RATE, r"train.jsonl row 4: has no transcript"),
            (wave("abc"), "...", RATE, r"row 4: has no transcript"),
            (wave("abc"), "abcde" * 10, RATE, r"row 4: 50 characters in 0.36 seconds, more than can be aligned \(25 a second\)"),
            (wave("abc", rate=4000), "abc", 4000, r"row 4: .*4,000 samples a second, speech needs 8,000"),
            (np.zeros(3 * 3600 * 8000, np.int8), "abc", RATE, r"row 4: .*lasts 3:00:00 hours, the limit is 60 seconds: cut it"),
            (wave("abc")[:100], "a", RATE, r"row 4: .*lasts 0.01 seconds, at least 0.1"),
        ],
    )
    def test_rows_are_named_or_left_out(self, metadata, tmp_path, samples, text, rate, says):
        path = bad_row(metadata, tmp_path, None if samples is not None and samples.dtype == np.int8 else samples, text, rate)
        if samples is not None and samples.dtype == np.int8:  # three hours of 8 bits
            sf.write(tmp_path / "bad.wav", samples.astype(np.int16), rate, subtype="PCM_U8")
        with pytest.raises(DataError, match=says):
            load(path)
        raw = load(path, on_bad_item="skip")
        assert len(raw.splits["train"]) == 3
        assert any("1 row of 4 left out: train.jsonl row 4" in note for note in raw.notes)

    def test_corrupt_file(self, metadata, tmp_path):
        path = bad_row(metadata, tmp_path, None)
        (tmp_path / "bad.wav").write_bytes(b"RIFFxxxxWAVE" + b"\0" * 50)
        with pytest.raises(DataError, match=r"row 4: .*bad.wav: no readable sound"):
            load(path)

    def test_silence_is_refused_or_skipped(self, metadata, tmp_path):
        path = bad_row(metadata, tmp_path, np.zeros(RATE, np.float32))
        settings = dict(sampling_rate=RATE, out=tmp_path, report=False, verbose=False, validation_split=None)
        with pytest.raises(BadItemError, match=r"1 of 4 is not: .*bad.wav: silent"):
            Learner("parakeet_ctc/tiny", path, **settings)
        learn = Learner("parakeet_ctc/tiny", path, on_bad_item="skip", **settings)
        assert learn.data.sizes == {"train": 3}
        assert any("skipped 1 unreadable of 4 in train" in note for note in learn.data.notes)

    def test_stereo_is_mixed_down_and_told(self, metadata, tmp_path):
        path = bad_row(metadata, tmp_path, np.stack([wave("abc"), wave("abc")], 1))
        raw = load(path)
        assert "1 recording of several channels mixed down to one" in raw.notes
        assert AudioInput.fit(raw.splits["train"].x, sampling_rate=RATE).encode(raw.splits["train"].x).lengths[3] == len(wave("abc"))

    def test_broken_lists(self, tmp_path, metadata):
        (tmp_path / "a.jsonl").write_text('{"audio_filepath": "x.wav", "text": "a"}\nnonsense\n', encoding="utf-8")
        with pytest.raises(DataError, match="a.jsonl row 2 is 'nonsense'"):
            load(tmp_path / "a.jsonl")
        (tmp_path / "b.csv").write_bytes(b"path,text\nx.wav,\xff\xfe\n")
        with pytest.raises(DataError, match="must be UTF-8 text"):
            load(tmp_path / "b.csv", task="recognition")
        pd.DataFrame({"a": ["x.wav"], "b": ["y"]}).to_csv(tmp_path / "c.csv", index=False)
        with pytest.raises(DataError, match="has a column of paths"):
            load(tmp_path / "c.csv", task="recognition")
        with pytest.raises(DataError, match="Did you mean 'a'"):
            load(tmp_path / "c.csv", task="recognition", columns={"path": "aa", "text": "b"})
        (tmp_path / "empty").mkdir()
        with pytest.raises(DataError, match="A folder of recordings has a list"):
            load(tmp_path / "empty", task="recognition")

    def test_predict_refuses_what_it_cannot_hear(self, metadata, tmp_path):
        learn = Learner("parakeet_ctc/tiny", metadata, sampling_rate=RATE, out=tmp_path, report=False, verbose=False)
        with pytest.raises(DataError, match="no such file"):
            learn.predict("nowhere.wav")
        with pytest.raises(DataError, match="silent"):
            learn.predict((np.zeros(RATE), RATE))
        with pytest.raises(DataError, match="NaN"):
            learn.predict(np.full(RATE, np.nan))
        with pytest.raises(DataError, match="4,000 samples a second"):
            learn.predict((wave("abc", rate=4000), 4000))
        with pytest.raises(DataError, match="Recordings are sound files or arrays"):
            learn.predict(3)
        with pytest.raises(DataError, match="predict needs at least one item"):
            learn.predict([])
        assert len(learn.predict(metadata.parent / "wavs")) == 24


class TestArchitectures:
    @pytest.mark.parametrize("name", SMALL)
    def test_loss_falls_on_one_batch_without_the_network(self, name, metadata, tmp_path, monkeypatch):
        monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("looked for the network"))
        learn = Learner(name, metadata, sampling_rate=RATE, out=tmp_path, report=False, verbose=False)
        batch = learn.data.split("train").head(8)
        module = learn.task_module()
        module.model.train()
        x, optimizer = module.preparation(batch["x"]), torch.optim.AdamW(module.parameters(), 1e-3)
        losses = []
        for _ in range(15):
            out, loss = module.task.step(module.model, x, batch["y"], module.loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert np.mean(losses[-3:]) < 0.7 * losses[0]
        assert all(p.grad is not None for p in module.parameters() if p.requires_grad)  # processes wait for each
        module.model.eval()
        assert set(module.model(x, batch["y"])) == set(out)

    @pytest.mark.parametrize("name", [n for family in ("parakeet_ctc", "wav2vec2", "whisper") for n in zoo.list_models(f"{family}/*")])
    def test_facts(self, name):
        info = zoo.model_info(name)
        assert (info.inputs, info.tasks) == (("audio",), ("recognition",))
        assert info.parameters > 500_000
        assert "arXiv" in info.source

    @pytest.mark.parametrize("name", SMALL)
    def test_a_folder_with_a_checkpoint_is_an_architecture(self, name, metadata, tmp_path, capsys):
        trained = Learner(name, metadata, sampling_rate=RATE, out=tmp_path, report=False, verbose=False)
        trained.module.save_pretrained(tmp_path / "heard")
        (tmp_path / "heard" / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": RATE}))
        characters = trained.data.task.characters
        if name.startswith("wav2vec2"):
            rows = {"<pad>": 0, "<s>": 1, **{"|" if c == " " else c.upper(): i + 2 for i, c in enumerate(characters)}}
            (tmp_path / "heard" / "vocab.json").write_text(json.dumps(rows))
        capsys.readouterr()
        learn = Learner(str(tmp_path / "heard"), metadata, out=tmp_path)
        assert learn.pretrained
        assert learn.data.input.sampling_rate == RATE
        same = {key for key, value in trained.module.state_dict().items() if torch.equal(value, learn.module.state_dict()[key])}
        assert len(same) > len(trained.module.state_dict()) // 2
        if name.startswith("wav2vec2"):
            assert f"of {len(characters)} of the {len(characters)} characters too" in capsys.readouterr().out
            assert torch.equal(learn.module.lm_head.weight[2:], trained.module.lm_head.weight[2:])
        learn.fine_tune(1)
        loaded = Learner.load(learn.save(tmp_path / "saved"))
        assert loaded.predict(metadata.parent / "wavs").texts == learn.predict(metadata.parent / "wavs").texts

    def test_a_checkpoint_of_another_type_is_named(self, metadata, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "clap"}))
        with pytest.raises(UnknownNameError, match="This one holds 'clap', a type that is not taken"):
            Learner(str(tmp_path), metadata)

    @pytest.mark.parametrize(("name", "key"), [("parakeet_ctc/tiny", "input_features"), ("wav2vec2/tiny", "input_values")])
    def test_augmentation_blanks_stretches(self, name, key, metadata, tmp_path):
        learn = Learner(name, metadata, sampling_rate=RATE, out=tmp_path, report=False, verbose=False)
        prepare = learn.task_module().preparation
        x = prepare(learn.data.split("train").head(8)["x"])
        varied, _ = prepare.augment(x, {})
        blank = (varied[key] == 0) & (x[key] != 0)
        assert 0 < blank.float().mean() < 0.6
        assert torch.equal(varied[key][~blank], x[key][~blank])

    @pytest.mark.parametrize("name", ["parakeet_ctc/tiny", "wav2vec2/tiny"])
    def test_padding_changes_no_text(self, name, metadata):
        """A recording is heard alike alone and beside a longer one."""
        input = AudioInput.fit([(wave("abc"), RATE)], sampling_rate=RATE)
        task = Recognition.fit(np.array(["abcde"], dtype=object))
        built = zoo.build(name, input.facts(), task.facts())
        input = input.declared(built.declares)
        model, prepare = adapt(built.net, input.keys).eval(), input.preparation()
        columns = input.encode(input.as_items([wave("abc"), wave("abcdeabcde")]))
        with torch.no_grad():
            alone = model(prepare(columns.gather(torch.tensor([0]))))
            both = model(prepare(columns.gather(torch.tensor([0, 1]))))
        steps = int(alone["steps"][0])
        assert both["steps"][0] == steps < both["logits"].shape[1]
        torch.testing.assert_close(both["logits"][0, :steps], alone["logits"][0, :steps], rtol=1e-3, atol=1e-3)


class TestDecoding:
    def task(self):
        return Recognition(characters=("a", "b"), longest=4)

    def test_greedy_ctc_drops_repetitions_blanks_and_padding(self):
        best = torch.tensor([[2, 2, 0, 2, 3, 3, 0, 2]])
        logits = torch.nn.functional.one_hot(best, 4).float()
        assert self.task().decode({"logits": logits, "steps": torch.tensor([8])})["texts"] == ["aaba"]
        assert self.task().decode({"logits": logits, "steps": torch.tensor([4])})["texts"] == ["aa"]

    def test_tokens_stop_at_the_end(self):
        assert self.task().decode({"tokens": torch.tensor([[2, 3, 1, 2], [3, 3, 3, 3]])})["texts"] == ["ab", "bbbb"]

    def test_a_character_that_training_lacked_counts_as_wrong(self):
        columns = self.task().encode(np.array(["abz", "z"], dtype=object))
        batch = columns.gather(torch.tensor([0, 1]))
        assert batch["labels"].tolist() == [[2, 3], [0, 0]]
        assert batch["text"] == ["abz", "z"]

    def test_metrics_by_name(self):
        metrics = {name: self.task().metric(name) for name in ("cer", "wer")}
        self.task().update(metrics, {"texts": ["ab ab"]}, {"text": ["ab bb"]})
        assert {k: float(m.compute()) for k, m in metrics.items()} == {"cer": pytest.approx(0.2), "wer": 0.5}
        with pytest.raises(ValueError, match="Did you mean 'wer'"):
            self.task().metric("werr")


def test_bad_sounds_of_long_collections_are_left_out_before_training(metadata, tmp_path, monkeypatch):
    monkeypatch.setattr("fastgpu.reading.sounds.MEMORY_BUDGET", 0)
    path = bad_row(metadata, tmp_path, np.zeros(RATE, np.float32))
    settings = dict(sampling_rate=RATE, out=tmp_path, report=False, verbose=False, validation_split=None)
    with pytest.raises(BadItemError, match=r"1 of 4 is not: .*bad.wav: silent"):
        Learner("parakeet_ctc/tiny", path, **settings)
    learn = Learner("parakeet_ctc/tiny", path, on_bad_item="skip", **settings)
    assert learn.data.sizes == {"train": 3}
    columns = learn.data.split("train").x
    assert not columns.in_memory
    assert columns.gather(torch.arange(3))["attention_mask"].sum(1).tolist() == columns.lengths.tolist()


def test_long_collections_are_read_from_disk(metadata, monkeypatch):
    input = AudioInput.fit(load(metadata).splits["train"].x, sampling_rate=16000)
    items = load(metadata).splits["train"].x
    kept = input.encode(items)
    monkeypatch.setattr("fastgpu.reading.sounds.MEMORY_BUDGET", 0)
    read = input.encode(items)
    assert not read.in_memory
    index = torch.tensor([3, 1])
    for key, value in kept.gather(index).items():
        assert torch.equal(value, read.gather(index)[key])


def test_blanked_spectrograms_keep_their_shape(metadata):
    input = AudioInput.fit(load(metadata).splits["train"].x, sampling_rate=RATE)
    prepare = input.preparation()
    x = prepare(input.encode(load(metadata).splits["train"].x).gather(torch.arange(8)))
    varied, _ = prepare.augment(x, {})
    assert varied["input_features"].shape == x["input_features"].shape
    blanked = (varied["input_features"] == 0).float().mean() - (x["input_features"] == 0).float().mean()
    assert 0.01 < blanked < 0.7
