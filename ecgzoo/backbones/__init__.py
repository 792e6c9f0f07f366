"""The built-in networks, one file per family; this list imports neither torch nor timm.

`parameters` are the counts at 12 leads and 71 classes, and at 1 lead and 5 classes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ecgzoo.specs import BackboneSpec

# what timm1d.py can convert, and why not the rest; written by `python -m benchmarks.timm_names`
TIMM: dict[str, Any] = json.loads((Path(__file__).parent / "timm.json").read_text(encoding="utf-8"))

SPECS = (
    BackboneSpec(
        name="xresnet1d18",
        factory="ecgzoo.backbones.xresnet:xresnet1d18",
        summary="XResNet1d of the PTB-XL benchmark, 64 wide throughout: 8 basic blocks.",
        parameters=((12, 71, 373_447), (1, 5, 363_173)),
    ),
    BackboneSpec(
        name="xresnet1d34",
        factory="ecgzoo.backbones.xresnet:xresnet1d34",
        summary="XResNet1d of the PTB-XL benchmark, 64 wide throughout: 16 basic blocks.",
        parameters=((12, 71, 703_175), (1, 5, 692_901)),
    ),
    BackboneSpec(
        name="xresnet1d50",
        factory="ecgzoo.backbones.xresnet:xresnet1d50",
        summary="XResNet1d of the PTB-XL benchmark, 64 (256) wide throughout: 16 bottleneck blocks.",
        parameters=((12, 71, 962_503), (1, 5, 952_229)),
    ),
    BackboneSpec(
        name="xresnet1d101",
        factory="ecgzoo.backbones.xresnet:xresnet1d101",
        summary="XResNet1d of the PTB-XL benchmark, 64 (256) wide throughout: 33 bottleneck blocks.",
        parameters=((12, 71, 1_880_775), (1, 5, 1_870_501)),
    ),
    BackboneSpec(
        name="xresnet1d_tiny",
        factory="ecgzoo.backbones.xresnet:xresnet1d_tiny",
        summary="XResNet1d for microcontrollers, 32 to 48 wide: 4 basic blocks.",
        parameters=((12, 71, 88_919), (1, 5, 83_749)),
    ),
    BackboneSpec(
        name="resnet1d_wang",
        factory="ecgzoo.backbones.resnet_wang:resnet1d_wang",
        summary="Wang's ResNet1d as in the PTB-XL benchmark: 3 basic blocks, 128 wide, no pooling before the head.",
        parameters=((12, 71, 481_863), (1, 5, 463_493)),
    ),
    BackboneSpec(
        name="inception1d",
        factory="ecgzoo.backbones.inception:inception1d",
        summary="InceptionTime as in the PTB-XL benchmark: 6 modules with kernels 39, 19 and 9, at the full rate.",
        parameters=((12, 71, 516_167), (1, 5, 505_541)),
    ),
    BackboneSpec(
        name="resnet1d18",
        factory="ecgzoo.backbones.resnet:resnet1d18",
        summary="The classic ResNet-18 in one dimension: 8 basic blocks, 64 to 512 wide.",
        parameters=((12, 71, 3_885_255), (1, 5, 3_846_469)),
    ),
    BackboneSpec(
        name="resnet1d34",
        factory="ecgzoo.backbones.resnet:resnet1d34",
        summary="The classic ResNet-34 in one dimension: 16 basic blocks, 64 to 512 wide.",
        parameters=((12, 71, 7_259_591), (1, 5, 7_220_805)),
    ),
    BackboneSpec(
        name="resnet1d50",
        factory="ecgzoo.backbones.resnet:resnet1d50",
        summary="The classic ResNet-50 in one dimension: 16 bottleneck blocks, 256 to 2048 wide.",
        parameters=((12, 71, 16_104_647), (1, 5, 15_964_485)),
    ),
    BackboneSpec(
        name="mvkt_xresnet1d18",
        factory="ecgzoo.backbones.mvkt_xresnet:mvkt_xresnet1d18",
        summary="XResNet1d of MVKT-ECG: 8 basic blocks, 64 to 512 wide.",
        parameters=((12, 71, 3_936_007), (1, 5, 3_867_301)),
    ),
    BackboneSpec(
        name="mvkt_xresnet1d34",
        factory="ecgzoo.backbones.mvkt_xresnet:mvkt_xresnet1d34",
        summary="XResNet1d of MVKT-ECG: 16 basic blocks, 64 to 512 wide.",
        parameters=((12, 71, 7_310_343), (1, 5, 7_241_637)),
    ),
    BackboneSpec(
        name="mvkt_xresnet1d50",
        factory="ecgzoo.backbones.mvkt_xresnet:mvkt_xresnet1d50",
        summary="XResNet1d of MVKT-ECG: 16 bottleneck blocks, 256 to 2048 wide.",
        parameters=((12, 71, 16_264_455), (1, 5, 15_992_997)),
    ),
    BackboneSpec(
        name="mvkt_xresnet1d101",
        factory="ecgzoo.backbones.mvkt_xresnet:mvkt_xresnet1d101",
        summary="XResNet1d of MVKT-ECG, its teacher: 33 bottleneck blocks, 256 to 2048 wide.",
        parameters=((12, 71, 28_571_911), (1, 5, 28_300_453)),
    ),
)


def timm_specs() -> Iterator[BackboneSpec]:
    """The architectures of timm, as ``timm/NAME``; one that cannot be converted has the reason."""
    renamed: dict[str, list[str]] = {}
    for old, new in TIMM["renamed"].items():
        renamed.setdefault(new, []).append(f"timm/{old}")
    for name, about in TIMM["backbones"].items():
        kind = "as it is on a signal of height 1" if about.get("rule", "exact") == "exact" else "some layers by rule"
        yield BackboneSpec(
            name=f"timm/{name}",
            factory=f"ecgzoo.backbones.timm1d:{name}",
            summary=f"{name} of timm in one dimension, {kind}.",
            parameters=tuple((*key, count) for key, count in zip(((12, 5), (1, 5)), about["parameters"], strict=True)),
            aliases=tuple(renamed.get(name, ())),
            starts=("imagenet",),
        )
    for reason, names in TIMM["refused"].items():
        for name in names:
            yield BackboneSpec(
                name=f"timm/{name}",
                factory=f"ecgzoo.backbones.timm1d:{name}",
                summary=f"{name} of timm.",
                aliases=tuple(renamed.get(name, ())),
                unavailable=reason,
            )
