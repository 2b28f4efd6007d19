"""Ranking: how much a user likes an item, and which unseen items come first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fastgpu.answers.ranking import RankingAnswers
from fastgpu.data.columns import Columns
from fastgpu.data.loaders import like
from fastgpu.data.raw import Items
from fastgpu.errors import ArgumentError, DataError, UnknownNameError
from fastgpu.inputs.base import Input
from fastgpu.inputs.interactions_preparation import seen_of
from fastgpu.results import Results
from fastgpu.tasks.base import TASKS, Task
from fastgpu.tasks.ranking_metrics import METRICS, OF_RANKS, BPRLoss, create
from fastgpu.tasks.ranking_split import by_time

__all__ = ["Ranking"]

AT_ONCE = 2**18
"""Pairs of user and item that are scored in one forward pass."""

IN_GRAPH = 2**12
"""Items that an exported network scores at a time, whatever the batch."""


@TASKS.register("ranking")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranking(RankingAnswers, Task):
    """Liked or not: the network gives `(b, items)` scores for `item` `(b,)` or `(b, items)`; the target is 0/1 `(b,)` float32.

    Where some training rows are liked and some not, a score is the log-odds of a like, judged by AUROC. Where all are
    liked (purchases, plays, clicks alone) there is nothing to tell apart: the loss is BPR against items drawn at random,
    and each held-out row's item is ranked among all items that its user has not seen in training, ties against it.

    Args:
        positive: the rating from which on an item is liked.
        share: share of the training rows that are liked, 0 to 1.
        target: name of the rating column, `""` where there is none.

    Example:
        >>> task = Ranking.fit(np.array([1.0, 5.0, 4.0]))
        >>> task.positive, task.encode(np.array([3.0, 4.0]))["target"].tolist()
        (4.0, [0.0, 1.0])
    """

    loss_names: ClassVar[tuple[str, ...]] = ("bce_with_logits", "bpr")
    metric_names: ClassVar[tuple[str, ...]] = METRICS
    options: ClassVar[tuple[str, ...]] = ("positive",)
    decodes: ClassVar[bool] = True

    positive: float
    share: float
    target: str = ""

    @classmethod
    def fit(
        cls,
        targets: np.ndarray,
        *,
        classes: tuple[str | int, ...] | None = None,
        target: tuple[str, ...] = (),
        input: Input | None = None,
        positive: float | None = None,
    ) -> Ranking:
        """Settle from which rating on an item is liked.

        Args:
            targets: `(n,)` ratings, or 0 and 1 for clicks.
            classes: unused.
            target: name of the rating column.
            input: unused.
            positive: the rating from which on an item is liked; None: 1 for values of 0 and 1, 4 for ratings up to 5, else
                the smallest rating above the middle of the range.

        Raises:
            DataError: no rating reaches `positive`.
        """
        ratings = _numbers(targets)
        least, most = float(ratings.min()), float(ratings.max())
        if positive is None:
            middle = ratings[ratings > (least + most) / 2]
            clicks = bool(np.isin(ratings, (0, 1)).all())
            positive = 1.0 if clicks else 4.0 if most == 5 else float(middle.min()) if len(middle) else most
        liked = ratings >= positive
        if not liked.any():
            raise DataError(f"Ranking needs items that are liked. positive is {positive:g}, the ratings go from {least:g} to {most:g}. Lower it.")
        return cls(positive=float(positive), share=float(liked.mean()), target=target[0] if target else "")

    @property
    def implicit(self) -> bool:
        """Whether every training row is liked, so that items are ranked and not judged."""
        return self.share == 1.0

    @property
    def default_loss(self) -> str:
        return "bpr" if self.implicit else "bce_with_logits"

    @property
    def default_metrics(self) -> tuple[str, ...]:  # type: ignore[override]
        """The metrics that the data allow; epochs are compared by the first."""
        return OF_RANKS if self.implicit else ("auroc", "accuracy")

    @property
    def monitor(self) -> str:  # type: ignore[override]
        return self.default_metrics[0]

    @property
    def outputs(self) -> int:
        return 1

    @classmethod
    def split(cls, items: Items, share: float, seed: int) -> tuple[Items, Items, tuple[str, ...]]:
        return by_time(items, share)

    def encode(self, targets: np.ndarray, x: Columns | None = None) -> dict[str, Tensor]:
        return {"target": torch.from_numpy((_numbers(targets) >= self.positive).astype(np.float32))}

    def loss(self, name: str, *, class_weight: tuple[float, ...] | None = None) -> nn.Module:
        if name not in self.loss_names:
            raise UnknownNameError("loss of ranking", name, self.loss_names)
        if class_weight is not None:
            raise ArgumentError("class_weight goes with a loss of classes. Ranking has none. Leave it out.")
        if name == "bce_with_logits" and self.implicit:
            raise ArgumentError("bce_with_logits needs rows that are liked and rows that are not. All are liked here. Take loss='bpr'.")
        return BPRLoss() if name == "bpr" else nn.BCEWithLogitsLoss()

    def metric(self, name: str) -> Any:
        if name not in METRICS:
            raise UnknownNameError("metric", name, METRICS, hint=f"Metrics of ranking: {', '.join(METRICS)}.")
        if (name in OF_RANKS) != self.implicit:
            rule = "ranks all items, for data whose every row is liked" if name in OF_RANKS else "tells liked rows from others"
            do = "Give positive= the lowest rating" if name in OF_RANKS else f"Take {' or '.join(OF_RANKS)}"
            raise ArgumentError(f"{name} {rule}. Here {self.share:.0%} of the rows are liked. {do}.")
        return create(name)

    def step(
        self, model: nn.Module, x: dict[str, Any], y: dict[str, Any], loss: Callable[..., Tensor]
    ) -> tuple[dict[str, Any], Tensor]:
        if not isinstance(loss, BPRLoss):
            out = model(x, y)
            scores = _wide(out["logits"][:, 0])
            return out, loss(scores, y["target"].to(scores.dtype))
        # Both in one pass: apart, batch normalisation would tell a batch of liked items from one of others.
        pairs = {name: torch.stack((x[name], x[name.replace("item", "negative")]), 1) for name in ("item", "item_features")}
        out = model({**x, **pairs}, y)
        scores = _wide(out["logits"])
        return {**out, "logits": out["logits"][:, :1]}, loss(scores[:, 0], scores[:, 1], y["target"].to(scores.dtype))

    def decode(self, out: Mapping[str, Any]) -> dict[str, Any]:
        return {"scores": _wide(out["logits"][:, 0]).sigmoid()}

    def predict(self, model: nn.Module, x: dict[str, Any], out: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._found(model, x, model(x) if out is None else out, _width(x))

    def _found(self, model: nn.Module, x: dict[str, Any], out: Mapping[str, Any], width: int) -> dict[str, Any]:
        found = self.decode(out)
        found["known"] = (x["user"] > 0) & (x["item"] > 0)
        if self.implicit:
            found["ranks"] = _ranks(_all_scores(model, x, width), x["item"], seen_of(x))
        return found

    def in_graph(self, model: nn.Module, x: dict[str, Any]) -> dict[str, Tensor]:
        return self._found(model, x, model(x), IN_GRAPH)

    def update(self, metrics: Mapping[str, Any], predictions: Mapping[str, Any], y: Mapping[str, Any]) -> None:
        liked = y["target"] > 0.5
        for name, metric in metrics.items():
            if name in OF_RANKS:
                metric.update(predictions["ranks"][liked])
            else:
                metric.update(predictions["scores"], liked.long())

    def truth(self, y: Mapping[str, Any]) -> dict[str, Any]:
        return {"liked": (y["target"] > 0.5).tolist()}

    def describe(self) -> str:
        if self.implicit:
            return "ranking of items, every row is a like"
        return f"ranking, liked: {self.target or 'rating'} from {self.positive:g} up ({self.share:.0%} of the training rows)"

    def recommend(self, module: Any, input: Any, user: Any, k: int) -> Results:
        """The `k` items that suit a user of the training data best, without those that the user met there or in what was held out.

        Returns:
            `Results` with `items` (ids), `titles` where the data have them, and `scores` (log-odds as probabilities), best first.

        Raises:
            UnknownNameError: training did not have the user.
            ArgumentError: `k` is no whole number from 1 up.
        """
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise ArgumentError(f"k is how many items to recommend, a whole number from 1 up. {k!r} came.")
        weight = next(module.model.parameters())
        row = input.encode(input.user_rows(user)).gather(torch.tensor([0]))
        x = module.preparation(like(row, weight))
        scores = _all_scores(module.model, x, _width(x))[0]
        scores[input.met(int(row["user"])).to(scores.device)] = -torch.inf
        best = scores.topk(min(k, int(torch.isfinite(scores).sum())))
        items = input.item_ids(best.indices.tolist())
        titles = [input.titles[code - 1] for code in best.indices.tolist()] if input.titles else []
        columns = {"items": items, **({"titles": titles} if titles else {}), "scores": best.values.sigmoid().cpu().numpy()}
        return Results(columns, title=lambda i: str((titles or items)[i]))


def _width(x: Mapping[str, Any]) -> int:
    """How many items are scored at a time for a batch."""
    return max(1, AT_ONCE // max(1, len(x["user"])))


def _all_scores(model: nn.Module, x: Mapping[str, Any], width: int) -> Tensor:
    """Scores of all items for each row, `(b, items + 1)` float32 by the item's code; code 0, no item, is never the best."""
    parts = []
    for at in range(0, x["catalogue"].shape[1], width):
        some = {"item": x["catalogue"][:1, at : at + width], "item_features": x["catalogue_features"][:1, at : at + width]}
        parts.append(_wide(model({**x, **some})["logits"]))
    return nn.functional.pad(torch.cat(parts, 1), (1, 0), value=-torch.inf)


def _ranks(scores: Tensor, item: Tensor, seen: Tensor) -> Tensor:
    """Rank of each row's item from 1 among the items that its user has not seen; an unknown item comes last."""
    item = item[:, None]
    own = scores.gather(1, item)
    others = scores.scatter(1, seen, -torch.inf).scatter(1, item, -torch.inf)
    return (others >= own).sum(1) + torch.where(item[:, 0] > 0, 1, 0)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _numbers(targets: np.ndarray) -> np.ndarray:
    ratings = np.asarray(targets)
    if ratings.ndim != 1 or ratings.dtype.kind not in "biuf" or not np.isfinite(ratings.astype(np.float64)).all():
        raise DataError(f"Ranking takes one rating an item, finite numbers (n,). {ratings.dtype} of shape {ratings.shape} came.")
    return ratings.astype(np.float64)
