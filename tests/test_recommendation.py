"""Recommendation: formats, bad rows, networks, ranks, and who has seen what."""

import importlib
import socket

import numpy as np
import pandas as pd
import pytest
import torch
from torchmetrics.retrieval import RetrievalHitRate, RetrievalNormalizedDCG

from fastgpu import Learner, zoo
from fastgpu.data import sources
from fastgpu.errors import ArgumentError, DataError, UnknownNameError
from fastgpu.inputs import INPUTS, Input
from fastgpu.inputs.interactions_preparation import seen_of
from fastgpu.nn.adapters import adapt
from fastgpu.reading.interactions_rows import Interactions, as_ids, as_times
from fastgpu.tasks import TASKS
from fastgpu.tasks.ranking import _ranks

NAMES = ["matrix_factorization", "two_tower", "sasrec/tiny", "deepfm", "dcnv2"]
FACTS = {"kind": "interactions", "users": 6, "items": 9, "history": 5, "user_cardinalities": (3,), "item_cardinalities": (4, 2)}
TARGET = {"task": "ranking", "outputs": 1}
KINDS = {"kinds": ("interactions",)}


def frame(users=8, items=10):
    rows = [(u, i, 5 if (u + i) % 2 == 0 else 1, 100 * u + (3 * i + 7 * u) % 10) for u in range(1, users + 1) for i in range(10, 10 + items)]
    return pd.DataFrame(rows, columns=["userId", "movieId", "rating", "timestamp"])


def batch(items=()):
    x = {
        "user": torch.tensor([1, 2, 0, 5]),
        "item": torch.tensor([3, 0, 8, 1]),
        "history": torch.tensor([[0, 0, 0, 0, 0], [0, 0, 1, 2, 3], [0, 0, 0, 0, 1], [1, 2, 3, 4, 5]]),
        "user_features": torch.tensor([[1], [2], [0], [1]]),
        "item_features": torch.tensor([[1, 1], [0, 0], [3, 1], [2, 1]]),
    }
    return {**x, **dict(items)}


def skip_without(name):
    if zoo.find(name)[1].extra:
        pytest.importorskip("torch_rechub")


def rows(x):
    return x.user.tolist(), x.item.tolist()


# Formats


def test_csv_and_parquet_and_frame(tmp_path):
    table = frame()
    table.to_csv(tmp_path / "r.csv", index=False)
    table.to_parquet(tmp_path / "r.parquet")
    for data in (table, tmp_path / "r.csv", str(tmp_path / "r.parquet")):
        raw = sources.load(data, **KINDS)
        assert (raw.kind, raw.task, raw.target) == ("interactions", "ranking", ("rating",))
        assert raw.splits["train"].x.user[:2].tolist() == ["1", "1"]
        assert raw.splits["train"].y[:2].tolist() == [1.0, 5.0]


def test_columns_by_name():
    table = frame().rename(columns={"userId": "who", "movieId": "what", "rating": "grade"})
    with pytest.raises(DataError, match=r"need a column of users.*columns=\{'user'"):
        sources.load(table, **KINDS)
    raw = sources.load(table, columns={"user": "who", "item": "what"}, target="grade", **KINDS)
    assert raw.target == ("grade",)
    with pytest.raises(DataError, match="'user' is to be 'wo', which is not there. Did you mean 'who'"):
        sources.load(table, columns={"user": "wo"}, **KINDS)
    with pytest.raises(DataError, match="Ranking has one target column"):
        sources.load(table, target=["grade", "who"], **KINDS)
    clicked = sources.load(frame().assign(rating=lambda f: f.rating > 3), **KINDS)
    assert clicked.splits["train"].y[:2].tolist() == [0.0, 1.0]
    with pytest.raises(UnknownNameError, match="Unknown role in columns 'usr'. Did you mean 'user'"):
        sources.load(table, columns={"usr": "who"}, **KINDS)


