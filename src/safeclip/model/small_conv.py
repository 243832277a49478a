"""A small residual convolutional tower for pictures of 32 to 64 px, known to timm as `safeclip_conv`.

Three stages after a stride-2 stem, one basic residual block each (He et al. 2015), average-pooled. Registered with
timm so that open_clip's factory builds it from a plain JSON config like any other tower.
"""

from __future__ import annotations

from typing import Any

from timm.models import register_model
from torch import Tensor, nn

WIDTHS = (48, 96, 192)


class SmallConv(nn.Module):
    """Images (B, 3, H, W) float, H and W multiples of 8 -> features (B, widths[-1])."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS, blocks: tuple[int, ...] = (1, 1, 1)):
        super().__init__()
        self.num_features = widths[-1]
        self.pretrained_cfg = self.default_cfg = {"pool_size": None, "input_size": (3, 32, 32)}
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        stages: list[nn.Module] = []
        inputs = widths[0]
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for block in range(count):
                stages.append(_Block(inputs, width, stride=2 if stage and not block else 1))
                inputs = width
        self.stages = nn.Sequential(*stages)

    def forward(self, image: Tensor) -> Tensor:
        grid: Tensor = self.stages(self.stem(image))
        return grid.mean((2, 3))

    def reset_classifier(self, num_classes: int, global_pool: str = "avg") -> None:
        """open_clip's adapter calls this to be rid of a head; there is none here."""
        if num_classes or global_pool != "avg":
            raise ValueError(
                f"safeclip_conv has no classifier and average pooling only, not {num_classes}, {global_pool!r}"
            )


class _Block(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        same = inputs == width and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, width, stride, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        joined: Tensor = self.relu(self.shortcut(x) + branch)
        return joined


@register_model
def safeclip_conv(pretrained: bool = False, **_: Any) -> SmallConv:
    """The tower of `safeclip-emoji`, at 32 px: 0.7 M parameters."""
    return _untrained(pretrained, SmallConv())


@register_model
def safeclip_conv_64px(pretrained: bool = False, **_: Any) -> SmallConv:
    """The tower of `safeclip-64px`: one more stage, 64 px down to 4 x 4."""
    return _untrained(pretrained, SmallConv((48, 96, 192, 256), (1, 1, 1, 1)))


def _untrained(pretrained: bool, model: SmallConv) -> SmallConv:
    if pretrained:
        raise ValueError("there are no published weights of safeclip's small towers; train one with `safeclip train`")
    return model
