"""assert_backbone_conforms: check the backbone contract, for built-in networks and for those of plugins."""

import inspect
import json
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import safetensors.torch
import torch
from torch import nn

from ecgzoo import registry
from ecgzoo.plugin_network import BACKBONE_ATTRIBUTES, same_outputs
from ecgzoo.specs import BackboneSpec
from ecgzoo.testing.findings import Findings, Require

Factory = Callable[[int, int], Any]  # (num_leads, num_classes) -> network

LEADS, CLASSES = 12, 3
LENGTHS = (250, 251, 333)  # samples; wrong padding shows at odd lengths


def assert_backbone_conforms(name: str) -> None:
    """Check that the registered backbone `name` follows the contract of ``docs/architecture.md``, on the CPU.

    This checks shapes at odd lengths and several numbers of leads, evaluation mode, gradients, head and classifier,
    `feature_info`, safetensors round trip, torch.export, torch.compile, and the parameter counts of its spec.
    torch's random state is not changed; its compile cache is emptied.

    Raises:
        AssertionError: a sentence for each failure, with the backbone, the check and what was found; and the parameter
            counts, to paste into its spec.
        RegistryError: no backbone has this name, or its factory cannot be imported.
    """
    check_backbone(name).conclude()


def assert_factory_conforms(spec: BackboneSpec, build: Factory) -> None:
    """`assert_backbone_conforms` for a network that is not registered yet: ``build(num_leads, num_classes)``.

    Raises:
        AssertionError: a sentence for each failure, with the backbone, the check and what was found.
    """
    check_factory(spec, build).conclude()


def check_backbone(name: str) -> Findings:
    """The findings of `assert_backbone_conforms`."""
    found = registry.get("backbone", name)
    return check_factory(found.spec, registry.factory(found))


def check_factory(spec: BackboneSpec, build: Factory) -> Findings:
    """The findings of `assert_factory_conforms`."""
    findings = Findings(spec.name)
    with findings.clause("spec") as require:
        _check_spec(spec, build, require)
    with findings.clause("parameter count") as require:
        findings.notes["parameter count"] = f"the spec's line is parameters={_check_parameters(spec, build, require)},"
    for what, check in _CHECKS.items():
        with findings.clause(what) as require:
            check(build, require)
    return findings


def _same(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return same_outputs(found, expected, 1e-4)


def _built(build: Factory, num_leads: int = LEADS) -> Any:
    """A network in evaluation mode, without all-zero parameters, because these would hide what they multiply."""
    network = build(num_leads, CLASSES)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network.eval()


def _check_spec(spec: BackboneSpec, build: Factory, require: Require) -> None:
    json.dumps(asdict(spec))
    arguments = list(inspect.signature(build).parameters.values())
    names = [argument.name for argument in arguments]
    require(
        names[:2] == ["num_leads", "num_classes"],
        f"the factory's first arguments are {names[:2]}, not num_leads and num_classes.",
    )
    for argument in arguments:
        require(
            argument.kind not in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL),
            f"the factory takes *{argument.name}; name every argument, so that a misspelled one is refused.",
        )
    for argument in arguments[2:]:
        require(argument.default is not argument.empty, f"the factory's argument {argument.name} has no default.")
        json.dumps(argument.default)


def _check_parameters(spec: BackboneSpec, build: Factory, require: Require) -> str:
    """Compare the spec's counts with those of the network; return the latter as text for the spec."""
    require(bool(spec.parameters), "the spec has no parameter counts.")
    counts = []
    for num_leads, num_classes, expected in spec.parameters or ((LEADS, 5, None), (1, 5, None)):
        found = sum(parameter.numel() for parameter in build(num_leads, num_classes).parameters())
        require(
            expected in (None, found),
            f"{found:,} parameters at {num_leads} leads and {num_classes} classes; its spec says {expected or 0:,}.",
        )
        counts.append(f"({num_leads}, {num_classes}, {found:_})")
    return f"({', '.join(counts)}{',' * (len(counts) == 1)})"


