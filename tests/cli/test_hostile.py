"""What others wrote is shown as it is: no command of a terminal, no markup, no second line."""

from argparse import Namespace

import pytest
from rich.console import Console
from rich.table import Table

from ecgzoo.cli import listing
from ecgzoo.cli.messages import cell
from ecgzoo.errors import DataError, EcgZooError, WeightsError, printable
from ecgzoo.model import Prediction
from ecgzoo.training.report import Report

BAD = "a\x1b[2Jb\u202ec\nd\r\x07\u2028e\x9b[/x]\ud800"


def test_printable_leaves_what_is_printable() -> None:
    for text in ("plain", "µV, ±1 – “quoted” 心電図", "a\\nb", "no\u00a0break"):
        assert printable(text) == text
    assert printable(BAD) == "a\\x1b[2Jb\\u202ec\\nd\\r\\x07\\u2028e\\x9b[/x]\\ud800"
    assert printable(printable(BAD)) == printable(BAD)
    assert printable("a\uf257b\U000e0fff") == "a\\uf257b\\U000e0fff"  # private, unassigned


@pytest.mark.parametrize("kind", [EcgZooError, WeightsError, DataError])
def test_an_error_is_one_printable_line(kind: type[EcgZooError]) -> None:
    assert str(kind(f"found {BAD}")).isprintable()
    long = str(kind("begin " + "x" * 10**6 + " end"))
    assert long.startswith("begin")
    assert long.endswith("end")
    assert len(long) < 4000


def test_a_prediction_shows_its_names_in_their_own_lines() -> None:
    shown = str(Prediction(BAD, (BAD,), (0.5,), 1, ("I",), 1.0, {BAD: "present"}, notes=(BAD, BAD)))
    first, *notes = shown.split("\n")
    assert len(notes) == 2
    assert all(line.isprintable() for line in (first, *notes))


def test_tables_show_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(cell(BAD), title=cell(BAD))
    table.add_row(cell(BAD))
    figures = {"leads": ["I"], "macro_auc": 0.5, "ci": [0, 1], "per_class": {BAD: None}, "difference": 0.1}
    values = {
        **{"data": BAD, "folds": [1], "processes": 1, "precision": "fp32", "records": 3, "judged": "test", "seed": 0},
        **{"arms": {BAD: figures}, "paired": {BAD: figures}, "gap_recovered": None},
    }
    for made in (table, Report(values).table()):
        Console(width=300).print(made)
        out = capsys.readouterr().out
        assert "[/x]" in out
        assert not {"\x1b", "\u202e", "\x07", "\x9b", "\u2028"} & set(out)


def test_a_listing_shows_what_a_plugin_says_of_itself(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecgzoo import registry
    from ecgzoo.registry import Registered
    from ecgzoo.specs import BackboneSpec

    spec = BackboneSpec(name="net", factory="a:b", summary=BAD)
    monkeypatch.setattr(registry, "names", lambda *_: ["net"])
    monkeypatch.setattr(registry, "lookup", lambda *_: Registered("backbone", spec, BAD, BAD))
    listing.run(Namespace(pattern="*", kind="backbone", pretrained=False))
    assert not {"\x1b", "\u202e"} & set(capsys.readouterr().out)
