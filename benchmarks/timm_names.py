"""Which architectures of timm can be converted to signals, and why not the others?

    python -m benchmarks.timm_names             # every name, on one thread; continues a stopped run
    python -m benchmarks.timm_names --so-far    # writes the list without examining the rest
    python -m benchmarks.timm_names resnet18 …  # these names only, printed

Each network gets random weights and batch-norm statistics. ``exact``: on a signal of height 1, timm's network and the
converted one give the same features and embeddings. ``by_rule``: timm's network cannot run on height 1; each layer that
was converted by the sum of rows gives what timm's layer gives for its own input, repeated along height. Both must keep
the contract of backbones: any length, every parameter used, `feature_info`. Writes ``ecgzoo/backbones/timm.json``, from
which `ecgzoo list` and the factories read; what was found so far is kept in ``runs/timm_names.jsonl``.
"""

import argparse
import json
import logging
import resource
import warnings
from copy import deepcopy
from typing import Any
from unittest import mock

import timm
import torch
from rich.progress import track
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from benchmarks._report import CHECKOUT
from ecgzoo.backbones import TIMM, timm1d
from ecgzoo.files import write_text

LIST = CHECKOUT / "ecgzoo" / "backbones" / "timm.json"
DONE = CHECKOUT / "runs" / "timm_names.jsonl"
LARGEST = 150e6  # parameters in two dimensions
TOLERANCE = 1e-5  # of the largest value
LEADS, CLASSES = 47, 5  # no other axis of a layer has 47 channels
LENGTHS = {1: (333, 781), 64: (512, 960)}  # by multiple; their difference is a multiple of 64 and 14
UNKNOWN = {"refused": "it has not been examined yet: python -m benchmarks.timm_names."}
INITIAL = {
    *("normal_", "uniform_", "trunc_normal_", "erfinv_", "kaiming_normal_", "kaiming_uniform_", "xavier_normal_"),
    *("xavier_uniform_", "orthogonal_"),
}
# arguments of timm, of which the second is for transformers with positions, and what the length must be a multiple of
TRIES: tuple[tuple[dict[str, Any], int], ...] = (({}, 1), ({"dynamic_img_size": True}, 1), ({}, 64))


class MisfitError(Exception):
    """Why a network is not listed."""