def _check_interface(build: Factory, require: Require) -> None:
    network = build(LEADS, CLASSES)
    require(isinstance(network, nn.Module), f"the factory returns {type(network).__name__}, not an nn.Module.")
    has = [require(hasattr(network, name), f"it has no attribute {name}.") for name in BACKBONE_ATTRIBUTES]
    if all(has):
        require(network.num_classes == CLASSES, f"num_classes is {network.num_classes} when built for {CLASSES}.")


@torch.no_grad()
def _check_shapes(build: Factory, require: Require) -> None:
    for num_leads, length in zip((1, 2, LEADS), LENGTHS, strict=True):
        network = _built(build, num_leads)
        where = f"at {num_leads} leads and {length} samples"
        x = torch.randn(2, num_leads, length)
        features = network.forward_features(x)
        require(
            features.ndim == 3 and features.shape[:2] == (2, network.num_features),
            f"forward_features gives {list(features.shape)} {where}, not [2, {network.num_features}, T'].",
        )
        embedding = network.forward_head(features, pre_logits=True)
        require(
            embedding.shape == (2, network.head_hidden_size),
            f"the embedding is {list(embedding.shape)} {where}, not [2, {network.head_hidden_size}].",
        )
        logits = network(x)
        require(
            logits.shape == (2, CLASSES) and bool(logits.isfinite().all()),
            f"the logits are {list(logits.shape)} {where}, not [2, {CLASSES}] finite values.",
        )
        require(
            _same(network.forward_head(features), logits), f"forward is not forward_head(forward_features) {where}."
        )
        for other in {1, num_leads + 1} - {num_leads}:
            try:
                network(torch.randn(2, other, length))
            except Exception:  # any error is a refusal
                continue
            require(False, f"built for {num_leads} leads, it accepts {other}; use num_leads in the first layer.")


@torch.no_grad()
def _check_evaluation(build: Factory, require: Require) -> None:
    network = _built(build)
    x = torch.randn(3, LEADS, LENGTHS[0])
    before = x.clone()
    logits = network(x)
    require(torch.equal(x, before), "it changes its input in place.")
    require(torch.equal(network(x), logits), "in evaluation mode, the same input gives different outputs.")
    alone = torch.cat([network(record[None]) for record in x])
    require(_same(alone, logits), "in evaluation mode, a record's logits depend on the batch that it is in.")
    features = [network.forward_features(record[None]) for record in x]
    require(
        _same(torch.cat([network.forward_head(each) for each in features]), logits),
        "forward_head depends on what forward_features was called with last, not only on the features that it gets.",
    )


