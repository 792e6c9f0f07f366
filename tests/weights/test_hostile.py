"""Damaged or hostile weights give one line of error before memory is allocated; NaN never gives a finding."""

import dataclasses
import hashlib
import json
import os
import re
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import ecgzoo
from ecgzoo.errors import EcgZooError, WeightsError
from ecgzoo.model import EcgModel
from ecgzoo.weights.card import render_card

MANY = "9" * 5000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = ecgzoo.create_model("xresnet1d18", ("II",), 3)
    model.config = dataclasses.replace(model.config, classes=("A", "B", "C"))
    return ecgzoo.save_pretrained(model, tmp_path / "model")


def change(folder: Path, **changes: object) -> None:
    values = json.loads((folder / "config.json").read_text())
    values["weights_sha256"] = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "config.json").write_text(json.dumps({**values, **changes}))


def change_tensors(folder: Path, **changes: torch.Tensor) -> None:
    state = {**load_file(folder / "model.safetensors"), **changes}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    change(folder)


def refused(folder: Path | str, kind: type[EcgZooError] = WeightsError) -> str:
    start = time.process_time()
    with pytest.raises(kind) as caught:
        ecgzoo.load_pretrained(folder)
    assert time.process_time() - start < 2
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 4000
    return str(caught.value)


@pytest.fixture
def nothing_is_built(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def build(config: object) -> None:
        raise AssertionError("it was built")

    monkeypatch.setattr(EcgModel, "build", build)


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize("classes", [3_000_000, 10**9])
def test_an_empty_tensor_of_many_rows_builds_no_network(folder: Path, classes: int) -> None:
    change_tensors(folder, empty=torch.empty(3_000_000, 0))
    if classes > 3_000_000:  # safetensors itself writes no such shape
        content = (folder / "model.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        header = content[8 : 8 + length].replace(b"3000000,0", b"%d,0" % classes)
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])
    change(folder, classes=[], num_classes=classes)
    assert "does not fit" in refused(folder)


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize("architecture", ["mvkt_xresnet1d101", "resnet1d50", "inception1d", "ecgzoo-tcn::tcn_base"])
def test_a_network_that_the_file_cannot_fill_is_not_built(folder: Path, architecture: str) -> None:
    change(folder, architecture=architecture)
    assert "does not fit" in refused(folder)


def test_a_factory_that_asks_for_more_tensors_than_the_file_has(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def endless(num_leads: int, num_classes: int, *, depth: int = 1) -> torch.nn.Module:
        return torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(depth)))

    monkeypatch.setattr("ecgzoo.backbones.xresnet.xresnet1d18", endless)
    change(folder, arguments={"depth": 10**9})
    assert "more tensors than it holds" in refused(folder)


def test_loading_draws_no_random_number_for_the_check(folder: Path) -> None:
    from ecgzoo.weights.folder import _check_shapes

    shapes = {name: list(tensor.shape) for name, tensor in load_file(folder / "model.safetensors").items()}
    config, state = ecgzoo.load_pretrained(folder).config, torch.get_rng_state()
    _check_shapes(config, shapes)
    assert torch.equal(state, torch.get_rng_state())


def header(values: Any, length: int | None = None) -> bytes:
    text = values if isinstance(values, bytes) else json.dumps(values).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234",
        header({}, 2**63),
        header({}, 10**6),
        header(b"[" * 100_000),
        header(b'{"a":' * 100_000),
        header([]),
        header({"a": 1}),
        header({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}),
        header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}),
        header({"a": {"dtype": "F32", "shape": "x", "data_offsets": [0, 4]}}),
        header(b'{"a": {"shape": [' + MANY.encode() + b"]}}"),
        header({f"\x1b[2J{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(20_000)}),
        header(b'{"a": {"dtype": "F32", "shape": [' + b"1," * 3_000_000 + b'1], "data_offsets": [0, 4]}}'),
    ],
)
def test_a_file_that_lies_about_what_it_holds(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    change(folder)
    assert "does not fit" in refused(folder)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"schema_version": "1.1", "num_classes": ' + MANY + "}",
        '{"a": "' + "x" * (5 << 20) + '"}',
        "[" + "[]," * 300_000 + "1]",
        "\ud800",
    ],
)
def test_json_without_end(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    refused(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"rate_hz": 1e9},
        {"rate_hz": 1e-6},
        {"rate_hz": 0.01},
        {"rate_hz": 10**400},
        {"window_s": 10**400},
        {"temperature": 10**400},
        {"temperature": 1e300},
        {"normalization": {"std_mv": 1e-40}},
        {"normalization": {"std_mv": 1e-7}},
        {"normalization": {"std_mv": 1e7}},
        {"normalization": {"std_mv": 10**400}},
        {"normalization": {"mean_mv": 10**400}},
        {"normalization": {"mean_mv": 1e30}},
        {"license": ["MIT"]},
        {"task": 3},
        {"intended_use": None},
        {"calibrated_on": {}},
        {"leads": ["I"] * 100_000},
        {"leads": ["x" * 1_000_000]},
        {"architecture": "x" * 1_000_000},
    ],
)
def test_a_config_of_no_model(folder: Path, changes: dict[str, object]) -> None:
    change(folder, **changes)
    refused(folder, EcgZooError)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "dangling link", "folder", "device", "unreadable"])