class _Unset(TorchFunctionMode):
    """No initial values are drawn: `fill` sets them, and drawing takes most of the time of building a network."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") not in INITIAL:
            return func(*args, **kwargs)
        tensor = args[0] if args else kwargs["tensor"]
        self.asked += tensor.numel()
        if self.asked > 4 * LARGEST:  # some are drawn twice
            raise MisfitError(f"it has more than {LARGEST / 1e6:.0f} M parameters in timm; larger ones are not tested.")
        return tensor if tensor.numel() > 1000 else func(*args, **kwargs)


def fill(network: nn.Module) -> None:
    """Random weights and statistics, none of them zero, so that no branch is hidden."""
    draw = torch.Generator().manual_seed(0)
    some = torch.randn(1 << 20, generator=draw).clamp(-2.5, 2.5)
    with torch.no_grad():
        for number, (name, tensor) in enumerate(network.state_dict(keep_vars=True).items()):
            if not tensor.is_floating_point():
                continue
            start = 7919 * number % (1 << 19)
            values = some[start:]
            if tensor.numel() > len(values):
                values = values.repeat(-(-tensor.numel() // len(values)))
            values = values[: tensor.numel()].view(tensor.shape)
            if name.endswith("running_var"):
                tensor.copy_(values.abs() * 0.5 + 0.5)
            elif not isinstance(tensor, nn.Parameter):
                tensor.copy_(values * 0.1 if name.endswith("running_mean") else tensor)
            elif tensor.ndim > 1:
                torch.mul(values, max(1, tensor[0].numel()) ** -0.5, out=tensor)
            else:
                tensor.copy_(values * 0.2 + name.endswith("weight"))


class Converted:
    """A converted network, with what timm's network says before it is converted.

    Attributes:
        x: a signal ``[1, LEADS, T]``.
        wrapped: the backbone.
        by_rule: names of the layers converted by the sum of rows, inside timm's network.
        error: why timm's network cannot run on height 1, if it cannot.
    """

    def __init__(self, name: str, about: dict[str, Any], dtype: torch.dtype = torch.float32) -> None:
        self.x = torch.randn(1, LEADS, LENGTHS[about.get("multiple", 1)][0], dtype=dtype)
        self.error = ""
        self.expected: tuple[Tensor, Tensor] | None = None
        self.original: nn.Module | None = None
        self.by_rule: list[str] = []
        known = TIMM["backbones"].get(name)
        TIMM["backbones"][name] = about
        try:
            with _Unset(), mock.patch.object(timm1d, "to_1d", self._to_1d):
                self.wrapped = timm1d.Timm1d(name, LEADS, CLASSES, "middle")
        finally:
            if known is None:
                del TIMM["backbones"][name]
            else:
                TIMM["backbones"][name] = known
        self.wrapped.eval()

    @torch.no_grad()
    def _to_1d(self, network: Any, rows: timm1d.Rows, fresh: bool) -> list[str]:
        if sum(tensor.numel() for tensor in network.parameters()) > LARGEST:
            raise MisfitError(f"it has more than {LARGEST / 1e6:.0f} M parameters in timm; larger ones are not tested.")
        fill(network.eval().to(self.x.dtype))
        try:
            features = network.forward_features(self.x.unsqueeze(2))
            self.expected = features, network.forward_head(features, pre_logits=True)
        except Exception as error:  # timm's network may raise anything
            self.error = first_line(error)
            self.original = deepcopy(network)
        self.by_rule = real_to_1d(network, rows)
        return self.by_rule

    @torch.no_grad()
    def differs(self, features: Any = None) -> str:
        """How the converted network differs from timm's; empty if it does not.

        Args:
            features: what its ``forward_features`` gives for `x`, if known.
        """
        network, said = self.wrapped.network, list[str]()
        if self.expected is None:
            said = self._compare_layers()
        if features is None:
            features = network.forward_features(self.x.unsqueeze(2))
        if self.expected is None:
            return said[0] if said else ""
        embedding = network.forward_head(features, pre_logits=True)
        for what, found, wanted in zip(("features", "embedding"), (features, embedding), self.expected, strict=True):
            if found.shape != wanted.shape:
                return f"its {what} are {list(found.shape)}, and those of timm {list(wanted.shape)}"
            if (apart := distance(found, wanted)) > TOLERANCE:
                return f"its {what} differ from those of timm by {apart:.1g} of the largest"
        return ""

    def _compare_layers(self) -> list[str]:
        """Compare each layer in `by_rule` in the next pass with timm's, on its input repeated along height."""
        assert self.original is not None
        said: list[str] = []
        for name in self.by_rule:
            layer = self.wrapped.network.get_submodule(name)
            if not hasattr(layer, "pos_embed"):  # a transformer, not a layer
                layer.register_forward_hook(_compared(name, self.original.get_submodule(name), said))
        return said


def _compared(name: str, original: Any, said: list[str]) -> Any:
    @torch.no_grad()
    def hook(_: nn.Module, given: tuple[Tensor], out: Tensor) -> None:
        kernel = max(timm1d._pair(getattr(original, "kernel_size", 8)))
        height = 4 * kernel * timm1d._pair(getattr(original, "dilation", 1))[0] + 1
        wanted = original(given[0][:, :, :1].expand(-1, -1, height, -1))
        middle = wanted[:, :, wanted.shape[2] // 2 :][:, :, :1]
        if distance(out, middle.expand_as(out)) > TOLERANCE:
            said.append(f"its layer {name} is not that of timm on a repeated signal")

    return hook


real_to_1d = timm1d.to_1d


def as_steps(features: Tensor, about: dict[str, Any]) -> Tensor:
    """Timm's features as ``[B, C, T']``."""
    layout = about.get("layout", "NCHW")
    if layout == "NCHW":
        return features.squeeze(2)
    return (features.squeeze(1) if layout == "NHWC" else features).transpose(1, 2)


def distance(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    if not other.isfinite().all():
        raise MisfitError("its values overflow with random weights.")
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-3))


