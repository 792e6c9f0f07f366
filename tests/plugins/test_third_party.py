"""What a plugin's factory may do wrong, and that each gives one line that names it; deprecations; `ecgzoo plugins`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ecgzoo import create_loss, create_student, create_transform, load_cohort, registry
from ecgzoo.errors import RecipeError, RegistryError, WeightsError
from ecgzoo.losses.contract import DataInfo, ModelInfo
from ecgzoo.plugins import KINDS
from ecgzoo.testing import assert_loss_conforms, assert_nothing_overdue
from ecgzoo.training.recipe import check_requires

HOOKS = """
from ecgzoo import hookimpl
from ecgzoo.specs import BackboneSpec, DatasetSpec, LossSpec, ReaderSpec, RecipeSpec, TransformSpec, WeightsSpec

@hookimpl
def ecgzoo_backbones():
    yield BackboneSpec(name="strange", factory="{module}:backbone", summary="")

@hookimpl
def ecgzoo_losses():
    yield LossSpec(name="odd", factory="{module}:loss", summary="")

@hookimpl
def ecgzoo_datasets():
    yield DatasetSpec(name="far", factory="{module}:dataset", summary="", tasks=("t",), needs_root=False)

@hookimpl
def ecgzoo_weights():
    yield WeightsSpec(name="resnet1d18.mine", factory="{module}:weights", summary="")

@hookimpl
def ecgzoo_recipes():
    yield RecipeSpec(name="cook", factory="{module}:recipe", summary="")

@hookimpl
def ecgzoo_readers():
    yield ReaderSpec(name="papyrus", factory="{module}:reader", summary="")

@hookimpl
def ecgzoo_transforms():
    yield TransformSpec(name="turn", factory="{module}:transform", summary="")
"""

RAISE = "\ndef {name}(*given): raise ZeroDivisionError('first line\\nsecond line')\n"
NET = """
import torch
from torch import nn
class Net(nn.Module):
    num_features = head_hidden_size = 4
    feature_info = []
    def __init__(self, num_leads, num_classes):
        super().__init__()
        self.num_classes = {classes}
        self.body, self.classifier = nn.Conv1d({leads}, 4, 3), nn.Linear(4, {classes})
    def forward(self, x): return self.forward_head(self.forward_features(x))
    def forward_features(self, x): return self.body({x})
    def forward_head(self, x, pre_logits=False):
        return x.mean(-1) if pre_logits else self.classifier(x.mean(-1))
    def get_classifier(self): return self.classifier
    def reset_classifier(self, num_classes): ...
