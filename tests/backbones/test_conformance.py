"""Every registered backbone keeps the contract, and a network that breaks one clause of it is told which."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ecgzoo import registry
from ecgzoo.errors import RegistryError
from ecgzoo.specs import BackboneSpec
from ecgzoo.testing.backbones import assert_backbone_conforms, assert_factory_conforms

# tracing many layers takes most of the time, and these have the blocks of others: 34 those of 18, 101 those of 50, and
# MVKT's and ResNet's 50 those of xresnet1d50, at the widths and with the head of their own 18
DEEP = [
    name
    for name in registry.names("backbone")
    if name.endswith(("34", "101")) or name in ("mvkt_xresnet1d50", "resnet1d50")
]


def marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.long] * (name in DEEP) + [pytest.mark.slow] * name.endswith("50")


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in registry.names("backbone")])
def test_registered_backbone_conforms(name: str) -> None:
    assert_backbone_conforms(name)


@pytest.mark.parametrize("name", DEEP)
def test_a_deep_backbone_has_the_parameters_of_its_spec(name: str) -> None:
    found = registry.get("backbone", name)
    for leads, classes, count in found.spec.parameters:
        assert sum(weight.numel() for weight in registry.factory(found)(leads, classes).parameters()) == count


def test_unknown_name_is_refused() -> None:
    with pytest.raises(RegistryError, match="xresnet1d18"):
        assert_backbone_conforms("xresnet1d19")


class Tiny(nn.Module):
    """A conforming network that inherits nothing of ours, with a zero-initialised scale as many networks have."""

    def __init__(self, num_leads: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(num_leads, 8, 5, stride=2, padding=2)
        self.norm = nn.BatchNorm1d(8)
        self.scale = nn.Parameter(torch.zeros(8, 1))
        self.dropout = nn.Dropout(0.5)
        self.num_features = self.head_hidden_size = 8
        self.feature_info = [{"num_chs": 8, "reduction": 2, "module": "norm"}]
        self.reset_classifier(num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.scale * self.norm(self.conv(x)))

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        embedding = self.dropout(x.mean(-1))
        return embedding if pre_logits else self.classifier(embedding)

    def get_classifier(self) -> nn.Linear:
        return self.classifier

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.classifier = nn.Linear(8, num_classes)


class AveragesLeads(Tiny):
    def __init__(self, num_leads: int, num_classes: int) -> None:
        super().__init__(1, num_classes)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward_features(x.mean(1, keepdim=True))


class HearsOneLead(Tiny):
    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward_features(torch.cat([x[:, :1], torch.zeros_like(x[:, 1:])], dim=1))


class UnusedParameter(Tiny):
    def __init__(self, num_leads: int, num_classes: int) -> None:
        super().__init__(num_leads, num_classes)
        self.spare = nn.Parameter(torch.ones(3))


class CutGradient(Tiny):
    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return super().forward_head(x.detach() + 0 * x, pre_logits)


class EvenLengthsOnly(Tiny):
    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward_features(x.unflatten(-1, (-1, 2)).mean(-1))


class NormalizesOverBatch(Tiny):
    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return super().forward_head(x - x.mean(0, keepdim=True), pre_logits)


class DropsInEvaluation(Tiny):
    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward_features(x + torch.randn_like(x))


class DropsAfterEmbedding(Tiny):
    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        embedding = x.mean(-1)
        return embedding if pre_logits else self.classifier(self.dropout(embedding))


class ChangesFeatures(Tiny):
    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        if pre_logits:
            return super().forward_head(x, pre_logits)
        out = super().forward_head(x)
        x.data.mul_(2)
        return out


class OtherForward(Tiny):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 1


class RemembersTheStem(Tiny):
    """Its head reads what forward_features has left there, so features of another record get it, too."""

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        self.level = x.mean()
        return super().forward_features(x)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return super().forward_head(x + self.level, pre_logits)


class RemembersEachRecord(RemembersTheStem):
    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        features = super().forward_features(x)
        self.level = x.mean((1, 2))[:, None, None]
        return features


class CentresInPlace(Tiny):
    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        if not x.requires_grad:
            x.sub_(x.mean(-1, keepdim=True))
        return super().forward_features(x)


class FixedClassifier(Tiny):
    def reset_classifier(self, num_classes: int) -> None:
        if not hasattr(self, "classifier"):
            super().reset_classifier(num_classes)


class WrongReduction(Tiny):
    def __init__(self, num_leads: int, num_classes: int) -> None:
        super().__init__(num_leads, num_classes)
        self.feature_info = [{"num_chs": 8, "reduction": 4, "module": "norm"}]


class WrongStageChannels(Tiny):
    def __init__(self, num_leads: int, num_classes: int) -> None:
        super().__init__(num_leads, num_classes)
        self.feature_info = [{"num_chs": 16, "reduction": 2, "module": "conv"}, *self.feature_info]


class UnsavedStatistics(Tiny):
    def __init__(self, num_leads: int, num_classes: int) -> None:
        super().__init__(num_leads, num_classes)
        self.register_buffer("level", torch.zeros(1), persistent=False)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.level += x.detach().abs().mean()
        return super().forward_features(x + self.level)


class SharedParameter(Tiny):
    def __init__(self, num_leads: int, num_classes: int) -> None:
        super().__init__(num_leads, num_classes)
        self.conv.bias = self.norm.bias


class BranchesOnData(Tiny):
    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward_features(x.nan_to_num() if x.isnan().any() else x)


class BreaksGraph(Tiny):
    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        torch._dynamo.graph_break()
        return super().forward_features(x)


class NoFeatureInfo(Tiny):
    def __init__(self, num_leads: int, num_classes: int) -> None:
        super().__init__(num_leads, num_classes)
        del self.feature_info


def with_kwargs(num_leads: int, num_classes: int, **options: float) -> Tiny:
    return Tiny(num_leads, num_classes)


def with_tensor_default(num_leads: int, num_classes: int, *, window: torch.Tensor = torch.ones(3)) -> Tiny:  # noqa: B008
    return Tiny(num_leads, num_classes)


def with_other_names(leads: int, classes: int) -> Tiny:
    return Tiny(leads, classes)


def with_required_argument(num_leads: int, num_classes: int, width: int) -> Tiny:
    return Tiny(num_leads, num_classes)


def spec(build: Callable[..., Any]) -> BackboneSpec:
    count = sum(parameter.numel() for parameter in build(2, 3).parameters())
    return BackboneSpec(name="tiny", factory="here:tiny", summary="A test's.", parameters=((2, 3, count),))


def test_network_that_inherits_nothing_conforms() -> None:
    tiny = spec(Tiny)
    state = torch.get_rng_state()
    assert_factory_conforms(tiny, Tiny)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (AveragesLeads, "shapes: built for 1 leads, it accepts 2"),
        (HearsOneLead, r"gradients: the logits do not depend on the leads at positions \[1, 2, .*, 11\]"),
        (UnusedParameter, "gradients: no gradient reaches the parameter spare"),
        (CutGradient, "gradients: the gradient of scale is zero everywhere"),
        (EvenLengthsOnly, "shapes: raised RuntimeError"),
        (NormalizesOverBatch, "evaluation mode: .* depend on the batch"),
        (DropsInEvaluation, "shapes: forward is not|evaluation mode: .* the same input gives different outputs"),
        (DropsAfterEmbedding, "head: in training mode, get_classifier"),
        (ChangesFeatures, "head: in evaluation mode, (get_classifier|forward_head changes)"),
        (OtherForward, r"shapes: forward is not forward_head\(forward_features\)"),
        (RemembersEachRecord, "evaluation mode: forward_head depends on what forward_features was called with last"),
        (CentresInPlace, "evaluation mode: it changes its input in place"),
        (FixedClassifier, r"reset_classifier: after reset_classifier\(7\), the logits are \[2, 3\]"),
        (WrongReduction, "feature_info: .*'reduction': 4"),
        (WrongStageChannels, "feature_info: .*this module gives 8 channels"),
        (UnsavedStatistics, "state_dict: a safetensors round trip"),
        (SharedParameter, "state_dict: raised RuntimeError: .*shared|state_dict: .*share memory"),
        (BranchesOnData, "torch.export: raised"),
        (BreaksGraph, "torch.compile: raised"),
        (NoFeatureInfo, "interface: it has no attribute feature_info"),
        (with_kwargs, r"spec: the factory takes \*options"),
        (with_tensor_default, "spec: raised TypeError: .*not JSON"),
        (with_other_names, r"spec: the factory's first arguments are \['leads', 'classes'\]"),
    ],
)
def test_broken_network_is_told_which_clause_it_breaks(build: Callable[..., Any], sentence: str) -> None:
    with pytest.raises(AssertionError, match=f"(?s)^tiny, (?:{sentence})"):
        assert_factory_conforms(spec(build), build)


def test_required_argument_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"^tiny, spec: the factory's argument width has no default"):
        assert_factory_conforms(spec(Tiny), with_required_argument)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        (((12, 71, 1234),), "1,151 parameters at 12 leads and 71 classes; its spec says 1,234"),
        ((), "no parameter counts"),
    ],
)
def test_wrong_or_missing_count_is_refused(parameters: tuple[tuple[int, int, int], ...], sentence: str) -> None:
    wrong = BackboneSpec(name="tiny", factory="here:tiny", summary="A test's.", parameters=parameters)
    with pytest.raises(AssertionError, match=f"^tiny, parameter count: .*{sentence}"):
        assert_factory_conforms(wrong, Tiny)