def _check_gradients(build: Factory, require: Require) -> None:
    network = _built(build).train()
    x = torch.randn(4, LEADS, LENGTHS[0], requires_grad=True)
    network(x).square().mean().backward()
    for name, parameter in network.named_parameters():
        gradient = parameter.grad
        if gradient is None:
            require(False, f"no gradient reaches the parameter {name}; remove it, or make a constant a buffer.")
        elif require(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite."):
            require(bool(gradient.any()), f"the gradient of {name} is zero everywhere.")
    gradient = x.grad
    deaf = [] if gradient is None else [lead for lead in range(LEADS) if not gradient[:, lead].any()]
    require(gradient is not None and not deaf, f"the logits do not depend on the leads at positions {deaf}.")


def _check_head(build: Factory, require: Require) -> None:
    network = _built(build)
    classifier = network.get_classifier()
    require(
        isinstance(classifier, nn.Linear)
        and (classifier.in_features, classifier.out_features) == (network.head_hidden_size, CLASSES),
        f"get_classifier gives {classifier}; expected a Linear from {network.head_hidden_size} to {CLASSES}.",
    )
    for training in (False, True):
        network.train(training)
        mode = "training" if training else "evaluation"
        features = network.forward_features(torch.randn(4, LEADS, LENGTHS[0])).detach()
        before = features.clone()
        torch.manual_seed(1)
        logits = network.forward_head(features)
        torch.manual_seed(1)
        embedding = network.forward_head(features, pre_logits=True)
        require(
            _same(classifier(embedding), logits),
            f"in {mode} mode, get_classifier()(forward_head(f, pre_logits=True)) is not forward_head(f).",
        )
        require(torch.equal(features, before), f"in {mode} mode, forward_head changes the features that it is given.")


@torch.no_grad()
def _check_reset_classifier(build: Factory, require: Require) -> None:
    network = _built(build)
    x = torch.randn(2, LEADS, LENGTHS[0])
    embedding = network.forward_head(network.forward_features(x), pre_logits=True)
    network.reset_classifier(CLASSES + 4)
    logits = network(x)
    require(
        logits.shape == (2, CLASSES + 4) and network.num_classes == CLASSES + 4,
        f"after reset_classifier({CLASSES + 4}), the logits are {list(logits.shape)} "
        f"and num_classes is {network.num_classes}.",
    )
    require(
        _same(network.forward_head(network.forward_features(x), pre_logits=True), embedding),
        "reset_classifier changes the embedding.",
    )


@torch.no_grad()
def _check_feature_info(build: Factory, require: Require) -> None:
    network = _built(build)
    info = network.feature_info
    require(
        bool(info) and all(set(stage) >= {"num_chs", "reduction", "module"} for stage in info),
        f"feature_info is {info}, not a list of {{num_chs, reduction, module}}.",
    )
    require(
        info[-1]["num_chs"] == network.num_features,
        f"feature_info ends with {info[-1]['num_chs']} channels, num_features is {network.num_features}.",
    )
    shapes: dict[str, list[torch.Size]] = {stage["module"]: [] for stage in info}
    for name, seen in shapes.items():
        network.get_submodule(name).register_forward_hook(lambda _, __, out, seen=seen: seen.append(out.shape))
    # Two lengths that differ by whole steps, so that the effect of padding at the ends cancels.
    extra = 4 * math.lcm(*(stage["reduction"] for stage in info))
    for length in (LENGTHS[1], LENGTHS[1] + extra):
        network.forward_features(torch.randn(1, LEADS, length))
    for stage in info:
        short, long = shapes[stage["module"]]
        require(
            short[1] == stage["num_chs"] and (long[-1] - short[-1]) * stage["reduction"] == extra,
            f"feature_info says {stage}, but this module gives {short[1]} channels, "
            f"and {long[-1] - short[-1]} more steps for {extra} more samples.",
        )


def _check_state_dict(build: Factory, require: Require) -> None:
    network = _built(build).train()
    x = torch.randn(4, LEADS, LENGTHS[0])
    with torch.no_grad():
        network(x)  # changes the running statistics, which must be saved too
        expected = network.eval()(x)
        loaded = build(LEADS, CLASSES).eval()
        loaded.load_state_dict(safetensors.torch.load(safetensors.torch.save(network.state_dict())), strict=True)
        require(torch.equal(loaded(x), expected), "a safetensors round trip of its state_dict changes the logits.")


@torch.no_grad()
def _check_export(build: Factory, require: Require) -> None:
    network = _built(build)
    x = torch.randn(3, LEADS, LENGTHS[1])
    exported = torch.export.export(network, (x[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},))
    require(_same(exported.module()(x), network(x)), "torch.export changes the logits.")


@torch.no_grad()
def _check_compile(build: Factory, require: Require) -> None:
    network = _built(build)
    x = torch.randn(2, LEADS, LENGTHS[1])
    expected = network(x)
    torch.compiler.reset()  # else networks compiled before would count towards dynamo's recompilation limit
    # Use the eager backend: a network can only break the capture of one whole graph, code generation is torch's part.
    compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(network, fullgraph=True, backend="eager")
    require(_same(compiled(x), expected), "torch.compile changes the logits.")


_CHECKS: dict[str, Callable[[Factory, Require], None]] = {
    "interface": _check_interface,
    "shapes": _check_shapes,
    "evaluation mode": _check_evaluation,
    "gradients": _check_gradients,
    "head": _check_head,
    "reset_classifier": _check_reset_classifier,
    "feature_info": _check_feature_info,
    "state_dict": _check_state_dict,
    "torch.export": _check_export,
    "torch.compile": _check_compile,
}