def first_line(error: Exception) -> str:
    """An error of timm or torch in one short line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]}".rstrip(": ")


def examine(name: str) -> dict[str, Any]:
    """What the list says about a network.

    Raises:
        MisfitError: it cannot be listed.
    """
    problem = ""
    for arguments, multiple in TRIES:
        about: dict[str, Any] = {"reduction": 1}
        about |= {"arguments": arguments} if arguments else {}
        about |= {"multiple": multiple} if multiple > 1 else {}
        try:
            made = Converted(name, about)
        except MisfitError:
            raise
        except Exception as error:
            if arguments:
                continue  # it has no such argument
            raise MisfitError(f"it cannot be built: {first_line(error)}.") from error
        said = made._compare_layers() if made.error else []
        seen = _watch(made.wrapped.network)
        try:
            with torch.no_grad():
                raw = made.wrapped.network.forward_features(made.x.unsqueeze(2))
        except Exception as error:
            problem = problem or f"it cannot run on height 1: {first_line(error)}."
            continue
        _judge(made, about, raw, said)
        _contract(made.wrapped, about, raw, seen)
        return about
    raise MisfitError(problem)


def _judge(made: Converted, about: dict[str, Any], raw: Any, layers: list[str]) -> None:
    """Note rule and layout, from the features of timm's converted network.

    Raises:
        MisfitError: the network or one of its `layers` is not that of timm.
    """
    if not isinstance(raw, Tensor):
        raise MisfitError(f"its features are a {type(raw).__name__}.")
    width = made.wrapped.num_features
    if raw.ndim == 3:
        about["layout"] = "NLC"
    elif raw.shape[1] != width and raw.shape[-1] == width:
        about["layout"] = "NHWC"
    if made.error:
        if not made.by_rule:
            raise MisfitError(f"it cannot run on height 1: {made.error}.")
        about["rule"] = "by_rule"
        said = layers[0] if layers else ""
    else:
        said = made.differs(raw)
        if said and " by " in said:  # perhaps rounding, as random weights can give large values
            said = Converted(made.wrapped.name, about, torch.float64).differs()
    if said:
        raise MisfitError(f"{said}.")


def _watch(network: Any) -> dict[str, list[Any]]:
    """Shapes of what the modules in `feature_info` will give."""
    seen: dict[str, list[Any]] = {}
    for stage in _stages(network):
        shapes = seen.setdefault(stage["module"], [])
        try:
            module = network.get_submodule(stage["module"])
        except AttributeError:
            continue
        module.register_forward_hook(lambda _, __, out, shapes=shapes: shapes.append(getattr(out, "shape", None)))
    return seen


def _stages(network: Any) -> list[dict[str, Any]]:
    return [stage for stage in getattr(network, "feature_info", []) if isinstance(stage, dict) and "module" in stage]


def _contract(wrapped: Any, about: dict[str, Any], raw: Tensor, seen: dict[str, list[Any]]) -> None:
    """Note reduction, stages and counts.

    Raises:
        MisfitError: the network breaks the contract of backbones.
    """
    lengths = LENGTHS[about.get("multiple", 1)]
    features = wrapped.forward_features(torch.randn(1, LEADS, lengths[1]))
    embedding = wrapped.forward_head(features, pre_logits=True)
    if embedding.shape[1] != wrapped.head_hidden_size:
        raise MisfitError(f"its embedding has {embedding.shape[1]} values, its size is {wrapped.head_hidden_size}.")
    logits = wrapped.get_classifier()(embedding)
    if features.shape[1] != wrapped.num_features:
        raise MisfitError(f"its features have {features.shape[1]} channels, num_features is {wrapped.num_features}.")
    extra, more = lengths[1] - lengths[0], features.shape[2] - as_steps(raw, about).shape[2]
    if more < 1 or extra % more:
        raise MisfitError("its number of steps does not grow with the length.")
    about["reduction"] = extra // more

    def fits(stage: dict[str, Any]) -> bool:
        shapes = seen[stage["module"]]
        return (
            len(shapes) >= 2
            and all(shape is not None and len(shape) == 4 and shape[1] == stage["num_chs"] for shape in shapes)
            and (shapes[-1][-1] - shapes[0][-1]) * stage["reduction"] == extra
        )

    stages = _stages(wrapped.network)
    if stages and all(map(fits, stages)):
        about["stages"] = True
    used = _used(logits)
    unused = [what for what, tensor in wrapped.named_parameters() if tensor not in used]
    if unused:
        raise MisfitError(f"its parameter {unused[0].removeprefix('network.')} is not used.")
    size = sum(tensor.numel() for tensor in used)
    first = sum(t.numel() // LEADS for t in used if t.ndim == 4 and t.shape[1] == LEADS)
    about["parameters"] = [size + first * (leads - LEADS) for leads in (12, 1)]


def _used(out: Tensor) -> set[Tensor]:
    """The parameters that a gradient of `out` reaches."""
    todo, nodes, found = [out.grad_fn], set(), set()
    while todo:
        node = todo.pop()
        if node is None or node in nodes:
            continue
        nodes.add(node)
        if hasattr(node, "variable"):
            found.add(node.variable)
        todo += [following for following, _ in node.next_functions]
    return found


def outcome(name: str) -> dict[str, Any]:
    """`examine`, with a reason instead of an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        try:
            return examine(name)
        except MisfitError as misfit:
            return {"refused": str(misfit)}
        except Exception as error:  # timm's networks may raise anything
            return {"refused": f"it breaks the contract of backbones: {first_line(error)}."}


