"""save_pretrained and load_pretrained: bit-equal, strict, verified."""

import dataclasses
import json
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import ecgzoo
from ecgzoo.errors import EcgZooError, EcgZooWarning, RegistryError, WeightsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return ecgzoo.save_pretrained(ecgzoo.create_model("xresnet1d18", ("II",), 3), tmp_path / "model")


def rewrite_config(folder: Path, **changes: object) -> None:
    values = json.loads((folder / "config.json").read_text())
    values.update(changes)
    (folder / "config.json").write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))


def rehash(folder: Path) -> None:
    import hashlib

    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    rewrite_config(folder, weights_sha256=digest)


def test_a_saved_model_comes_back_bit_equal(folder: Path) -> None:
    torch.manual_seed(0)
    model = ecgzoo.create_model("xresnet1d18", ("II",), 3).eval()
    back = ecgzoo.load_pretrained(folder)
    x = torch.randn(2, 1, 250)
    assert not back.training
    assert torch.equal(model(x), back(x))
    assert back.config == model.config
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_in_another_precision_is_saved_in_that_of_its_config(dtype: torch.dtype, tmp_path: Path) -> None:
    model = ecgzoo.create_student("xresnet1d_tiny", num_classes=2).to(dtype)
    loaded = ecgzoo.load_pretrained(ecgzoo.save_pretrained(model, tmp_path))  # it was saved, and then did not load
    for name, tensor in model.state_dict().items():
        there = loaded.state_dict()[name]
        assert there.dtype == (torch.float32 if tensor.is_floating_point() else tensor.dtype)
        assert torch.equal(there, tensor.to(there.dtype)), name


