import os
import subprocess
import sys
import textwrap

import numpy as np
import platformdirs
import pytest

from ecgzoo.data.store import (
    cache_root,
    open_store,
    store_key,
    to_microvolts,
    tree_digest,
    write_signals,
    write_table,
)
from ecgzoo.errors import DataError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("ECGZOO_CACHE", str(folder))
    return folder


def signals(count=5):
    return np.random.default_rng(0).integers(-3000, 3000, (count, 2, 30)).astype(np.int16)


def build(folder):
    write_signals(folder, iter(signals()), signals().shape)
    write_table(folder, {"folds": np.arange(5)}, {"notes": ["µV"]})


def test_cache_root(cache, monkeypatch):
    assert cache_root() == cache
    monkeypatch.delenv("ECGZOO_CACHE")
    assert cache_root() == platformdirs.user_cache_path("ecgzoo")


def test_store_round_trip(cache):
    store = open_store("key", build)
    assert isinstance(store.signals, np.memmap)
    assert not store.signals.flags.writeable
    assert store.signals.dtype == np.int16
    np.testing.assert_array_equal(store.signals, signals())
    np.testing.assert_array_equal(store.table["folds"], np.arange(5))
    assert store.info == {"notes": ["µV"]}


def test_a_store_is_built_once(cache):
    open_store("key", build)

    def fail(folder):
        raise AssertionError("built again")

    np.testing.assert_array_equal(open_store("key", fail).signals, signals())


@pytest.mark.parametrize("error", [DataError, KeyboardInterrupt])
def test_a_build_that_raises_leaves_nothing(cache, error):
    def interrupted(folder):
        write_signals(folder, iter(signals()), signals().shape)
        raise error("half way")

    with pytest.raises(error, match="half way"):
        open_store("key", interrupted)
    assert list(cache.iterdir()) == []
    np.testing.assert_array_equal(open_store("key", build).signals, signals())


def test_nobody_sees_a_store_that_is_being_built(cache):
    def watched(folder):
        build(folder)
        assert not (cache / "key").exists()

    open_store("key", watched)
    assert [path.name for path in cache.iterdir()] == ["key"]


def test_the_first_of_two_builds_wins(cache):
    def overtaken(folder):
        build(folder)
        open_store("key", build)

    np.testing.assert_array_equal(open_store("key", overtaken).signals, signals())
    assert [path.name for path in cache.iterdir()] == ["key"]


def test_two_processes_build_at_once(cache):
    script = textwrap.dedent(
        """
        import time
        import numpy as np
        from ecgzoo.data.store import open_store, write_signals, write_table

        def build(folder):
            write_signals(folder, np.ones((4, 2, 30), np.int16), (4, 2, 30))
            time.sleep(0.5)
            write_table(folder, {}, {})

        assert open_store("key", build).signals.sum() == 240
        """
    )
    both = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert [path.name for path in cache.iterdir()] == ["key"]


@pytest.mark.parametrize("name", ["signals.npy", "folds.npy", "info.json"])
def test_a_damaged_store_is_named(cache, name):
    open_store("key", build)
    path = cache / "key" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"key: this store is damaged.*Delete the folder"):
        open_store("key", build)


@pytest.mark.parametrize("name", ["signals.npy", "info.json"])
def test_an_incomplete_store_is_named(cache, name):
    open_store("key", build)
    (cache / "key" / name).unlink()
    with pytest.raises(DataError, match="damaged"):
        open_store("key", build)


def test_pickles_are_refused(cache):
    open_store("key", build)
    np.save(cache / "key" / "folds.npy", np.array([{}] * 5, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="damaged"):
        open_store("key", build)


def test_a_cache_that_cannot_be_written(cache):
    cache.write_text("a file, not a folder")
    with pytest.raises(DataError, match=r"cannot be written.*ECGZOO_CACHE"):
        open_store("key", build)


def test_keys_differ_with_every_part():
    keys = {store_key("a", "b"), store_key("ab"), store_key("b", "a"), store_key("a", "b", "")}
    assert len(keys) == 4
    assert store_key("a", "b") == store_key("a", "b")


def test_tree_digest_sees_names_sizes_and_times(tmp_path):
    (tmp_path / "sub").mkdir()
    file = tmp_path / "sub" / "a.dat"
    file.write_bytes(b"12")
    os.utime(file, ns=(10**18, 10**18))
    digests = [tree_digest(tmp_path)]
    assert tree_digest(tmp_path) == digests[0]
    os.utime(file, ns=(10**18, 10**18 + 1))
    digests.append(tree_digest(tmp_path))
    file.write_bytes(b"123")
    os.utime(file, ns=(10**18, 10**18))
    digests.append(tree_digest(tmp_path))
    file.rename(tmp_path / "sub" / "b.dat")
    digests.append(tree_digest(tmp_path))
    (tmp_path / "sub").rename(tmp_path / "bus")
    digests.append(tree_digest(tmp_path))
    assert len(set(digests)) == 5


def test_microvolts_are_exact():
    every = np.arange(-32767, 32768)
    millivolts = (every / 1000).astype(np.float32)
    np.testing.assert_array_equal(to_microvolts(millivolts), every)
    assert to_microvolts(millivolts).dtype == np.int16


@pytest.mark.parametrize("millivolts", [np.nan, 32.768, -32.768, 1e6])
def test_microvolts_refuse_what_does_not_fit(millivolts):
    with pytest.raises(DataError, match=r"32\.767"):
        to_microvolts(np.array([0, millivolts], np.float32))
