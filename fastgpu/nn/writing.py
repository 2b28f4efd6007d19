"""Writing token after token as one loop, which a graph can hold: greedily, or with beams as transformers has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastgpu.errors import ExportError

__all__ = ["Rules", "looped", "padded", "write"]

NEVER = -1e9
"""Score of what is no candidate, that of transformers."""

NOT_HERE = (
    "constraints", "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "force_words_ids", "min_length", "min_new_tokens",
    "no_repeat_ngram_size", "penalty_alpha", "sequence_bias",
)  # fmt: skip
"""Settings of transformers that change what is written, and that no graph of ours holds."""

NOT_HERE_UNLESS_1 = (
    "diversity_penalty", "encoder_repetition_penalty", "guidance_scale", "num_beam_groups", "num_return_sequences", "repetition_penalty",
)  # fmt: skip
"""Such whose value 0 or 1 changes nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """How texts are written.

    Args:
        start: token before each text, which is not part of it.
        ends: tokens that end a text.
        pad: what fills up after the end.
        most: tokens of the longest text, its end among them.
        beams: texts that are followed at a time; 1: greedily.
        penalty: power of a text's length by which its score is divided; with beams.
        early: whether an item is done once as many texts as beams are; `"never"`: once no better one can come; with beams.
        first: token that every text begins with, None: any.
        last: token that ends a text of `most` tokens, None: any.
        never: tokens that no text has.
        never_first: tokens that no text begins with.
    """

    start: int
    ends: tuple[int, ...]
    pad: int
    most: int
    beams: int = 1
    penalty: float = 1.0
    early: bool | str = False
    first: int | None = None
    last: int | None = None
    never: tuple[int, ...] = ()
    never_first: tuple[int, ...] = ()

    @classmethod
    def of(cls, settings: Any, most: int) -> Rules:
        """Those of a `transformers.GenerationConfig`.

        Raises:
            ExportError: it asks for something else than is here.
        """
        words = [tuple(word) for word in getattr(settings, "bad_words_ids", None) or ()]
        asked = [name for name in NOT_HERE if getattr(settings, name, None)]
        asked += [name for name in NOT_HERE_UNLESS_1 if getattr(settings, name, None) not in (None, 0, 1)]
        asked += ["bad_words_ids of several tokens"] if any(len(word) > 1 for word in words) else []
        if asked:
            raise ExportError(
                f"An exported network writes greedily or with beams. Its generation_config has {', '.join(asked)}. Set it to None, or keep the "
                "learner with learn.save."
            )
        ends = _several(settings.eos_token_id)
        never = {word[0] for word in words if word[0] not in ends} | set(_several(getattr(settings, "suppress_tokens", None)))
        last = _several(settings.forced_eos_token_id)
        return cls(
            start=_several(settings.decoder_start_token_id)[0],
            ends=ends,
            pad=ends[0] if settings.pad_token_id is None else settings.pad_token_id,
            most=most,
            beams=settings.num_beams or 1,
            penalty=1.0 if settings.length_penalty is None else settings.length_penalty,
            early=settings.early_stopping or False,
            first=settings.forced_bos_token_id,
            last=last[0] if last else None,
            never=tuple(sorted(never)),
            never_first=_several(getattr(settings, "begin_suppress_tokens", None)),
        )

    def ruled(self, scores: Tensor, at: Tensor) -> Tensor:
        """Scores of the tokens `(n, vocabulary)` for place `at` -> the same, -inf where a token must not come."""
        ids = torch.arange(scores.shape[-1], device=scores.device)
        for tokens, where in ((self.never, None), (self.never_first, at == 0)):
            if tokens:
                barred = _among(ids, tokens)
                scores = scores.masked_fill(barred if where is None else barred & where, -torch.inf)
        for token, there in ((self.first, at == 0), (self.last, at == self.most - 1)):
            if token is not None:
                forced = torch.where(ids == token, 0.0, -torch.inf).to(scores.dtype)
                scores = torch.where(there, forced, scores)
        return scores


Memory = tuple[Tensor, ...]
"""What a decoder keeps of the tokens before, each `(n, ...)`."""

Next = Callable[[Tensor, Tensor, Memory], tuple[Tensor, Memory]]
"""`(tokens (n,) int64, at (), memory) -> (logits (n, vocabulary), memory)` after the token at place `at`."""


def write(following: Next, memory: Memory, items: Any, rules: Rules, device: torch.device) -> Tensor:
    """Texts `(items, most)` int64, by a loop of torch, which `torch.export` and its exporter to ONNX keep as one.

    Args:
        following: gives the logits of the next token for `items * rules.beams` texts, those of an item one after the other.
        memory: what it begins with.
        items: how many items there are.
        rules: how texts are written.
        device: where.
    """
    return (_greedily if rules.beams == 1 else _with_beams)(following, memory, items, rules, device)


def padded(tokens: Tensor, rules: Rules) -> Tensor:
    """Texts `(b, n)` of at most `most` tokens -> `(b, most)`, filled up after the first end."""
    tokens = torch.nn.functional.pad(tokens, (0, rules.most - tokens.shape[1]), value=rules.pad)
    ended = _among(tokens, rules.ends).long()
    return tokens.masked_fill(ended.cumsum(1) - ended > 0, rules.pad)


