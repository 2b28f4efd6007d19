"""PatchCore: a memory of normal patches on the maps of any of timm's pyramids."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastgpu.nn.anomaly import AnomalyNetwork
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family
from fastgpu.zoo.vision.pyramids import build_backbone, pyramid_entry, pyramid_names

__all__ = ["PatchCore"]

MEMORY = 2000  # patches kept
WIDTH = 192  # numbers of a patch, after a random projection where the maps have more
SMOOTH = 3  # places over whose square distances are averaged
TAKEN = 1024  # patches of a batch that may enter the memory
CHUNK = 8192  # patches compared with the memory at once
MOMENTUM = 0.05  # of the running mean and deviation of normal distances


class _Normal(nn.Module):
    """Shift and scale of what shall be standard normal."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, values: Tensor) -> Tensor:
        return (values - self.shift) * torch.exp(-self.log_scale)


class PatchCore(AnomalyNetwork):
    """Scores a picture by the patch that is farthest from its nearest normal patch.

    After Roth et al., 2022, https://arxiv.org/abs/2106.08265, sections 3.1 and 3.3. Instead of the paper's greedy coreset
    the memory is a uniform sample of all patches seen in training, drawn batch by batch (Efraimidis and Spirakis, 2006,
    https://doi.org/10.1016/j.ipl.2005.11.003), so that it trains in the same loop as any network. Each value of a map is
    replaced by its square root with its sign (Perronnin et al., 2010, https://doi.org/10.1007/978-3-642-15561-1_11), and each
    map is scaled by its own deviation: a backbone without trained weights then serves too. Distances are standardised by
    those of normal pictures: what is learnt by gradient is only the shift and the scale by which normal scores are a standard
    normal distribution, by its negative log-likelihood. The backbone stays as it is.

    Args:
        body: pictures -> list of maps, finest first.
        widths: channels of each map.
    """

    memory: Tensor
    keys: Tensor
    projection: Tensor
    scale: Tensor
    seen: Tensor
    middle: Tensor
    spread: Tensor

    def __init__(self, body: nn.Module, widths: list[int]) -> None:
        super().__init__()
        self.body, self.widths, channels = body.requires_grad_(False), tuple(widths), sum(widths)
        width = min(channels, WIDTH)
        projection = torch.eye(channels) if width == channels else torch.randn(channels, width) / width**0.5
        self.register_buffer("projection", projection)
        self.register_buffer("memory", torch.zeros(MEMORY, channels))
        self.register_buffer("keys", torch.full((MEMORY,), -1.0))  # random, of patches kept; -1: the place is free
        self.register_buffer("scale", torch.ones(channels))  # of each channel: alike within a map
        self.register_buffer("seen", torch.zeros(()))  # batches seen
        self.register_buffer("middle", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))
        self.normal = _Normal()

    def train(self, mode: bool = True) -> PatchCore:
        super().train(mode)
        self.body.eval()  # its statistics are part of what the memory holds
        return self

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Score pictures; in training normal patches enter the memory.

        Args:
            image: `(b, c, h, w)`.

        Returns:
            `"score"` `(b,)`, about standard normal for normal pictures; `"map"` `(b, h, w)` on the same scale; `"losses"` `(b,)`.
        """
        with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
            patches = self._patches(image.to(next(self.body.parameters()).dtype))
            if self.training:
                self._remember(patches)
            distances = self._distances(patches)[:, None]
            distances = F.avg_pool2d(distances, SMOOTH, 1, SMOOTH // 2, count_include_pad=False)
            farthest = distances.flatten(1).amax(1)
            if self.training:
                self._measure(farthest)
        score = self.normal((farthest - self.middle) / self.spread)
        whole = F.interpolate(distances, image.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
        places = self.normal((whole - self.middle) / self.spread)
        return {"score": score, "losses": score.square() / 2 + self.normal.log_scale, "map": places}

    def _patches(self, image: Tensor) -> Tensor:
        """Each place of the finest map with its neighbours on all levels: `(b, h, w, channels)`."""
        maps = [F.avg_pool2d(each.to(self.scale.dtype), 3, 1, 1, count_include_pad=False) for each in self.body(image)]
        maps = [each.sign() * each.abs().sqrt() for each in maps]
        size = maps[0].shape[-2:]
        finest = [each if each.shape[-2:] == size else F.interpolate(each, size, mode="bilinear", align_corners=False) for each in maps]
        return torch.cat(finest, 1).permute(0, 2, 3, 1)

    def _remember(self, patches: Tensor) -> None:
        """A uniform sample of all patches so far: those with the largest of random keys stay."""
        flat = patches.flatten(0, 2)
        some = flat[torch.randint(len(flat), (min(TAKEN, len(flat)),), device=flat.device)]
        keys = torch.cat([self.keys, torch.rand(len(some), device=flat.device)])
        kept = keys.topk(len(self.keys)).indices
        self.memory.copy_(torch.cat([self.memory, some])[kept])
        self.keys.copy_(keys[kept])
        variance = torch.cat([part.mean().expand(len(part)) * len(part) for part in flat.var(0).split(self.widths)])
        self.scale.lerp_(variance.clamp_min(1e-12).rsqrt(), torch.where(self.seen == 0, 1.0, MOMENTUM))

    def _distances(self, patches: Tensor) -> Tensor:
        """Distance of each patch to its nearest in memory, every map on its own scale: `(b, h, w)`."""
        kept = (self.memory * self.scale) @ self.projection
        to = ((patches * self.scale) @ self.projection).flatten(0, 2)
        # |a - b|2 = |a|2 - 2ab + |b|2: the root is taken of the smallest alone.
        beside = kept.square().sum(1).masked_fill(self.keys < 0, torch.inf)
        nearest = torch.cat([torch.addmm(beside, part, kept.T, alpha=-2).amin(1) for part in to.split(CHUNK)])
        distances = (nearest + to.square().sum(1)).clamp_min(0).sqrt()
        # Before anything was seen there is nothing to be far from.
        return distances.masked_fill(distances.isinf(), 0).view(patches.shape[:-1])

    def _measure(self, farthest: Tensor) -> None:
        share = torch.where(self.seen == 0, 1.0, MOMENTUM)
        self.middle.lerp_(farthest.mean(), share)
        variance = (farthest - self.middle).square().mean()
        self.spread.copy_(self.spread.square().lerp(variance, share).sqrt().clamp_min(1e-6))
        self.seen.add_(1)


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """PatchCore on one of timm's pyramids: maps of strides 8 and 16 with pretrained weights, as in the paper.

    With random weights the map of stride 4 alone: what lies deeper in an untrained network tells textures apart less well.
    """

    def choose(strides: tuple[int, ...], trained: bool) -> tuple[int, ...]:
        wanted = (8, 16) if trained else (4,)
        return tuple(stride for stride in strides if stride in wanted) or strides[:1]

    body, about = build_backbone(name, facts, pretrained, choose)
    return Built(net=PatchCore(body, body.feature_info.channels()), head=("normal",), **about)


def entry(name: str) -> Entry:
    """Facts about PatchCore on a backbone."""
    found = pyramid_entry(name, "anomaly", "PatchCore, Roth et al., 2022, arXiv 2106.08265")
    typical = ({"kind": "image", "channels": 3, "size": (224, 224)}, {"task": "anomaly", "outputs": 1})
    return dataclasses.replace(found, typical=typical, licence=found.licence.replace("BSD-3-Clause (torchvision)", "Apache-2.0"))


FAMILIES.register("patchcore")(
    Family(names=lambda: pyramid_names("patchcore"), entry=entry, build=build, prefixes=("patchcore/",))
)