def test_what_is_no_regular_file(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str) -> None:
    file = folder / name
    if kind == "unreadable":
        whole = os.open

        def fails(path: str, flags: int, mode: int = 0o777, **more: int) -> int:
            if str(path) == str(file):
                raise PermissionError(13, "Permission denied", str(file))
            return whole(path, flags, mode, **more)

        monkeypatch.setattr(os, "open", fails)
    else:
        file.unlink()
        make = {
            "pipe": lambda: os.mkfifo(file),
            "dangling link": lambda: file.symlink_to("nowhere"),
            "folder": file.mkdir,
            "device": lambda: file.symlink_to("/dev/zero"),
        }
        make[kind]()
    refused(folder)


@pytest.mark.parametrize("path", ["a\0b", "local-dir:a\0b", "x" * 5000, "local-dir:" + "x" * 5000, "\x1b[2J\u202e"])
def test_a_path_that_is_none(path: str) -> None:
    refused(path, EcgZooError)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("running_var", -1.0, "negative variance"),
        ("running_var", 3e38, "beyond 1e"),
        ("weight", 3e38, "beyond 1e"),
        ("weight", -3e38, "beyond 1e"),
        ("running_mean", 1e30, "beyond 1e"),
    ],
)
def test_impossible_weights_are_neither_loaded_nor_saved(
    folder: Path, tmp_path: Path, name: str, value: float, reason: str
) -> None:
    model = ecgzoo.load_pretrained(folder)
    state = model.backbone.state_dict()
    chosen = next(key for key in state if key.endswith(name))
    tensor = state[chosen].clone()
    tensor.view(-1)[0] = value
    change_tensors(folder, **{chosen: tensor})
    assert re.search(rf"{re.escape(chosen)} holds .*{reason}", refused(folder))
    state[chosen].view(-1)[0] = value
    with pytest.raises(WeightsError, match=reason):
        ecgzoo.save_pretrained(model, tmp_path / "other")


def test_no_finding_from_what_is_no_number(folder: Path) -> None:
    model = ecgzoo.load_pretrained(folder)
    record = ecgzoo.Record(np.random.default_rng(0).normal(0, 0.3, (1, 1000)).astype(np.float32), ("II",), 100, "here")
    assert len(model.predict(record, insist=True).probabilities) == 3
    next(buffer for name, buffer in model.named_buffers() if name.endswith("running_var")).fill_(-1.0)
    with pytest.raises(WeightsError, match=r"not finite for record 0.*fetch or train"):
        model.predict(record, insist=True)
    with pytest.raises(WeightsError, match="a probability that is not finite"):
        model.score(torch.zeros(2, 1, 500))


def test_the_signal_is_named_where_it_is_to_blame(folder: Path) -> None:
    signals = torch.zeros(3, 1, 500)
    signals[2, 0, 7] = float("nan")
    with pytest.raises(ecgzoo.errors.SignalError, match="record 2 holds NaN"):
        ecgzoo.load_pretrained(folder).score(signals)


def test_a_card_shows_what_a_config_says_and_does_not_obey_it(folder: Path, tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>\n\n# owned\n---\n![x](http://e/x.png)\x1b[2J\u202e"
    model = ecgzoo.load_pretrained(folder)
    model.config = dataclasses.replace(
        model.config,
        classes=(bad, "B", "C"),
        class_info={bad: {"name": bad, "scp": [bad], "snomed": bad}},
        task=bad,
        license=bad,
        intended_use=bad,
        calibrated_on=bad,
        training={"data": bad, bad: bad, "data_license": bad, "recipe": {"x": f"\n```\n{bad}"}},
        metrics={
            **{
                "data": bad,
                "folds": [9, "\u202e"],
                "macro_auc": 0.9,
                "ci": [0.8, 1],
                "records": 3,
                "fmax": 0.1,
                "brier": 0.1,
            },
            **{"per_class": {bad: 0.9}, "positives": {bad: 1}, "macro_average_precision": 0.5, "ece": 0.1},
            "subgroups": {bad: {"records": 1, "macro_auc": 0.5, "ci": [0, 1]}},
        },
    )
    card = render_card(model.config, 'fold"er\n```\n<b>')
    _, _, body = card.partition("\n---\n")
    prose = re.sub(r"```.*?\n```", "", body, flags=re.DOTALL)
    assert "<script>" not in prose
    assert "![x]" not in prose
    assert "&lt;script&gt;" in prose
    assert "\x1b" not in card
    assert "\u202e" not in card
    assert "\n# owned" not in card
    assert [line for line in card.splitlines() if line.startswith("```")] == ["```python", "```", "```json", "```"]
    assert card.count("\n---\n") == 1
    from ecgzoo.weights.hub import addressed

    assert b'load_pretrained("hf-hub:a/b")\n' in addressed(card.encode(), "hf-hub:a/b")


def test_metrics_that_are_no_json_are_refused_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    model = ecgzoo.load_pretrained(folder)
    model.config = dataclasses.replace(model.config, training={"x": float("nan")})
    with pytest.raises(WeightsError, match="no card or calibration plot"):
        ecgzoo.save_pretrained(model, tmp_path / "other")
    assert not (tmp_path / "other").exists()
