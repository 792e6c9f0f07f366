"""Networks of timm in one dimension: equal to timm's on a signal of height 1, and backbones like all others."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import ecgzoo
from benchmarks import timm_names
from benchmarks.timm_names import Converted, distance, outcome
from ecgzoo import registry
from ecgzoo.backbones import TIMM
from ecgzoo.errors import EcgZooError, RegistryError, WeightsError
from ecgzoo.testing.backbones import assert_backbone_conforms

timm = pytest.importorskip("timm")
timm1d = pytest.importorskip("ecgzoo.backbones.timm1d")

BACKBONES: dict[str, dict[str, Any]] = TIMM["backbones"]
EXACT = ["test_resnet", "test_efficientnet", "test_nfnet", "mobilenetv3_small_050", "regnetx_002", "ghostnet_050"]
BY_RULE = ["test_convnext", "test_vit"]
SIGNALS = (2, 3, 250)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def assert_as_listed(name: str) -> None:
    about = BACKBONES[name]
    made = Converted(name, about)
    assert bool(made.error) == (about.get("rule") == "by_rule"), made.error
    said = made.differs()
    if said and not made.error:  # large random values: is it rounding?
        said = Converted(name, about, torch.float64).differs()
    assert said == ""


@pytest.mark.parametrize("name", EXACT + BY_RULE)
def test_equal_to_timm(name: str) -> None:
    assert BACKBONES[name].get("rule", "exact") == ("exact" if name in EXACT else "by_rule")
    assert_as_listed(name)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_name_is_equal_to_timm(name: str) -> None:
    assert_as_listed(name)


def test_a_wrong_row_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = timm1d._row
    monkeypatch.setattr(timm1d, "_row", lambda kernel, *rest: 0 if kernel == 3 else right(kernel, *rest))
    assert "its features differ" in Converted("test_resnet", BACKBONES["test_resnet"]).differs()


def test_a_wrong_sum_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm1d, "_reduced", lambda weight, row: weight[:, :, (row or 0) : (row or 0) + 1])
    assert "its layer" in Converted("test_convnext", BACKBONES["test_convnext"]).differs()


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_nfnet"])
def test_gradients_are_those_of_timm(name: str) -> None:
    torch.manual_seed(0)
    two = timm.create_model(name, in_chans=3, num_classes=0).eval()
    timm_names.fill(two)
    one = timm.create_model(name, in_chans=3, num_classes=0).eval()
    one.load_state_dict(two.state_dict())
    timm1d.to_1d(one)
    grads = []
    for network in (two, one):
        x = torch.randn(2, 3, 1, 251, generator=torch.Generator().manual_seed(1), requires_grad=True)
        network.forward_features(x).square().mean().backward()
        grads.append((x.grad, dict(network.named_parameters())))
    (x2, of_two), (x1, of_one) = grads
    assert distance(x1, x2) < 1e-5
    assert of_one.keys() == of_two.keys()
    for what, parameter in of_one.items():
        wanted = of_two[what].grad
        if wanted.shape != parameter.shape:  # the other rows of timm's kernel meet only zeros
            middle = wanted.shape[2] // 2
            wanted = wanted[:, :, middle : middle + 1]
        assert (parameter.grad - wanted).abs().max() <= 1e-5 * wanted.abs().max().clamp(min=1e-3), what


def layers() -> list[Any]:
    """Layers with their input's height: 1 if they take it, else repeated."""
    convs = [
        nn.Conv2d(4, 6, kernel, stride, padding, dilation)
        for kernel, stride, padding, dilation in (
            *((3, 1, 1, 1), (3, 2, 1, 1), (7, 2, 3, 1), (3, 1, 2, 2), (5, 3, 2, 1), (1, 2, 0, 1)),
            *((4, 4, 0, 1), (2, 2, 0, 1), (3, 2, 0, 1), (4, 1, 1, 1), ((7, 1), 1, (3, 0), 1), ((1, 7), 1, (0, 3), 1)),
            (3, 1, "same", 2),
        )
    ]
    pools = [
        nn.MaxPool2d(3, 2, 1),
        nn.MaxPool2d(2, 2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.AvgPool2d(3, 1, 1),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False),
        nn.AvgPool2d(2, 2),
    ]
    of_timm = [
        timm.layers.Conv2dSame(4, 6, 3, 2),
        timm.layers.Conv2dSame(4, 6, 4, 2),
        timm.layers.StdConv2d(4, 6, 3, padding=1),
        timm.layers.ScaledStdConv2dSame(4, 6, 3, 2, padding="same"),
        timm.layers.ScaledStdConv2d(4, 6, 3, 1),
        timm.layers.BlurPool2d(4),
        timm.layers.BlurPool2d(4, pad_mode="constant"),
        timm.layers.pool2d_same.AvgPool2dSame(3, 2),
        timm.layers.pool2d_same.MaxPool2dSame(3, 2),
        nn.Upsample(scale_factor=2),
    ]
    return [*convs, *pools, *of_timm]


