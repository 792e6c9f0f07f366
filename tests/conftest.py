"""Fixtures that many tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def test_data() -> Path:
    """The folder of real recordings that ECGZOO_TEST_DATA names; without it, the test is skipped."""
    folder = os.environ.get("ECGZOO_TEST_DATA")
    if not folder:
        pytest.skip("set ECGZOO_TEST_DATA to a folder that holds ptbxl-small, af2017, …")
    return Path(folder)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No test reads or fills the user's cache: one cache for the whole session."""
    cache = tmp_path_factory.getbasetemp() / "ecgzoo-cache"
    monkeypatch.setenv("ECGZOO_CACHE", str(cache))
    yield cache