def test_the_same_weights_give_the_same_file(folder: Path, tmp_path: Path) -> None:
    again = ecgzoo.save_pretrained(ecgzoo.load_pretrained(folder), tmp_path / "again")
    for name in ("model.safetensors", "config.json"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_changed_weights_with_the_metrics_of_the_loaded_ones_are_said(tmp_path: Path) -> None:
    model = ecgzoo.create_student("xresnet1d18", pretrained=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ecgzoo.save_pretrained(model, tmp_path / "same")
    with torch.no_grad():
        model.get_classifier().bias.add_(1)
    with pytest.warns(EcgZooWarning, match="metrics, temperature and thresholds are saved with them"):
        ecgzoo.save_pretrained(model, tmp_path / "changed")
    model.reset_classifier(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ecgzoo.save_pretrained(model, tmp_path / "reset")


def test_create_student_loads_a_folder_and_checks_what_was_asked(folder: Path) -> None:
    assert ecgzoo.create_student("xresnet1d18", ("II",), pretrained=folder).num_classes == 3
    assert ecgzoo.create_student("xresnet1d18", pretrained=folder).config.leads == ("II",)
    for arguments in ({"name": "xresnet1d34"}, {"name": "xresnet1d18", "arguments": {"drop_rate": 0.1}}):
        with pytest.raises(WeightsError):
            ecgzoo.create_student(**arguments, pretrained=folder)
    with pytest.raises(WeightsError, match="not a folder"):
        ecgzoo.create_student("xresnet1d18", pretrained=folder / "nowhere")


def test_a_damaged_file_is_found_by_its_hash(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="sha256"):
        ecgzoo.load_pretrained(folder)


def test_a_missing_extra_or_reshaped_tensor_is_refused(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    name = next(iter(state))
    for changed in (
        {key: value for key, value in state.items() if key != name},
        {**state, "extra": torch.zeros(1)},
        {**state, name: torch.zeros(7)},
    ):
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
        rehash(folder)
        with pytest.raises(WeightsError, match="does not fit"):
            ecgzoo.load_pretrained(folder)


def test_a_file_that_is_no_safetensors_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    rehash(folder)
    with pytest.raises(WeightsError):
        ecgzoo.load_pretrained(folder)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema_version": "2.0"}, "schema version 2.0"),
        ({"schema_version": ...}, "schema version missing"),
        ({"leeds": ["I"]}, "leads"),
        ({"architecture": ...}, "no field architecture"),
        ({"arguments": {"depth": 3}}, "depth"),
        ({"weights_dtype": "float16"}, "float32, its config says float16"),
        ({"weights_dtype": "int8"}, "expected 'float32' or 'float16'"),
        ({"temperature": 0}, "temperature is 0"),
        ({"window_s": float("nan")}, "window_s=nan"),
        ({"stride_s": float("inf")}, "stride_s=inf"),
        ({"rate_hz": 1e308}, "rate"),
        ({"thresholds": []}, "expected an object"),
        ({"class_info": {"a": 1}, "classes": ["a", "b", "c"]}, "expected an object"),
        ({"architecture": ["xresnet1d18"]}, "expected a name"),
        ({"arguments": 3}, "expected an object"),
        ({"classes": ["a", "a", "b"]}, "distinct"),
        ({"num_classes": 10**8}, "nothing in it is for 100000000 classes"),
        ({"class_info": {"X": {}}}, "not one of"),
        ({"classes": ["a", "b", "c"], "thresholds": {"a": {"f1": 2}}}, "thresholds of a"),
        ({"num_classes": 4}, "does not fit"),
        ({"architecture": "../xresnet1d18"}, "No backbone is called"),
        ({"normalization": {"mean": 0}}, "mean"),
        ({"leads": "II"}, "expected a list"),
        ({"leads": ["Q7"]}, "Q7"),
        ({"units": "uV"}, "uV"),
        ({"weights_sha256": ...}, "sha256"),
    ],
)
def test_a_wrong_config_is_refused_with_its_file(folder: Path, changes: dict, reason: str) -> None:
    rewrite_config(folder, **changes)
    with pytest.raises((WeightsError, RegistryError), match=reason) as caught:
        ecgzoo.load_pretrained(folder)
    assert str(folder) in str(caught.value)


def test_a_newer_minor_schema_is_read(folder: Path) -> None:
    rewrite_config(folder, schema_version="1.9", something_new=1)
    assert ecgzoo.load_pretrained(folder).config.architecture == "xresnet1d18"


def test_other_faults_name_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no config\.json"):
        ecgzoo.load_pretrained(tmp_path)
    rewrite_config(folder, architecture="resnet_of_mine")
    with pytest.raises(RegistryError, match="resnet_of_mine"):
        ecgzoo.load_pretrained(folder)
    for content in ("{", "[]"):
        (folder / "config.json").write_text(content)
        with pytest.raises(EcgZooError, match=r"config\.json"):
            ecgzoo.load_pretrained(folder)


def test_nan_weights_are_not_saved(tmp_path: Path) -> None:
    model = ecgzoo.create_model("xresnet1d18")
    torch.nn.init.constant_(model.get_classifier().weight, float("nan"))
    with pytest.raises(WeightsError, match="NaN"):
        ecgzoo.save_pretrained(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    from ecgzoo.files import write_atomic

    path = tmp_path / "file"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_of_0_1_0_is_read(tmp_path: Path) -> None:
    """``config_1_0.json`` is the packaged teacher's own, as 0.1.0 wrote it."""
    now = Path(ecgzoo.__file__).parent / "weights" / "packaged" / "xresnet1d18.ptbxl_super_12"
    (tmp_path / "model.safetensors").write_bytes((now / "model.safetensors").read_bytes())
    old = json.loads(Path(__file__).with_name("config_1_0.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert old["schema_version"] == "1.0"
    model, packaged = ecgzoo.load_pretrained(tmp_path), ecgzoo.load_pretrained(now)
    assert model.config == packaged.config
    assert model.config.schema_version == "1.2"
    x = torch.randn(2, 12, 500)
    assert torch.equal(model(x), packaged(x))
    old["normalisation"] = {"kind": "record_z"}
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert ecgzoo.load_pretrained(tmp_path).config.normalization.kind == "window_z"
    (tmp_path / "config.json").write_text(json.dumps({**old, "leeds": 1}))
    with pytest.raises(WeightsError, match="unknown field 'leeds'"):
        ecgzoo.load_pretrained(tmp_path)


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    other, small = ecgzoo.create_student("resnet1d18"), ecgzoo.create_student("xresnet1d18")
    named = ecgzoo.EcgModel(other.backbone, small.config)
    with pytest.raises(WeightsError, match="could not be loaded: missing or unknown"):
        ecgzoo.save_pretrained(named, tmp_path / "x")
    mine = ecgzoo.EcgModel(small.backbone, dataclasses.replace(small.config, architecture="mine"))
    with pytest.raises(WeightsError, match="No backbone is called 'mine'.*in a plugin"):
        ecgzoo.save_pretrained(mine, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_network_that_is_no_backbone_is_said_to_be_none() -> None:
    model = ecgzoo.EcgModel(torch.nn.Linear(3, 3), ecgzoo.create_student("xresnet1d18").config)
    with pytest.raises(RegistryError, match=r"a Linear has no forward_features, .*docs/plugins\.md"):
        _ = model.info