@pytest.mark.parametrize("number", range(len(layers())))
@pytest.mark.parametrize("length", [33, 40])
@torch.no_grad()
def test_each_layer(number: int, length: int) -> None:
    two, one = (nn.Sequential(layer) for layer in (layers()[number], layers()[number]))
    one.load_state_dict(two.state_dict())
    by_rule = timm1d.to_1d(one)
    x = torch.randn(2, 4, 1, length)
    if by_rule:
        wanted = two(x.expand(-1, -1, 33, -1))
        wanted = wanted[:, :, wanted.shape[2] // 2].unsqueeze(2)
    else:
        wanted = two(x)
    found = one(x)
    assert found.shape == wanted.shape
    assert found.shape[2] == 1
    assert distance(found, wanted) < 1e-5


@torch.no_grad()
def test_sum_of_rows_is_a_signal_repeated_along_height() -> None:
    for layer in (nn.Conv2d(4, 6, 3, 1, 1), nn.AvgPool2d(3, 1, 1), timm.layers.ScaledStdConv2d(4, 6, 3, 1)):
        x = torch.randn(2, 4, 1, 40)
        wanted = layer(x.expand(-1, -1, 9, -1))[:, :, 4]
        one = nn.Sequential(layer)
        timm1d.to_1d(one, "sum")
        assert distance(one(x).squeeze(2), wanted) < 1e-5


@torch.no_grad()
def test_random_kernels_keep_the_variance_of_timm() -> None:
    two = nn.Sequential(nn.Conv2d(64, 64, 7, padding=3, bias=False))
    x = torch.randn(4, 64, 1, 500)
    spread = two(x.expand(-1, -1, 15, -1))[:, :, 7].std().item()
    independent = two(torch.randn(4, 64, 15, 500))[:, :, 7].std().item()
    timm1d.to_1d(two, fresh=True)
    assert two(x).std().item() == pytest.approx(independent, rel=0.05)
    assert two(x).std().item() == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize("name", ["timm/test_resnet", "timm/test_vit"])
def test_the_contract(name: str) -> None:
    assert_backbone_conforms(name)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_saved_and_loaded(name: str, tmp_path: Path) -> None:
    model = ecgzoo.create_student(f"timm/{name}", rows="sum").eval()
    ecgzoo.save_pretrained(model, tmp_path / "model")
    loaded = ecgzoo.load_pretrained(tmp_path / "model")
    x = torch.randn(2, 1, 250)
    assert torch.equal(loaded(x), model(x))
    assert loaded.config.architecture == f"timm/{name}"
    assert loaded.config.arguments == {"rows": "sum"}
    with pytest.warns(UserWarning, match="leads I became"):
        ecgzoo.create_model(f"timm/{name}", leads=2, pretrained=tmp_path / "model")


def test_trains_in_bf16() -> None:
    model = ecgzoo.create_student("timm/test_resnet")
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(torch.randn(4, 1, 250))
    logits.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", ["test_resnet", "test_nfnet", "test_vit"])
def test_moves_to_a_gpu(name: str) -> None:
    model = ecgzoo.create_model(f"timm/{name}", 3)
    gpu = torch.device("cuda", 0)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to(gpu)
        for training in (True, False):
            model.train(training)
            view = model.view(torch.randn(*SIGNALS, device=gpu))
            assert {view.logits.device, view.embedding.device, view.features.device} == {gpu}


@pytest.mark.parametrize("name", ["test_vit", "deit_tiny_distilled_patch16_224"])
def test_losses_see_a_transformers_steps_in_time_and_no_class_token(name: str) -> None:
    torch.manual_seed(0)
    model, steps = ecgzoo.create_model(f"timm/{name}", 1).eval(), 20
    plain = torch.randn(1, 1, 16 * steps)
    rest = model.view(plain).features
    assert rest.shape[2] == steps
    torch.testing.assert_close(model.view(plain).logits, model(plain))
    for step in (0, 7, steps - 1):
        changed = plain.clone()
        changed[:, :, 16 * step : 16 * (step + 1)] += torch.randn(16)
        change = (model.view(changed).features - rest).square().sum((0, 1))
        assert change.argmax() == step


def test_a_signal_stays_channels_last() -> None:
    model, seen = ecgzoo.create_student("timm/mobilenetv3_small_050"), []
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_hook(lambda _, given, out: seen.append(given[0].stride()[1]))
    model(torch.randn(2, 1, 1000))
    assert set(seen[1:]) == {1}


@pytest.fixture
def weights_of_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """A saved state of timm's network, which timm takes for the weights that it would download."""
    network = timm.create_model("test_resnet")
    timm_names.fill(network)
    file = tmp_path / "weights.safetensors"
    import safetensors.torch

    safetensors.torch.save_file(network.state_dict(), file)
    config = timm.get_pretrained_cfg("test_resnet")
    tagged = f"test_resnet.{config.tag}"
    found = timm.models._registry._model_pretrained_cfgs[tagged]
    monkeypatch.setattr(found, "file", str(file))
    return network.state_dict()


@pytest.mark.parametrize("rows", ["middle", "sum"])
@pytest.mark.usefixtures("weights_of_timm")
def test_weights_of_imagenet(rows: str, weights_of_timm: dict[str, Tensor]) -> None:
    model = ecgzoo.create_model("timm/test_resnet", leads=1, num_classes=7, pretrained="imagenet", rows=rows)
    name, wanted = next((n, t) for n, t in weights_of_timm.items() if n.endswith("conv2.weight") and t.shape[2] == 3)
    found = model.backbone.network.state_dict()[name]
    assert torch.equal(found, wanted[:, :, 1:2] if rows == "middle" else wanted.sum(2, keepdim=True))
    stem, first = next(((n, t) for n, t in weights_of_timm.items() if t.ndim == 4))
    colours = first.sum(1, keepdim=True)  # as timm adapts three colours to one
    found = model.backbone.network.state_dict()[stem]
    assert distance(found, colours[:, :, 1:2] if rows == "middle" else colours.sum(2, keepdim=True)) < 1e-6
    assert model.num_classes == 7
    assert timm.__version__ in model.config.training["start"]
    assert model.weights_source is not None
    assert model.weights_source.origin == "start"
    with pytest.raises(WeightsError, match=r"has the weights of test_resnet.*the classifier is random"):
        model.predict(ecgzoo.Record.from_array(torch.zeros(1, 1000).numpy(), leads="I", rate_hz=100))


def test_without_network_imagenet_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **given: object) -> object:
        if given.get("pretrained"):
            raise ConnectionError("no route to host")
        return real(*_, **given)

    real = timm.create_model
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match=r"timm cannot load test_resnet\.\S+ \(ConnectionError: no route to host\)"):
        ecgzoo.create_model("timm/test_resnet", pretrained="imagenet")


