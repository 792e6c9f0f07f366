"""The XResNet1d of MVKT-ECG (arXiv 2301.12178), with the classic widths instead of the PTB-XL benchmark's narrow ones.

These details give the published 28.3 M parameters of XResNet1d-101 at 12 leads: stem 32/64/64, stages 64/128/256/512
wide (times 4 after a bottleneck), kernel 3, and one linear layer directly after concat pooling. The rest is as in
``xresnet.py``.
"""

from torch import nn

from ecgzoo.backbones._base import Backbone
from ecgzoo.backbones._head import ConcatPool
from ecgzoo.backbones.xresnet import EXPANSION, STAGE_REDUCTIONS, xresnet_stages, xresnet_stem


class MvktXResNet1d(Backbone):
    """MVKT's XResNet1d with the given number of blocks in each of its four stages."""

    def __init__(
        self, num_leads: int, num_classes: int, depths: tuple[int, ...], *, bottleneck: bool, drop_rate: float
    ) -> None:
        widths = (64, 128, 256, 512)
        out_widths = [width * EXPANSION if bottleneck else width for width in widths]
        super().__init__(
            xresnet_stem(num_leads, widths=(32, 64, 64), kernel_size=3),
            xresnet_stages(64, widths, depths, kernel_size=3, bottleneck=bottleneck),
            list(zip(out_widths, STAGE_REDUCTIONS, strict=True)),
            nn.Sequential(ConcatPool(), nn.Dropout(drop_rate)),
            head_hidden_size=2 * out_widths[-1],
            num_classes=num_classes,
        )


def mvkt_xresnet1d18(num_leads: int, num_classes: int, *, drop_rate: float = 0.0) -> MvktXResNet1d:
    """MVKT's XResNet1d-18: basic blocks [2, 2, 2, 2]. `drop_rate` is the dropout before the classifier."""
    return MvktXResNet1d(num_leads, num_classes, (2, 2, 2, 2), bottleneck=False, drop_rate=drop_rate)


def mvkt_xresnet1d34(num_leads: int, num_classes: int, *, drop_rate: float = 0.0) -> MvktXResNet1d:
    """MVKT's XResNet1d-34: basic blocks [3, 4, 6, 3]. `drop_rate` as in `mvkt_xresnet1d18`."""
    return MvktXResNet1d(num_leads, num_classes, (3, 4, 6, 3), bottleneck=False, drop_rate=drop_rate)


def mvkt_xresnet1d50(num_leads: int, num_classes: int, *, drop_rate: float = 0.0) -> MvktXResNet1d:
    """MVKT's XResNet1d-50: bottleneck blocks [3, 4, 6, 3]. `drop_rate` as in `mvkt_xresnet1d18`."""
    return MvktXResNet1d(num_leads, num_classes, (3, 4, 6, 3), bottleneck=True, drop_rate=drop_rate)


def mvkt_xresnet1d101(num_leads: int, num_classes: int, *, drop_rate: float = 0.0) -> MvktXResNet1d:
    """MVKT's XResNet1d-101, its teacher: bottleneck blocks [3, 4, 23, 3]. `drop_rate` as in `mvkt_xresnet1d18`."""
    return MvktXResNet1d(num_leads, num_classes, (3, 4, 23, 3), bottleneck=True, drop_rate=drop_rate)