def test_recbole_files(tmp_path):
    (tmp_path / "s.inter").write_text("user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\ta\t5\t1\n2\tb\t3\t2\n1\tb\t4\t3\n")
    (tmp_path / "s.item").write_text('item_id:token\tmovie_title:token_seq\tclass:token_seq\na\tThe "A\tDrama\nb\tB\tWar\n')
    (tmp_path / "s.user").write_text("user_id:token\tage:float\n1\t20\n2\t30\n")
    for data in (tmp_path, tmp_path / "s.inter"):
        raw = sources.load(data)
        x = raw.splits["train"].x
        assert x.items["title"].tolist() == ['The "A', "B"]
        assert rows(x) == (["1", "2", "1"], ["a", "b", "b"])
        assert "items: features from s.item" in raw.notes
    fitted = INPUTS["interactions"].fit(x)
    assert fitted.titles == ('The "A', "B")
    assert fitted.user_sides["names"] == ("age",)
    (tmp_path / "s.inter").write_text("user_id\titem_id\n1\ta\n")
    with pytest.raises(DataError, match=r"are written name:type.*'user_id'"):
        sources.load(tmp_path)


def test_sides_in_the_same_table_and_beside(tmp_path):
    table = frame().assign(town=lambda f: f.userId % 3, genre=lambda f: f.movieId % 2, weather=range(80))
    raw = sources.load(table, **KINDS)
    x = raw.splits["train"].x
    assert list(x.users) == ["town"]
    assert list(x.items) == ["genre"]
    assert any("neither to a user nor to an item: weather" in note for note in raw.notes)
    frame().to_csv(tmp_path / "ratings.csv", index=False)
    pd.DataFrame({"movieId": [10, 11], "title": ["Ten", "Eleven"]}).to_csv(tmp_path / "movies.csv", index=False)
    for data in (tmp_path, tmp_path / "ratings.csv"):
        fitted = INPUTS["interactions"].fit(sources.load(data, **KINDS).splits["train"].x)
        assert fitted.titles[:3] == ("Ten", "Eleven", "")


# Bad rows


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("userId", None, r"'userId' of train of table holds nan \(row 3, from 0\)"),
        ("movieId", " ", r"'movieId' of train of table holds ' ' \(row 3"),
        ("rating", "good", r"'rating' of train of table holds 'good' \(row 3"),
        ("rating", np.inf, r"'rating' of train of table holds inf \(row 3"),
        ("timestamp", "yesterday", r"'timestamp' of train of table holds 'yesterday' \(row 3"),
    ],
)
def test_bad_cells_are_named_or_left_out(column, value, match):
    table = frame().astype({column: object})
    table.loc[3, column] = np.nan if value is None else value
    with pytest.raises(DataError, match=match):
        sources.load(table, **KINDS)
    raw = sources.load(table, on_bad_item="skip", **KINDS)
    assert len(raw.splits["train"]) == 79
    assert any(note.startswith("train of table: 1 row left out") and column in note for note in raw.notes)


def test_the_latest_of_a_pair_counts_and_disorder_is_counted():
    table = pd.DataFrame({"user": [1, 1, 2, 1], "item": [7, 8, 7, 7], "rating": [1, 2, 3, 4], "time": [5, 6, 1, 9]})
    raw = sources.load(table, **KINDS)
    assert rows(raw.splits["train"].x) == (["1", "2", "1"], ["8", "7", "7"])
    assert raw.splits["train"].y.tolist() == [2, 3, 4]
    assert any("1 row left out: the same user and item again" in note for note in raw.notes)
    assert any("1 row earlier than the row before" in note for note in raw.notes)


def test_held_out_rows_are_counted():
    table = frame().assign(split=["train"] * 70 + ["val"] * 10)
    raw = sources.load(table, **KINDS)
    assert any("val: 10 rows of users and 0 of items that training does not have" in note for note in raw.notes)
    early = frame().assign(split=lambda f: np.where(f.movieId == 10, "val", "train"))
    assert any("of 8 rows are earlier than the same user" in note for note in sources.load(early, **KINDS).notes)


