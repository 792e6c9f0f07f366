"""From what a user names to a model: folders, tags of distributions, adaptation to other leads and classes."""

import dataclasses
import hashlib
import json
import struct
import warnings
from pathlib import Path

import pytest
import torch

import ecgzoo
from ecgzoo import registry
from ecgzoo.errors import EcgZooError, EcgZooWarning, WeightsError
from ecgzoo.model import EcgModel
from ecgzoo.specs import WeightsSpec
from ecgzoo.weights.adapt import adapt
from ecgzoo.weights.resolve import lookup_weights


def save(folder: Path, leads: tuple[str, ...] = ("II",), num_classes: int = 3, name: str = "xresnet1d18") -> Path:
    torch.manual_seed(0)
    return ecgzoo.save_pretrained(ecgzoo.create_model(name, leads, num_classes), folder)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights ``inception1d.one`` (lead I, default), ``.two`` (lead II), ``.all`` (twelve leads)."""
    leads = {"one": ("I",), "two": ("II",), "all": ecgzoo.LEADS_12}
    entries = {}
    for tag, wanted in leads.items():
        save(tmp_path / f"inception1d.{tag}", wanted, name="inception1d")
        spec = WeightsSpec(
            name=f"inception1d.{tag}", factory="somewhere:folder", summary="", leads=wanted, default=tag == "one"
        )
        entries[spec.name] = (registry.Registered("weights", spec, "some-plugin", "1.0"),)
    table = registry._Table(entries, tuple(sorted(entries)), ())
    real = registry._table
    monkeypatch.setattr(registry, "_table", lambda kind: table if kind == "weights" else real(kind))
    real_factory = registry.factory
    monkeypatch.setattr(
        registry,
        "factory",
        lambda found: (lambda name: tmp_path / name) if found.kind == "weights" else real_factory(found),
    )
    return tmp_path


def test_a_folder_by_path_or_prefix(tmp_path: Path) -> None:
    folder = save(tmp_path / "model")
    for source in (folder, str(folder), f"local-dir:{folder}"):
        model = ecgzoo.load_pretrained(source)
        assert model.weights_source is not None
        assert (model.weights_source.origin, model.weights_source.location) == ("folder", str(folder))
        assert model.weights_source.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    with pytest.raises(WeightsError, match=r"no config\.json"):
        ecgzoo.load_pretrained(f"local-dir:{tmp_path / 'nowhere'}")


def test_a_tag_the_default_and_the_one_for_the_leads(installed: Path) -> None:
    def leads(model: EcgModel) -> tuple[str, ...]:
        return model.config.leads

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert leads(ecgzoo.load_pretrained("inception1d")) == ("I",)
        assert leads(ecgzoo.load_pretrained("inception1d.two")) == ("II",)
        assert leads(ecgzoo.create_student("inception1d", pretrained=True)) == ("I",)
        assert leads(ecgzoo.create_student("inception1d", leads="II", pretrained=True)) == ("II",)
        assert leads(ecgzoo.create_student("inception1d", pretrained="two")) == ("II",)
        assert leads(ecgzoo.create_student("inception1d.two", pretrained=True)) == ("II",)
        assert leads(ecgzoo.create_teacher("inception1d", pretrained=True)) == ecgzoo.LEADS_12
    with pytest.raises(WeightsError, match="names trained weights: set pretrained=True"):
        ecgzoo.create_student("inception1d.two")
    source = ecgzoo.create_student("inception1d", pretrained=True).weights_source
    assert source is not None
    assert (source.origin, source.location) == ("packaged", "inception1d.one of some-plugin 1.0")
    assert ecgzoo.list_pretrained("*.t*") == ["inception1d.two"]


@pytest.mark.parametrize(
    "name", ["a" * 5000, "inception1d.three", "inception", "../inception1d", "hf-hub:", "resnet1d50"]
)
def test_what_is_nowhere_is_told(installed: Path, name: str) -> None:
    with pytest.raises(EcgZooError):
        ecgzoo.load_pretrained(name)
    with pytest.raises(WeightsError, match="no weights have this name"):
        lookup_weights("resnet1d50")


def test_other_classes_mean_a_new_head_and_a_warning(tmp_path: Path) -> None:
    folder = save(tmp_path / "model")
    with pytest.warns(EcgZooWarning, match="classifier of 3 classes was replaced by a random one of 7"):
        model = ecgzoo.create_student("xresnet1d18", num_classes=7, pretrained=folder)
    plain = ecgzoo.load_pretrained(folder)
    x = torch.randn(2, 1, 250)
    assert torch.equal(model.eval().forward_features(x), plain.forward_features(x))
    assert model.num_classes == 7
    assert model.weights_source is not None
    assert len(model.weights_source.adapted) == 1


@pytest.mark.parametrize("name", ["xresnet1d18", "inception1d", "resnet1d_wang", "tcn_small"])
def test_leads_are_carried_over_by_name(tmp_path: Path, name: str) -> None:
    """On V2 and II of a model for I, II, V2: each has its own lead at 3/2 the size; an unknown one the mean of all."""
    folder = save(tmp_path / "model", ("I", "II", "V2"), name=name)
    plain = ecgzoo.load_pretrained(folder)
    with pytest.warns(EcgZooWarning, match="I, II, V2 became V2, II: V2, II kept by name. Train it before use"):
        model = ecgzoo.create_student(name, leads=("V2", "II"), pretrained=folder)
    config = dataclasses.replace(model.config, leads=plain.config.leads)  # undo only the scale and the order
    assert config.architecture.endswith(name)
    x = torch.randn(2, 2, 250)
    three = torch.zeros(2, 3, 250)
    three[:, 2], three[:, 1] = x[:, 0] * 1.5, x[:, 1] * 1.5
    torch.testing.assert_close(model(x), plain(three), rtol=1e-3, atol=1e-4)
    with pytest.warns(EcgZooWarning, match="none kept by name, V5 from the mean of all"):
        unknown = ecgzoo.create_student(name, leads="V5", pretrained=folder)
    torch.testing.assert_close(unknown(x[:, :1]), plain(x[:, :1].expand(-1, 3, -1)), rtol=1e-3, atol=1e-4)


def test_the_same_number_of_other_leads_is_no_less_an_adaptation(tmp_path: Path) -> None:
    folder = save(tmp_path / "model", ("I", "V2"))
    plain = ecgzoo.load_pretrained(folder)
    with pytest.warns(EcgZooWarning, match="I, V2 became V2, I: V2, I kept"):
        swapped = ecgzoo.create_student("xresnet1d18", leads=("V2", "I"), pretrained=folder)
    x = torch.randn(2, 2, 250)
    torch.testing.assert_close(swapped(x), plain(x.flip(1)), rtol=1e-4, atol=1e-5)
    assert not swapped.config.classes


def test_a_network_whose_use_of_leads_is_unknown_is_not_adapted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ecgzoo.load_pretrained(save(tmp_path / "model", ("I", "II")))
    with torch.no_grad():
        model.backbone.stem[0][0].weight = torch.nn.Parameter(torch.zeros(4, 2, 3, 1))
    with pytest.raises(WeightsError, match="cannot be adapted"):
        adapt(model, ("I",), 3)


def lying(header: dict, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


@pytest.mark.parametrize(
    "content",
    [
        lying({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1 << 40]}}),
        lying({"w": {"dtype": "F32", "shape": [1 << 40, 1 << 20], "data_offsets": [0, 16]}}, bytes(16)),
        lying({"w": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]}}, bytes(24)),
        lying({"w": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}}, bytes(16)),
        lying({"w": {"dtype": "F8_E8M0", "shape": [16], "data_offsets": [0, 16]}}, bytes(16)),
        struct.pack("<Q", 1 << 62) + b"{}",
        b"",
    ],
)
def test_a_lying_header_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = save(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(content)
    config = json.loads((folder / "config.json").read_text())
    config["weights_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="does not fit"):
        ecgzoo.load_pretrained(folder)


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = save(tmp_path / "model")
    state = load_file(folder / "model.safetensors")
    state["classifier.bias"][0] = float("nan")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["weights_sha256"] = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"classifier\.bias holds NaN"):
        ecgzoo.load_pretrained(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth"])
def test_a_pickle_is_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    folder = save(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(WeightsError, match=f"{name}, a pickle, which can run any code.*save_pretrained"):
        ecgzoo.load_pretrained(folder)


def test_half_precision_halves_the_file_and_keeps_the_rounded_weights(tmp_path: Path) -> None:
    from ecgzoo.weights.folder import rounded

    torch.manual_seed(0)
    model = ecgzoo.create_model("xresnet1d18", ("II",), 3).eval()
    model.config = dataclasses.replace(model.config, weights_dtype="float16")
    folder = ecgzoo.save_pretrained(model, tmp_path / "half")
    back = ecgzoo.load_pretrained(folder)
    x = torch.randn(2, 1, 250)
    assert next(back.parameters()).dtype == torch.float32
    assert not torch.equal(back(x), model(x))
    assert torch.equal(back(x), rounded(model)(x))
    full = save(tmp_path / "full")
    size = (folder / "model.safetensors").stat().st_size / (full / "model.safetensors").stat().st_size
    assert 0.49 < size < 0.55
    torch.nn.init.constant_(model.get_classifier().bias, 1e6)
    with pytest.raises(WeightsError, match="in half precision"):
        ecgzoo.save_pretrained(model, tmp_path / "too large")
