"""Networks of every kind that compression has to serve, each with a batch that it takes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fastgpu import zoo

PICTURE = {"kind": "image", "channels": 3, "size": (32, 32)}
TABLE = {"kind": "table", "numbers": 3, "cardinalities": (4, 7)}
TEXT = {"kind": "text", "vocabulary": 50, "max_length": 12, "pad": 0}
SERIES = {"kind": "series", "channels": 2, "length": 24}

FAMILIES = {
    "resnet18": PICTURE,
    "mobilenetv2_050": PICTURE,
    "mobilenetv3_small_050": PICTURE,
    "tf_efficientnet_lite0": PICTURE,
    "convnext_atto": PICTURE,
    "regnetx_002": PICTURE,
    "test_vit": PICTURE,
    "mixer_s32_224": PICTURE,
    "swin_tiny_patch4_window7_224": PICTURE,
    "text_encoder/tiny": TEXT,
    "mlp": TABLE,
    "table_resnet": TABLE,
    "inception_time/small": SERIES,
    "lstm/small": SERIES,
}
"""Name of the zoo -> what its data are."""


def network(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A network with three outputs, from one seed, in evaluation mode, and four items for it."""
    torch.manual_seed(0)
    facts = FAMILIES[name]
    built = zoo.build(name, facts, {"task": "classification", "outputs": 3})
    for parameter in built.net.parameters():
        if parameter.ndim > 1 and not parameter.any():  # a head that begins with zeros would hide everything
            nn.init.normal_(parameter, std=0.02)
    if facts["kind"] == "image":
        return built.net.eval(), (torch.randn(4, 3, *built.declares.get("network_size", facts["size"])),)
    if facts["kind"] == "text":
        return built.net.eval(), (torch.randint(1, 50, (4, 9)), torch.arange(9) < torch.tensor([9, 4, 1, 7])[:, None])
    if facts["kind"] == "series":
        return built.net.eval(), (torch.randn(4, facts["length"], facts["channels"]),)
    return built.net.eval(), (torch.randn(4, 3), torch.randint(0, 4, (4, 2)))