backbone = Net
"""
KEEPS = NET.format(leads="num_leads", classes="num_classes", x="x")
IS_NOT = r"forward\(x\) is not get_classifier\(\)\(forward_head\(forward_features\(x\), pre_logits=True\)\)"


def third_party(install, module: str, source: str) -> None:
    install(module.replace("_", "-"), HOOKS.replace("{module}", module) + source)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (RAISE.format(name="backbone"), "failed with ZeroDivisionError: first line. If"),
        ("", "has no attribute 'backbone'"),
        ("\ndef backbone(num_leads, num_classes): return None", "NoneType, which is not a torch.nn.Module"),
        ("\nfrom torch import nn\ndef backbone(num_leads, num_classes): return nn.Identity()", "no forward_features"),
        ("\ndef backbone(width): ...", "failed with TypeError: .*1 positional argument"),
        (NET.format(leads=12, classes="num_classes", x="x"), "expected input.* to have 12 channels"),
        (NET.format(leads=1, classes="num_classes", x="x.mean(1, keepdim=True)"), "built for 1 leads.*takes 2 as well"),
        (
            NET.format(leads="num_leads", classes="num_classes", x="x").replace(
                "    def forward(", "        self.again = self.classifier.weight\n    def forward(", 1
            ),
            r"could not be saved \(Some tensors share memory.*give each weight one name",
        ),
        (NET.format(leads="num_leads", classes="7", x="x"), r"built for 5 classes, its network gives logits \[1, 7\]"),
        (KEEPS.replace("nn.Conv1d", "nn.LazyConv1d").replace("(num_leads, 4", "(4"), "could not be saved .*uninitial"),
        (KEEPS.replace("self.body(x)", "self.body(x - x.mean(0))"), "other logits alone than in a batch, or random"),
        (KEEPS.replace("self.body(x)", "self.body(nn.functional.dropout(x))"), "in a batch, or random ones"),
        (KEEPS.replace("else self.classifier(x.mean(-1))", "else self.classifier(x.mean(-1)).sigmoid()"), IS_NOT),
        (KEEPS.replace("forward_head(self.forward_features(x))", "classifier(self.body(x).amax(-1))"), IS_NOT),
        (
            KEEPS.replace("self.body(x)", "self.body(x).transpose(1, 2)").replace("x.mean(-1)", "x.mean(1)"),
            r"gives features \[1, 248, 4\] and an embedding \[1, 4\]; expected \[1, 4, T'\]",
        ),
        (KEEPS.replace("x.mean(-1) if", "x.amax((1, 2)) if"), r"an embedding \[1\]; expected"),
    ],
)
def test_a_backbone_that_breaks_the_contract(install, source: str, reason: str) -> None:
    third_party(install, "strange_net", source)
    with pytest.raises(RegistryError, match=reason) as caught:
        create_student("strange")
    assert "strange of strange-net 1.2" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert create_student("xresnet1d18").num_classes == 5  # everything else works


def test_statistics_of_the_batch_are_found_whatever_the_first_weights(install) -> None:
    third_party(install, "batch_net", KEEPS.replace("self.body(x)", "self.body(x - x.mean(0))"))
    for seed in range(20):
        torch.manual_seed(seed)
        with pytest.raises(RegistryError, match="other logits alone than in a batch"):
            create_student("strange")


def test_a_backbone_that_keeps_it(install) -> None:
    third_party(install, "good_net", NET.format(leads="num_leads", classes="num_classes", x="x"))
    assert create_student("strange", leads=("II", "V2"), num_classes=3).training


def test_the_other_factories(install) -> None:
    names = ("loss", "transform", "dataset", "weights", "recipe")
    third_party(install, "strange_rest", "".join(RAISE.format(name=name) for name in names))
    info = ModelInfo("net", ("I",), 2, 4, 4)
    failed = r"of strange-rest 1\.2 failed with ZeroDivisionError: first line\."
    with pytest.raises(RegistryError, match=f"loss odd {failed}"):
        create_loss("odd", info, None, DataInfo(("a", "b"), info))  # type: ignore[arg-type] # never reached
    with pytest.raises(RegistryError, match=f"transform turn {failed}"):
        create_transform("turn", DataInfo(("a", "b"), torch.zeros(1, 2)), 0.5)
    with pytest.raises(RegistryError, match=f"dataset far {failed}"):
        load_cohort("far")
    with pytest.raises(RegistryError, match=f"weights resnet1d18.mine {failed}"):
        create_student("resnet1d18", pretrained="mine")
    done = run_cli("recipe", "cook", "--epochs", "1")
    assert done.returncode == 2
    assert done.stderr.startswith("error: recipe cook of strange-rest 1.2 failed")
    assert done.stderr.count("\n") == 1


def test_factories_that_make_something_else(install) -> None:
    third_party(
        install,
        "strange_kind",
        "\ndef loss(student, teacher, data): return 3\ndef dataset(root, task): return 4\n"
        "def transform(data, amount): return 5\n",
    )
    with pytest.raises(RegistryError, match="int, which is not an ecgzoo Transform"):
        create_transform("turn", DataInfo(("a", "b"), torch.zeros(1, 2)), 0.5)
    with pytest.raises(RegistryError, match="int, which is not an ecgzoo Loss"):
        create_loss("odd", None, None, None)  # type: ignore[arg-type] # the factory looks at none of them
    with pytest.raises(RegistryError, match="int, which is not a Cohort"):
        load_cohort("far")


def test_a_plugins_weights_are_a_tag(install, tmp_path: Path) -> None:
    from ecgzoo import save_pretrained

    save_pretrained(create_student("resnet1d18", leads="I"), tmp_path / "folder")
    third_party(install, "good_weights", f"\ndef weights(name): return {str(tmp_path / 'folder')!r}\n")
    assert create_student("resnet1d18", pretrained="mine").config.leads == ("I",)
    with pytest.raises(WeightsError, match="'mien' is not a folder of weights"):
        create_student("resnet1d18", pretrained="mien")


def test_weights_of_another_backbone_than_their_name_says_are_refused(install, tmp_path: Path) -> None:
    from ecgzoo import load_pretrained, save_pretrained

    save_pretrained(create_student("resnet1d34", leads="I"), tmp_path / "folder")
    third_party(install, "mixed_weights", f"\ndef weights(name): return {str(tmp_path / 'folder')!r}\n")
    said = (
        r"weights resnet1d18\.mine of mixed-weights 1\.2 holds weights of resnet1d34; its name must be resnet1d34\.TAG"
    )
    with pytest.raises(WeightsError, match=said):
        load_pretrained("resnet1d18.mine")


def test_a_plugins_recipe_gets_its_own_flags(install) -> None:
    third_party(install, "good_recipe", "\ndef recipe(argv): print('cooked', argv)\n")
    assert run_cli("recipe", "cook", "--epochs", "1", "--help").stdout == "cooked ['--epochs', '1', '--help']\n"


def run_cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ecgzoo", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_ecgzoo_plugins_never_fails(install) -> None:
    install("aaa-plugin", "raise KeyError('x')")
    third_party(install, "good_plugin", "")
    install("rude-plugin", HOOKS.replace("{module}", "rude_plugin").replace("strange", "xresnet1d18"))
    done = run_cli("plugins", "--json", ECGZOO_STRICT_PLUGINS="1")
    assert (done.returncode, done.stderr) == (0, "")
    values = json.loads(done.stdout)
    assert [plugin["distribution"] for plugin in values["plugins"]] == ["ecgzoo", "good-plugin", "rude-plugin"]
    assert {given["kind"] for given in values["plugins"][1]["provides"]} == set(KINDS)
    assert [(f["distribution"], f["version"], f["phase"]) for f in values["failures"]] == [
        ("aaa-plugin", "1.2", "import")
    ]
    kept = {(c["kind"], c["name"]): c["kept"] for c in values["conflicts"]}
    assert kept[("backbone", "xresnet1d18")] == "ecgzoo"
    assert kept[("loss", "odd")] is None
    text = run_cli("plugins")
    assert text.returncode == 0
    for part in (
        "left out: plugin aaa_plugin of aaa-plugin 1.2 failed at import: KeyError",
        "rude-plugin::xresnet1d18",
    ):
        assert part in text.stdout
    listing = run_cli("list", "--kind", "backbone")
    assert (
        listing.stderr
        == "warning: plugin aaa_plugin of aaa-plugin 1.2 failed at import: KeyError: 'x'; it is left out\n"
    )
    assert "good-plugin 1.2" in listing.stdout
    strict = run_cli("list", ECGZOO_STRICT_PLUGINS="1")
    assert strict.returncode == 2
    assert "error: plugin aaa_plugin" in strict.stderr


def test_nothing_of_ours_is_overdue() -> None:
    for distribution in ("ecgzoo", "ecgzoo-losses", "ecgzoo-tcn", "ecgzoo-plugin-template"):
        assert_nothing_overdue(distribution)


def test_an_overdue_name_is_found(install) -> None:
    source = HOOKS.replace("{module}", "late_plugin").replace(
        '"strange",', '"strange", deprecated_by="x", removed_in="1.10",'
    )
    install("late-plugin", source)
    assert_nothing_overdue("late-plugin")
    install("late-plugin", source.replace("1.10", "1.2"))  # another length: bytecode is kept by size and second
    sys.modules.pop("late_plugin")
    with pytest.raises(AssertionError, match=r"strange of late-plugin 1\.2 should have been removed in 1\.2"):
        assert_nothing_overdue("late-plugin")


def test_requires() -> None:
    check_requires(["ecgzoo>=0.1", "pluggy", "torch>1,<100"])
    with pytest.raises(RecipeError, match="requires no-such-thing>=1, which is not installed: pip install"):
        check_requires(["no-such-thing>=1"])
    with pytest.raises(RecipeError, match="requires ecgzoo>=99, found 0"):
        check_requires(["ecgzoo>=99"])
    for text in ("ecgzoo at least 1", "ecgzoo>=bad"):
        with pytest.raises(RecipeError, match="expected it as for pip") as caught:
            check_requires([text])
        assert r"\n" not in str(caught.value)


def test_a_recipe_stops_before_it_starts_without_what_it_requires(tmp_path: Path) -> None:
    from ecgzoo import Recipe, Run

    with pytest.raises(RecipeError, match="no-such-thing"):
        Run(Recipe(requires=("no-such-thing",), output=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_registry_names_every_provider() -> None:
    assert str(registry.lookup("loss", "clt")).startswith("loss clt of ecgzoo ")


def test_what_a_plugin_prints_and_its_brackets_break_no_output(install) -> None:
    source = HOOKS.replace("{module}", "loud_plugin").replace(
        '"{module}:loss", summary=""', '"x:y", summary="[B, C] [/b]"'
    )
    source = source.replace('summary=""', 'summary="takes [B, C] then [/b]"')
    install("loud-plugin", "print('hello')\n" + source + "\ndef recipe(argv): raise SystemExit(3)\n")
    assert json.loads(run_cli("plugins", "--json").stdout)["failures"] == []
    listing = run_cli("list", "--kind", "loss")
    assert listing.returncode == 0
    assert "[B, C]" in listing.stdout
    done = run_cli("recipe", "cook", "--epochs", "1")
    assert (done.returncode, "failed" in done.stderr) == (3, False)  # its own way to end


def test_third_party_weights_are_never_the_default_of_ours(install, tmp_path: Path) -> None:
    source = HOOKS.replace("{module}", "sly_plugin").replace(
        '"resnet1d18.mine"', '"resnet1d18.aaa", leads=("I",), default=True'
    )
    install("sly-plugin", source + "\ndef weights(name): raise ZeroDivisionError\n")
    found = create_student("resnet1d18", pretrained=True).weights_source
    assert found is not None
    assert found.location.startswith("resnet1d18.ptbxl_super_i of ecgzoo")
    for name in ("ecgzoo::resnet1d18", "ecgzoo::resnet1d18.ptbxl_super_i"):
        assert create_student(name, pretrained=True).weights_source == found
    with pytest.raises(RegistryError, match=r"resnet1d18\.aaa of sly-plugin"):
        create_student("resnet1d18", pretrained="aaa")


def test_a_saved_model_loads_with_any_other_plugin_installed(install, tmp_path: Path) -> None:
    from ecgzoo import load_pretrained, save_pretrained

    net = NET.format(leads="num_leads", classes="num_classes", x="x")
    third_party(install, "first_net", net)
    folder = save_pretrained(create_student("strange"), tmp_path / "model")
    third_party(install, "other_net", net)
    assert load_pretrained(folder).config.architecture == "first-net::strange"
    assert create_student("first-net::strange", pretrained=folder).config.leads == ("I",)


@pytest.mark.parametrize(
    ("requires", "reason"),
    [
        (
            "frozenset({'student.features', 'student.logit', 'labels'})",
            r" requires student\.logit, which no loss can read\. Did you mean student\.logits",
        ),
        ("{'student.logits'}", ": requires is a set; expected a frozenset of some of .*student.logits"),
    ],
)
def test_a_loss_of_unknown_needs_is_refused(install, requires: str, reason: str) -> None:
    source = f"\nfrom ecgzoo.losses.contract import Loss\nclass loss(Loss):\n    requires = {requires}\n"
    third_party(install, "needy_loss", source)
    with pytest.raises(RegistryError, match=rf"loss odd of needy-loss 1\.2{reason}"):
        create_loss("odd", None, None, None)  # type: ignore[arg-type] # it looks at none of them


def test_a_loss_that_reads_a_teacher_undeclared_is_told_so(install) -> None:
    source = """
from ecgzoo.losses.contract import Loss
class loss(Loss):
    requires = frozenset({'student.logits'})
    def forward(self, student, teacher, batch): return (student.logits - teacher.logits).square().mean()
"""
    third_party(install, "secret_loss", source)
    said = "'NoneType' object has no attribute 'logits': it does not declare teacher.logits in `requires`"
    with pytest.raises(AssertionError) as caught:
        assert_loss_conforms("odd")
    assert said in str(caught.value)