def test_ids_and_times():
    assert as_ids([1, 2.0, "3", None, " "]).tolist() == ["1", "2.0", "3", None, None]
    assert as_ids(pd.Series([1.0, np.nan])).tolist() == ["1", None]
    dates = as_times(pd.Series(["1970-01-01 00:01", "1970-01-02", None]))
    assert dates[:2].tolist() == [60, 86400]
    assert np.isnan(dates[2])
    assert as_times(pd.to_datetime(pd.Series(["1970-01-02"]))).tolist() == [86400]


# Input and split


def test_history_holds_what_is_strictly_earlier():
    x = Interactions(as_ids([1, 1, 1, 2]), as_ids(["a", "b", "c", "a"]), np.array([1.0, 2.0, 2.0, 0.5]))
    fitted = INPUTS["interactions"].fit(x)
    found = fitted.encode(x).gather(torch.arange(4))["history"][:, -3:]
    assert found.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]]
    later = fitted.encode(fitted.as_items([(1, "a"), (9, "a"), (2, "z")])).gather(torch.arange(3))
    assert later["history"][:, -3:].tolist() == [[1, 2, 3], [0, 0, 0], [0, 0, 1]]
    assert (later["user"].tolist(), later["item"].tolist()) == ([1, 0, 2], [1, 1, 0])
    back = Input.from_dict(fitted.to_dict())
    assert torch.equal(back.encode(x).gather(torch.arange(4))["history"], fitted.encode(x).gather(torch.arange(4))["history"])


def test_history_of_many_users_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    user, time = rng.integers(1, 9, 300), rng.integers(0, 40, 300).astype(float)
    x = Interactions(as_ids(user), as_ids(np.arange(300)), time)
    fitted = INPUTS["interactions"].fit(x)
    columns = fitted.encode(x)
    for i in range(300):
        assert int(columns.end[i] - columns.first[i]) == int(((user == user[i]) & (time < time[i])).sum())


def test_the_last_of_each_user_is_held_out():
    items = sources.load(frame(), **KINDS).splits["train"]
    train, val, notes = TASKS["ranking"].split(items, 0.2, 0)
    assert len(val) == 16
    for user in set(val.x.user):
        assert val.x.time[val.x.user == user].min() > train.x.time[train.x.user == user].max()
    assert "the last 20% of each user's by time" in notes[0]
    single = sources.load(frame(items=1), **KINDS).splits["train"]
    with pytest.raises(DataError, match="needs users with two interactions"):
        TASKS["ranking"].split(single, 0.2, 0)


def test_what_users_have_seen_is_looked_up_where_it_is_asked_for():
    fitted = INPUTS["interactions"].fit(sources.load(frame(), **KINDS).splits["train"].x)
    given = fitted.encode(fitted.as_items([(1, 10), (999, 10), (4, 11)])).gather(torch.arange(3))
    x = fitted.preparation().eval()(given)
    assert "seen" not in x
    seen = seen_of(x)
    for i, user in enumerate(given["user"].tolist()):
        assert sorted(code for code in seen[i].tolist() if code) == sorted(fitted.met(user).tolist() if user else [])


# Task


def test_what_is_liked():
    fit = TASKS["ranking"].fit
    assert fit(np.array([1.0, 5.0])).positive == 4
    assert fit(np.array([0, 1])).positive == 1
    assert fit(np.array([1.0, 6.0, 10.0])).positive == 6
    assert fit(np.array([1.0, 5.0]), positive=2.5).positive == 2.5
    assert fit(np.array([1.0, 1.0])).implicit
    with pytest.raises(DataError, match="positive is 9, the ratings go from 1 to 5"):
        fit(np.array([1.0, 5.0]), positive=9)


