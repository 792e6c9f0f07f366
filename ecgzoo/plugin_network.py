"""What a network of other code must do before it is trained; more checks are in ``ecgzoo.testing``."""

from typing import Any

import torch
from torch import Tensor, nn

from ecgzoo import registry
from ecgzoo.errors import RegistryError

BACKBONE_ATTRIBUTES = (
    "forward_features",
    "forward_head",
    "get_classifier",
    "reset_classifier",
    "num_features",
    "head_hidden_size",
    "num_classes",
    "feature_info",
)
_PROBE_SAMPLES = 250
_TOLERANCE = 1e-3  # another order of summation


def check_network(found: registry.Registered, network: object, num_leads: int, num_classes: int) -> None:
    """Check the network of a plugin before it is trained.

    Raises:
        RegistryError: it is not a network, lacks a method, ignores the leads or classes that it was built for, could
            not be saved, or predicts other logits than those that are trained.
    """
    from safetensors.torch import save

    if not isinstance(network, nn.Module):
        raise RegistryError(f"{found}: its factory made a {type(network).__name__}, which is not a torch.nn.Module")
    if missing := [name for name in BACKBONE_ATTRIBUTES if not hasattr(network, name)]:
        raise RegistryError(f"{found}: its network has no {', '.join(missing)}; see docs/plugins.md")
    try:
        save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
    except (RuntimeError, ValueError) as error:
        said = " ".join(str(error).split()).partition(". ")[0]
        raise RegistryError(
            f"{found}: its network could not be saved ({said}); give each weight one name, and a shape from the start"
        ) from error
    was_training = network.training
    network.eval()
    try:
        with registry.blamed(found), torch.no_grad():
            check_answers(str(found), network, num_leads, num_classes)
        try:
            with torch.no_grad():
                network(torch.zeros(1, num_leads + 1, _PROBE_SAMPLES))
        except Exception:  # any error is a refusal
            return
        raise RegistryError(f"{found}: built for {num_leads} leads, its network takes {num_leads + 1} as well")
    finally:
        network.train(was_training)


def check_answers(
    who: str, network: nn.Module, num_leads: int, num_classes: int, samples: int = _PROBE_SAMPLES
) -> None:
    """Check that `network`, in evaluation mode, predicts what is trained; `who` begins the error.

    Args:
        who: named in the error.
        network: a backbone in single precision on the CPU.
        num_leads: of its input.
        num_classes: of its logits.
        samples: of its input.

    Raises:
        RegistryError: it gives another number of logits, others alone than in a batch, or others than its parts.
    """
    two = torch.arange(2 * num_leads * samples).sin() + torch.linspace(-2, 2, 2 * num_leads * samples)
    two = two.view(2, num_leads, samples)  # a sine alone has a mean of zero
    logits, alone = network(two), network(two[:1])
    if alone.shape != (1, num_classes):
        raise RegistryError(f"{who}: built for {num_classes} classes, its network gives logits {list(alone.shape)}")
    if not same_outputs(alone, logits[:1], _TOLERANCE):
        raise RegistryError(
            f"{who}: in evaluation mode, its network gives a record other logits alone than in a batch, or random "
            "ones. Use no statistics of the batch and no dropout there."
        )
    _check_parts(who, network, two[:1], alone)


def _check_parts(who: str, network: Any, x: Tensor, logits: Tensor) -> None:
    """Check that a network trains (`EcgModel.view`) and predicts (its `forward`) the same `logits` for `x`.

    Raises:
        RegistryError: it does not, or its features or its embedding have another shape.
    """
    features = network.forward_features(x)
    embedding = network.forward_head(features, pre_logits=True)
    width, channels = int(network.head_hidden_size), int(network.num_features)
    if features.ndim != 3 or features.shape[1] != channels or embedding.shape != (1, width):
        raise RegistryError(
            f"{who}: its network gives features {list(features.shape)} and an embedding {list(embedding.shape)}; "
            f"expected [1, {channels}, T'] by num_features and [1, {width}] by head_hidden_size"
        )
    if not same_outputs(network.get_classifier()(embedding), logits, _TOLERANCE):
        raise RegistryError(
            f"{who}: its network's forward(x) is not get_classifier()(forward_head(forward_features(x), "
            "pre_logits=True)), which is what is trained. Make forward those steps, without a sigmoid."
        )


def same_outputs(found: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Whether both have one shape and are equal except for rounding: `tolerance` of the largest value, or of 1."""
    limit = tolerance * expected.abs().max().clamp(min=1)
    return found.shape == expected.shape and bool((found - expected).abs().max() <= limit)
