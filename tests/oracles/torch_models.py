"""Modules of PyTorch that tests take through torch.export; only where torch is installed.

`python tests/oracles/torch_models.py FOLDER [CLASSICS]` writes their graphs as JSON, without
weights, and those of torchvision's classics into a second folder.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """A residual block, its way around a 1x1 convolution."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, groups=2, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.down = nn.Sequential(nn.Conv2d(before, after, 1, stride), nn.BatchNorm2d(after))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += self.down(x)
        return self.relu(y)


class Residual(nn.Module):
    """As torchvision's ResNets begin and end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.layers = nn.Sequential(Block(8, 8, 1), Block(8, 16, 2))
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Any) -> Any:
        x = self.layers(self.pool(F.relu(self.bn(self.conv(x)))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


class Mobile(nn.Module):
    """Inverted residuals with squeeze and excitation, as MobileNetV3's."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Hardswish())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 5, 1, 2, groups=8), nn.ReLU6())
        self.fc1, self.fc2 = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.last = nn.Sequential(
            nn.Linear(8, 12), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(12, 5)
        )

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        y = self.deep(x)
        gate = F.hardsigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(y, 1)))))
        return self.last((x + y * gate).mean([2, 3]))


class Plain(nn.Module):
    """As AlexNet, VGG and the inception modules."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU(True), nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(6, 8, 3, padding="same", dilation=2), nn.ELU(), nn.AvgPool2d(2),
        )  # fmt: skip
        self.left, self.right = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 6, 3, padding=1)
        self.classifier = nn.Sequential(nn.Linear(10 * 4 * 4, 16), nn.Tanh(), nn.Linear(16, 7))

    def forward(self, x: Any) -> Any:
        x = self.features(x)
        x = torch.cat([F.leaky_relu(self.left(x), 0.1), self.right(x)], 1)
        x = F.adaptive_avg_pool2d(x, (4, 4))
        return F.softmax(self.classifier(x.view(x.size(0), -1)), dim=1)


class Enlarging(nn.Module):
    """As a U-Net: down, up, and what was before beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, 2, 1)
        self.norm = nn.GroupNorm(2, 8)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.out = nn.Conv2d(11, 2, 1)

    def forward(self, x: Any) -> Any:
        y = F.silu(self.norm(self.down(x)))
        z = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
        z = F.interpolate(z[:, :4], scale_factor=2.0).mean((2, 3), keepdim=True)
        y = torch.cat([self.up(y) + z, x, F.pad(x[:, :, 1:], (0, 0, 0, 1))[:, :2], x[:, :2]], 1)
        return torch.sigmoid(self.out(y))


class Attending(nn.Module):
    """A transformer's block before a head, as GPT-2's and llama's."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(20, 16), nn.Embedding(8, 16)
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.RMSNorm(16)
        self.qkv, self.project = nn.Linear(16, 48), nn.Linear(16, 16, bias=False)
        self.gate, self.wide, self.narrow = nn.Linear(16, 24), nn.Linear(16, 24), nn.Linear(24, 16)
        self.head = nn.Linear(16, 20, bias=False)

    def forward(self, numbers: Any) -> Any:
        x = self.tokens(numbers) + self.places(torch.arange(numbers.shape[1]))
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        q, k, v = (t.view(*t.shape[:2], 4, 4).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(y.transpose(1, 2).reshape(x.shape))
        y = self.norm2(x)
        x = x + self.narrow(F.silu(self.gate(y)) * self.wide(y))
        return self.head(F.gelu(x))


class Encoding(nn.Module):
    """A patch embedding and torch's own encoder layer, as ViT's."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 4, 4)
        self.places = nn.Parameter(torch.randn(1, 6, 12))
        self.q, self.k, self.v = (nn.Linear(12, 12) for _ in range(3))
        self.norm, self.out = nn.LayerNorm(12), nn.Linear(12, 3)

    def forward(self, x: Any) -> Any:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places
        q, k, v = self.q(x), self.k(x), self.v(x)
        shares = torch.softmax(q @ k.transpose(-2, -1) / 12**0.5, -1)
        return self.out(self.norm(x + shares @ v)[:, 0])


MAPS: Callable[..., Any] = lambda *sizes: torch.randn(2, 3, *sizes)  # noqa: E731
MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any]]] = {
    "residual": (Residual, lambda: MAPS(32, 32)),
    "mobile": (Mobile, lambda: MAPS(16, 16)),
    "plain": (Plain, lambda: MAPS(36, 34)),
    "enlarging": (Enlarging, lambda: MAPS(12, 8)),
    "attending": (Attending, lambda: torch.randint(0, 20, (2, 8))),
    "encoding": (Encoding, lambda: MAPS(8, 12)),
}


def made(name: str) -> tuple[nn.Module, Any]:
    """A module with seeded weights and statistics, and an example of its input."""
    torch.manual_seed(0)
    kind, example = MODELS[name]
    module = kind().eval()
    for buffer in module.buffers():
        if buffer.dtype.is_floating_point:
            buffer.add_(torch.rand_like(buffer) / 4)
    return module, example()


CLASSICS = ("resnet18", "googlenet", "mobilenet_v3_large", "efficientnet_b0", "vit_b_16")
"""Of torchvision, at 224x224."""


def classic(name: str) -> tuple[nn.Module, Any]:
    """A model of torchvision without trained weights."""
    from torchvision import models

    more = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    return getattr(models, name)(**more).eval(), torch.zeros(1, 3, 224, 224)


def write(folder: Path, name: str, module: nn.Module, example: Any) -> None:
    """A graph as text."""
    from accelsim.frontend.pytorch.program import document_of

    document, _ = document_of(torch.export.export(module, (example,)), name)
    lines = json.dumps(document, indent=None).replace('], ["', '],\n["')
    (folder / f"{name}.json").write_text(lines + "\n")


def main(folder: Path, classics: Path | None = None) -> None:
    """Write every graph."""
    for name in MODELS:
        write(folder, name, *made(name))
    for name in CLASSICS if classics else ():
        write(classics, name, *classic(name))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
