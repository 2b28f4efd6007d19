"""The authors' networks for tables in a plain loop, without FastGPU: what `tables.py` compares with."""

import torch
from rtdl_revisiting_models import FTTransformer
from tabm import TabM
from torch import nn


def author_net(name: str, columns: int, outputs: int) -> nn.Module:
    if name == "ft_transformer/tiny":
        return FTTransformer(n_cont_features=columns, cat_cardinalities=[], d_out=outputs, **FTTransformer.get_default_kwargs(n_blocks=1))
    return TabM.make(n_num_features=columns, d_out=outputs, n_blocks=2, d_block=64, k=8)


def plain_loop(name, x, y, x_test, classes, *, epochs, batch_size, lr, seed):
    """Train on `(x, y)`, predict `x_test`: class numbers, or with `classes=0` numbers."""
    torch.manual_seed(seed)
    mean, std = x.mean(0), x.std(0)
    x, x_test = (torch.tensor((part - mean) / std).float().clamp(-8, 8) for part in (x, x_test))
    shift, scale = (0, 1) if classes else (y.mean(), y.std())
    y = torch.tensor(y) if classes else torch.tensor((y - shift) / scale).float()[:, None]
    net = author_net(name, x.shape[1], classes or 1)
    loss = nn.CrossEntropyLoss() if classes else nn.MSELoss()
    adam = torch.optim.AdamW(net.parameters(), lr)

    def members(rows):
        out = net(rows, None)
        return out if out.ndim == 3 else out[:, None]  # TabM gives (rows, members, outputs)

    for _ in range(epochs):
        net.train()
        for at in torch.randperm(len(x)).split(batch_size):
            out = members(x[at])
            loss(out.flatten(0, 1), y[at].repeat_interleave(out.shape[1], 0)).backward()
            adam.step()
            adam.zero_grad()
    net.eval()
    with torch.no_grad():
        out = members(x_test)
    return out.softmax(-1).mean(1).argmax(-1).numpy() if classes else (out.mean((1, 2)) * scale + shift).numpy()