def read_done() -> dict[str, dict[str, Any]]:
    """What was found so far."""
    if not DONE.exists():
        return {}
    return {name: found for line in DONE.read_text(encoding="utf-8").splitlines() for name, found in [json.loads(line)]}


def as_list(done: dict[str, dict[str, Any]]) -> str:
    """The content of timm.json, one network per line."""
    listed = {name: found for name, found in sorted(done.items()) if "refused" not in found}
    refused: dict[str, list[str]] = {}
    for name, found in sorted(done.items()):
        if "refused" in found:
            refused.setdefault(found["refused"], []).append(name)
    renamed = {old: new.partition(".")[0] for old, new in timm.models.get_deprecated_models().items() if new}
    renamed = {old: new for old, new in sorted(renamed.items()) if new in done and old not in done}

    def lines(values: dict[str, Any]) -> str:
        return ",\n".join(f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items())

    parts: dict[str, dict[str, Any]] = {"backbones": listed, "refused": refused, "renamed": renamed}
    body = ",\n".join(f'  "{what}": {{\n{lines(values)}\n  }}' for what, values in parts.items())
    return f'{{\n  "timm": "{timm.__version__}",\n  "torch": "{torch.__version__}",\n{body}\n}}\n'


def main() -> None:
    """Examine every name, or those given."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--so-far", action="store_true", help="examine no more names; write what was found so far")
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("timm").setLevel(logging.ERROR)
    if given.names:
        for name in given.names:
            print(name, outcome(name))
        return
    done = read_done()
    DONE.parent.mkdir(exist_ok=True)
    rest = [name for name in timm.list_models() if name not in done]
    with DONE.open("a", encoding="utf-8") as file:
        for name in track([] if given.so_far else rest, "timm"):
            done[name] = outcome(name)
            file.write(json.dumps([name, done[name]]) + "\n")
            file.flush()
    write_text(LIST, as_list({name: done.get(name, UNKNOWN) for name in timm.list_models()}))
    rules = [found.get("rule", "exact") for found in done.values() if "refused" not in found]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"{rules.count('exact')} exact, {rules.count('by_rule')} by rule, of {len(done)}; {peak:.1f} GB at most")


if __name__ == "__main__":
    main()
