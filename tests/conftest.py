"""Fixtures that many tests share."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ecgzoo import registry
from ecgzoo.plugins import load_plugins

LONGEST = ("test_wheels.py", "test_run.py", "test_docs.py", "test_export.py", "test_trust.py", "test_distributed.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of long tests first, so that at the end no worker waits for another (``--no-loadscope-reorder``)."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture
def test_data() -> Path:
    """The folder of real recordings that ECGZOO_TEST_DATA names; without it, the test is skipped."""
    folder = os.environ.get("ECGZOO_TEST_DATA")
    if not folder:
        pytest.skip("set ECGZOO_TEST_DATA to a folder that holds ptbxl-small, af2017, …")
    return Path(folder)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or fills the user's cache: one cache for the whole session."""
    cache = tmp_path_factory.getbasetemp() / "ecgzoo-cache"
    monkeypatch.setenv("ECGZOO_CACHE", str(cache))
    return cache


@pytest.fixture(autouse=True, scope="module")
def frozen_imports() -> None:
    """Modules are no garbage: without them, each of accelerate's collections, one per training, takes no time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """Accelerate keeps one precision a process; each test starts without any."""
    yield
    if "accelerate.state" in sys.modules:
        sys.modules["accelerate.state"].AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def forget_plugins() -> Callable[[], None]:
    """A function after which this process looks for its plugins again."""

    def forget() -> None:
        for cached in (load_plugins, registry._table, registry._warn_of_failures):
            cached.cache_clear()

    return forget


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget_plugins: Callable[[], None]) -> Iterator[str]:
    """A data set ``tiny`` from a plugin of its own: 480 simulated records, for this process and those it starts."""
    site = tmp_path / "site"
    meta = site / "tiny_cohort-1.0.dist-info"
    meta.mkdir(parents=True)
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-cohort\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("[ecgzoo]\ntiny = tiny_cohort\n")
    (site / "tiny_cohort.py").write_text(
        """
from copy import deepcopy
from functools import cache

from ecgzoo.hookspecs import hookimpl
from ecgzoo.specs import DatasetSpec


@hookimpl
def ecgzoo_datasets():
    return [DatasetSpec(name="tiny", factory="tiny_cohort:load", summary="for tests",
                        tasks=("superdiagnostic", "diagnostic"), needs_root=False)]


def load(root, task):
    return deepcopy(simulated(root, task))


@cache
def simulated(root, task):
    from ecgzoo.data.synthetic import load_synthetic

    return load_synthetic(root, task, num_records=480)
"""
    )
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(site)
    forget_plugins()
    yield "tiny"
    forget_plugins()