def test_names_that_do_not_go_with_the_data():
    rated, played = TASKS["ranking"].fit(np.array([1.0, 5.0])), TASKS["ranking"].fit(np.ones(3))
    with pytest.raises(ArgumentError, match="hr@10 ranks all items.*Here 50% of the rows are liked. Give positive="):
        rated.metric("hr@10")
    with pytest.raises(ArgumentError, match="auroc tells liked rows from others. Here 100%"):
        played.metric("auroc")
    with pytest.raises(ArgumentError, match="All are liked here. Take loss='bpr'"):
        played.loss("bce_with_logits")
    with pytest.raises(UnknownNameError, match="Did you mean 'bpr'"):
        played.loss("bprr")


def test_ranks_are_those_of_torchmetrics():
    torch.manual_seed(0)
    scores = torch.nn.functional.pad(torch.randn(20, 30), (1, 0), value=-torch.inf)
    item = torch.randint(1, 31, (20,))
    seen = torch.randint(0, 31, (20, 7))
    ranks = _ranks(scores, item, seen)
    hits, gains = RetrievalHitRate(top_k=10), RetrievalNormalizedDCG(top_k=10)
    for i in range(20):
        kept = [c for c in range(1, 31) if c == int(item[i]) or c not in seen[i].tolist()]
        preds, target = scores[i, kept], torch.tensor(kept) == item[i]
        for metric in (hits, gains):
            metric.update(preds, target, indexes=torch.full((len(kept),), i))
    task = TASKS["ranking"].fit(np.ones(3))
    for name, expected in (("hr@10", hits), ("ndcg@10", gains)):
        metric = task.metric(name)
        metric.update(ranks[:5])
        metric.update(ranks[5:])
        assert float(metric.compute()) == pytest.approx(float(expected.compute()), abs=1e-6)
    assert _ranks(scores[:1], torch.tensor([0]), seen[:1]).item() > 30
    assert _ranks(torch.zeros(1, 31), torch.tensor([3]), torch.zeros(1, 1, dtype=torch.int64)).item() == 30


# Networks


@pytest.mark.parametrize("name", zoo.list_models(task="ranking"))
def test_every_architecture_builds_without_network(name, monkeypatch):
    skip_without(name)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was opened"))
    built = zoo.build(name, FACTS, TARGET)
    model = adapt(built.net, INPUTS["interactions"].keys).eval()
    one = model(batch())["logits"]
    assert one.shape == (4, 1)
    many = {"item": torch.arange(1, 9)[None], "item_features": torch.zeros(1, 8, 2, dtype=torch.int64)}
    assert model(batch(many.items()))["logits"].shape == (4, 8)
    wide = {k: v.expand(4, *v.shape[1:]) for k, v in many.items()}
    torch.testing.assert_close(model(batch(wide.items()))["logits"], model(batch(many.items()))["logits"], rtol=1e-4, atol=1e-5)
    assert torch.isfinite(one).all()
    assert zoo.model_info(name).parameters > 10_000


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("loss", ["bce_with_logits", "bpr"])
def test_loss_falls_on_one_batch(name, loss):
    skip_without(name)
    torch.manual_seed(0)
    task = TASKS["ranking"].fit(np.array([0.0, 1.0]))
    model = adapt(zoo.build(name, FACTS, TARGET).net, INPUTS["interactions"].keys)
    x = batch({"item": torch.tensor([3, 2, 8, 1]), "negative": torch.tensor([4, 5, 6, 7]),
               "negative_features": torch.zeros(4, 2, dtype=torch.int64)}.items())  # fmt: skip
    y = {"target": torch.tensor([1.0, 0.0, 1.0, 1.0])}
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(60):
        _, value = task.step(model, x, y, task.loss(loss))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert np.mean(losses[-5:]) < 0.6 * losses[0]


def test_two_networks_share_no_weights():
    pytest.importorskip("torch_rechub")
    first, second = (zoo.build("deepfm", FACTS, TARGET).net for _ in range(2))
    assert not {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}