def _greedily(following: Next, memory: Memory, items: Any, rules: Rules, device: torch.device) -> Tensor:
    places = torch.arange(rules.most + 1, device=device)

    def on(at: Tensor, texts: Tensor, done: Tensor, memory: Memory) -> Tensor:
        return (at < rules.most) & ~done.all()

    def step(at: Tensor, texts: Tensor, done: Tensor, memory: Memory) -> tuple[Any, ...]:
        logits, memory = following(_token(texts, at), at, memory)
        new = rules.ruled(logits, at).argmax(-1).masked_fill(done, rules.pad)
        return at + 1, torch.where(places == at + 1, new[:, None], texts), done | _among(new, rules.ends), memory

    begun = torch.where(places == 0, rules.start, rules.pad).expand(items, -1).clone()
    begin = (torch.zeros((), dtype=torch.int64, device=device), begun, torch.zeros(items, dtype=torch.bool, device=device), memory)
    return padded(looped(on, step, begin)[1][:, 1:], rules)


def _with_beams(following: Next, memory: Memory, items: Any, rules: Rules, device: torch.device) -> Tensor:
    """Beam search as transformers 5 has it (`GenerationMixin._beam_search`), to the same scores."""
    beams, most = rules.beams, rules.most
    candidates = max(2, 1 + len(rules.ends)) * beams
    places, ranks = torch.arange(most + 1, device=device), torch.arange(candidates, device=device)
    offsets = torch.arange(items, device=device)[:, None] * beams

    def on(go: Tensor, *_: Any) -> Tensor:
        return go.clone()

    def step(
        go: Tensor, at: Tensor, texts: Tensor, scores: Tensor, ended: Tensor, ended_scores: Tensor, done: Tensor, hope: Tensor, memory: Memory
    ) -> tuple[Any, ...]:
        logits, memory = following(_token(texts.flatten(0, 1), at), at, memory)
        chances = rules.ruled(logits.float().log_softmax(-1), at)
        vocabulary = chances.shape[-1]
        found = (chances.unflatten(0, (-1, beams)) + scores[:, :, None]).flatten(1).topk(candidates)
        new, origin = found.indices % vocabulary, found.indices // vocabulary
        longer = torch.where(places == at + 1, new[:, :, None], _taken(texts, origin))
        ends = _among(new, rules.ends) | (at + 1 >= most)
        running = found.values + ends * NEVER
        best = running.topk(beams).indices
        # Only the best candidates may end; the others are there so that enough go on.
        ending = ends & (ranks < beams)
        final = found.values / _power(at + 1, rules.penalty) + ~hope * NEVER + ~ending * NEVER
        if rules.early is True:
            final = final + done.all(1, keepdim=True) * NEVER
        every = torch.cat((ended_scores, final), 1)
        kept = every.topk(beams).indices
        ended, done = _taken(torch.cat((ended, longer), 1), kept), torch.cat((done, ending), 1).gather(1, kept)
        texts, scores, ended_scores = _taken(longer, best), running.gather(1, best), every.gather(1, kept)
        longest = torch.full_like(at, most) if rules.early == "never" and rules.penalty > 0 else at + 1
        worst = torch.where(done, ended_scores.amin(1, keepdim=True), NEVER)
        hope = hope & (scores[:, :1] / _power(longest, rules.penalty) > worst).any(1, keepdim=True)
        go = hope.any() & ~ends.all()
        if rules.early is True:
            go = go & ~done.all()
        rows = (origin.gather(1, best) + offsets).flatten()
        return go, at + 1, texts, scores, ended, ended_scores, done, hope, tuple(part.index_select(0, rows) for part in memory)

    begun = torch.where(places == 0, rules.start, rules.pad).expand(items, beams, -1).clone()
    first = torch.where(ranks[:beams] == 0, 0.0, NEVER).expand(items, -1).clone()
    begin = (
        torch.ones((), dtype=torch.bool, device=device),
        torch.zeros((), dtype=torch.int64, device=device),
        begun,
        first,
        begun.clone(),
        torch.full_like(first, NEVER),
        torch.zeros_like(first, dtype=torch.bool),
        torch.ones_like(first[:, :1], dtype=torch.bool),
        memory,
    )
    return padded(looped(on, step, begin)[4][:, 0, 1:], rules)


def looped(on: Callable[..., Tensor], step: Callable[..., tuple[Any, ...]], begin: tuple[Any, ...]) -> Any:
    """`step` as long as `on`, both called with the state; while a graph is made, one loop in it."""
    if not torch.compiler.is_exporting():
        while on(*begin):
            begin = step(*begin)
        return begin
    from torch._higher_order_ops import while_loop  # has no public name yet

    return while_loop(on, step, begin)


def _token(texts: Tensor, at: Tensor) -> Tensor:
    """The tokens `(n,)` of texts `(n, length)` at a place."""
    return texts.index_select(1, at.reshape(1))[:, 0]


def _taken(texts: Tensor, index: Tensor) -> Tensor:
    """`(b, n, length)` at `(b, k)` -> `(b, k, length)`."""
    return texts.gather(1, index[:, :, None].expand(-1, -1, texts.shape[2]))


def _power(length: Tensor, penalty: float) -> Tensor:
    return length.float() ** penalty


def _among(tokens: Tensor, some: tuple[int, ...]) -> Tensor:
    found = torch.zeros_like(tokens, dtype=torch.bool)
    for token in some:
        found = found | (tokens == token)
    return found


def _several(ids: Any) -> tuple[int, ...]:
    return () if ids is None else (ids,) if isinstance(ids, int) else tuple(ids)
