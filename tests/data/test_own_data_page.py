"""docs/own-data.md: the messages that it quotes are those of `check_cohort`."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgzoo import Cohort, DataError
from ecgzoo.data import check_cohort

PAGE = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")
PATIENTS = np.arange(120) // 2
MISTAKES: dict[str, dict[str, Any]] = {
    "millivolts as the store": {"store": np.zeros((120, 2, 1000))},
    "millivolts converted to int16": {"store": np.tile(np.array([0, 1, 2], np.int16), (120, 2, 300))},
    "a lead too many": {"leads": ("I", "II", "V1")},
    "another spelling": {"leads": ("I", "AVR")},
    "unsorted classes": {"classes": ("SR", "AFIB")},
    "class numbers as labels": {"labels": np.zeros(120, np.uint8)},
    "folds by record, not by patient": {"folds": (np.arange(120) % 10 + 1).astype(np.int16)},
    "unsorted record numbers": {"record_ids": np.arange(120)[::-1]},
}


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(blocks[0], namespace)
    return namespace["cohort"]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_page_quotes_the_messages(cohort: Cohort, mistake: str) -> None:
    with pytest.raises(DataError) as caught:
        check_cohort(dataclasses.replace(cohort, **MISTAKES[mistake]))
    assert f"| {mistake} | {str(caught.value).removeprefix('my_data/rhythm: ')} |" in PAGE


def test_the_page_has_no_other_mistake() -> None:
    table = PAGE[PAGE.index("| mistake | message |") :].split("\n\n")[0]
    assert [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[2:]] == list(MISTAKES)


def test_every_field_is_on_the_page() -> None:
    for field in dataclasses.fields(Cohort):
        assert f"`{field.name}`" in PAGE, field.name