def test_names_are_listed_without_the_extra(monkeypatch):
    from fastgpu import optional

    real = importlib.import_module

    def missing(name, *rest):
        if name == "torch_rechub":
            raise ModuleNotFoundError(name=name)
        return real(name, *rest)

    monkeypatch.setattr(optional.importlib, "import_module", missing)
    assert zoo.find("deepfm")[1].extra == "recommend"
    with pytest.raises(ImportError, match=r"deepfm needs the package torch_rechub.*pip install 'fastgpu\[recommend\]'"):
        zoo.build("deepfm", FACTS, TARGET)


def test_sasrec_needs_times():
    with pytest.raises(ArgumentError, match="sasrec looks at what came before. These interactions have no times"):
        Learner("sasrec", frame().drop(columns="timestamp"), report=False, verbose=False)


# Learner


def test_recommend(tmp_path, out):
    table = frame()
    table = table[(table.userId != 4) | ~table.movieId.isin((12, 17))]
    table.to_csv(tmp_path / "ratings.csv", index=False)
    pd.DataFrame({"movieId": range(10, 20), "title": [f"Film {i}" for i in range(10, 20)]}).to_csv(tmp_path / "movies.csv", index=False)
    learn = Learner("two_tower", tmp_path, out=out, report=False, verbose=False, batch_size=16, lr=0.01, seed=1)
    learn.fit(20)
    assert learn.history.rows[-1]["val_auroc"] > 0.8
    found = learn.recommend(user=4, k=5)
    assert len(found) == 2
    assert not set(found.items) & set(table[table.userId == 4].movieId)  # held-out ones neither
    assert found.titles == [f"Film {i}" for i in found.items]
    assert found[0]["score"] > found[1]["score"]
    again = Learner.load(learn.save(tmp_path / "saved")).recommend("4", k=1)
    assert again.to_frame().to_dict("records") == found[:1].to_frame().to_dict("records")
    with pytest.raises(UnknownNameError, match="Unknown user 44. Did you mean '4'"):
        learn.recommend(44)
    with pytest.raises(ArgumentError, match="k is how many items to recommend"):
        learn.recommend(4, k=0)
    results = learn.predict([(4, 18), (4, 999), (77, 18)])
    assert results.known.tolist() == [True, False, False]
    assert learn.predict({"userId": 4, "movieId": 18})[0]["score"] == pytest.approx(float(results.scores[0]), rel=1e-5)
    for given in ({"userId": pd.Series([4, 4]), "movieId": pd.Series([18, 999])}, {"userId": 4, "movieId": [18, 999]}):
        assert learn.predict(given).known.tolist() == [True, False]
    with pytest.raises(DataError, match="A column 'movieId' is missing"):
        learn.predict({"userId": 4})
    with pytest.raises(DataError, match="Interactions are dicts"):
        learn.predict("hello")
    assert learn.evaluate(frame().tail(10))["auroc"] >= 0


def test_plays_are_ranked(out):
    table = pd.DataFrame([{"user": u, "item": i, "time": i} for u in range(8) for i in range(u % 2, 20, 2)])
    learn = Learner("matrix_factorization", table, out=out, report=False, verbose=False, batch_size=8, lr=0.02)
    history = learn.fit(10)
    assert learn.data.task.implicit
    assert history.rows[-1]["loss"] < 0.6
    assert learn.evaluate() == learn.evaluate()
    assert set(learn.evaluate()) == {"loss", "ndcg@10", "hr@10"}
    assert learn.predict().ranks.min() >= 1


def test_a_network_of_the_users_own(out):
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.items = torch.nn.Embedding(100, 1)

        def forward(self, user, item, history, user_features, item_features):
            return self.items(item) if item.ndim == 1 else self.items(item)[..., 0].expand(len(user), -1)

    learn = Learner(Own(), frame(), task="ranking", out=out, report=False, verbose=False)
    learn.fit(1)
    assert len(learn.recommend(1, k=3)) == 0  # the user has all items