def test_offline_imagenet_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    real = timm.create_model

    def made(*names: object, **given: object) -> object:
        asked.append(given.pop("pretrained", False))
        return real(*names, **given)

    monkeypatch.setattr(timm, "create_model", made)
    monkeypatch.setenv("ECGZOO_OFFLINE", "1")
    with pytest.raises(
        WeightsError, match="ECGZOO_OFFLINE forbids fetching test_resnet.r160_in1k; set HF_HUB_OFFLINE=1"
    ):
        ecgzoo.create_model("timm/test_resnet", pretrained="imagenet")
    assert True not in asked


def test_the_list() -> None:
    assert "timm/resnet18" in ecgzoo.list_models("timm/resnet*")
    assert not any("/" in name for name in ecgzoo.list_models())
    assert registry.families("backbone")["timm/*"] == len(ecgzoo.list_models("timm/*")) == len(BACKBONES)
    rules = [about.get("rule", "exact") for about in BACKBONES.values()]
    assert rules.count("exact") >= 450
    assert len(rules) >= 600
    families = {timm.models._registry._model_to_module.get(name) for name in BACKBONES}
    assert len(families) >= 35


def test_refused_names_say_why() -> None:
    reason, names = next(iter(TIMM["refused"].items()))
    with pytest.raises(RegistryError, match="is not available: it "):
        ecgzoo.create_model(f"timm/{names[0]}")
    assert reason.endswith(".")
    with pytest.raises(RegistryError, match="timm/resnet18"):
        ecgzoo.create_model("timm/resnet81")
    with pytest.raises(RegistryError, match="rows is 'top'"):
        ecgzoo.create_model("timm/test_resnet", rows="top")


def test_renamed_names_follow_timm() -> None:
    old, new = next((old, new) for old, new in TIMM["renamed"].items() if new in BACKBONES)
    assert registry.lookup("backbone", f"timm/{old}").spec.name == f"timm/{new}"
    assert timm.models.get_deprecated_models()[old].partition(".")[0] == new


def test_listing_imports_no_timm() -> None:
    code = """
import sys
from ecgzoo.cli.app import main
sys.argv = ["ecgzoo", "list", "timm/resnet*"]
main()
assert "timm" not in sys.modules and "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "timm/resnet18" in done.stdout


def test_the_rest_works_without_timm(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    code = """
import ecgzoo, json, torch
from ecgzoo.training.optimizer import make_optimizer
model = ecgzoo.create_student("xresnet1d18", pretrained=True)
model(torch.zeros(1, 1, 250))
said = []
for call in (
    lambda: ecgzoo.create_model("timm/test_resnet"),
    lambda: make_optimizer(model, ecgzoo.Recipe(losses=("bce=1",), output="unused"), 10),
):
    try:
        call()
    except ecgzoo.EcgZooError as error:
        said.append(str(error))
print(json.dumps([len(ecgzoo.list_models("timm/*")), said]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(ecgzoo.__file__).parents[1]}"},
    )
    assert done.returncode == 0, done.stderr
    number, said = json.loads(done.stdout.splitlines()[-1])
    assert number == len(BACKBONES)
    assert len(said) == 2
    assert all(
        "torchvision::nms does not exist" in one and "pip install --upgrade timm torchvision" in one for one in said
    )


def test_an_older_timm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "is_model", lambda name: False)
    with pytest.raises(EcgZooError, match=f"it is in timm {TIMM['timm']}: pip install --upgrade timm"):
        ecgzoo.create_model("timm/test_resnet")


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_the_command_finds_what_is_listed(name: str) -> None:
    assert outcome(name) == BACKBONES[name]
