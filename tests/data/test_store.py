import hashlib
import io
import json
import os
import subprocess
import sys
import textwrap
import time

import numpy as np
import platformdirs
import pytest

from ecgzoo.data import store as store_module
from ecgzoo.data.store import (
    cache_root,
    file_digest,
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


RECORD = np.dtype([("signals", np.int16, (2, 30)), ("folds", np.int64), ("codes", np.uint8, (3,))])


def build(folder):
    write_signals(folder, iter(signals()), signals().shape)
    write_table(folder, {"folds": np.arange(5), "codes": np.eye(5, 3, dtype=np.uint8)})
    return ["µV"]


def test_cache_root(cache, monkeypatch):
    assert cache_root() == cache
    monkeypatch.delenv("ECGZOO_CACHE")
    assert cache_root() == platformdirs.user_cache_path("ecgzoo")


def test_store_round_trip(cache):
    store = open_store("key", build, RECORD)
    assert isinstance(store.signals, np.memmap)
    assert not store.signals.flags.writeable
    assert store.signals.dtype == np.int16
    np.testing.assert_array_equal(store.signals, signals())
    np.testing.assert_array_equal(store.table["folds"], np.arange(5))
    np.testing.assert_array_equal(store.table["codes"], np.eye(5, 3))
    assert {name: column.dtype for name, column in store.table.items()} == {"folds": np.int64, "codes": np.uint8}
    assert store.notes == ("µV",)
    for name in ("signals", "folds", "codes"):  # numpy and others read them, too
        stored = store.signals if name == "signals" else store.table[name]
        np.testing.assert_array_equal(np.load(cache / "key" / f"{name}.npy"), stored)


def test_a_store_is_built_once(cache):
    open_store("key", build, RECORD)

    def fail(folder):
        raise AssertionError("built again")

    np.testing.assert_array_equal(open_store("key", fail, RECORD).signals, signals())


@pytest.mark.parametrize("error", [DataError, KeyboardInterrupt])
def test_a_build_that_raises_leaves_nothing(cache, error):
    def interrupted(folder):
        write_signals(folder, iter(signals()), signals().shape)
        raise error("half way")

    with pytest.raises(error, match="half way"):
        open_store("key", interrupted, RECORD)
    assert list(cache.iterdir()) == []
    np.testing.assert_array_equal(open_store("key", build, RECORD).signals, signals())


def test_nobody_sees_a_store_that_is_being_built(cache):
    def watched(folder):
        assert not (cache / "key").exists()
        return build(folder)

    open_store("key", watched, RECORD)
    assert [path.name for path in cache.iterdir()] == ["key"]


def test_the_first_of_two_builds_wins(cache):
    def overtaken(folder):
        open_store("key", build, RECORD)
        return build(folder)

    np.testing.assert_array_equal(open_store("key", overtaken, RECORD).signals, signals())
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
            return []

        assert open_store("key", build, np.dtype([("signals", np.int16, (2, 30))])).signals.sum() == 240
        """
    )
    both = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert [path.name for path in cache.iterdir()] == ["key"]


@pytest.mark.parametrize("name", ["signals.npy", "folds.npy", "info.json"])
def test_a_damaged_store_is_named(cache, name):
    open_store("key", build, RECORD)
    path = cache / "key" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"key: this store is damaged.*Delete the folder"):
        open_store("key", build, RECORD)


@pytest.mark.parametrize("name", ["signals.npy", "folds.npy", "info.json"])
def test_an_incomplete_store_is_named(cache, name):
    open_store("key", build, RECORD)
    (cache / "key" / name).unlink()
    with pytest.raises(DataError, match="damaged"):
        open_store("key", build, RECORD)


def roll_folds(store):
    np.save(store / "folds.npy", np.roll(np.arange(5), 1))


def zero_signals(store):
    path = store / "signals.npy"
    path.write_bytes(path.read_bytes()[:128].ljust(path.stat().st_size, b"\0"))


def zero_signals_and_set_the_clock_back(store):
    before = (store / "signals.npy").stat()
    zero_signals(store)
    os.utime(store / "signals.npy", ns=(before.st_atime_ns, before.st_mtime_ns))


def change_info(**changes):
    def change(store):
        info = json.loads((store / "info.json").read_text(encoding="utf-8"))
        (store / "info.json").write_text(json.dumps({**info, **changes}))

    return change


def lie(name, content):
    """Another file with the right digest, marked as verified, which only the owner of the cache can write."""

    def change(store):
        (store / f"{name}.npy").write_bytes(content)
        info = json.loads((store / "info.json").read_text(encoding="utf-8"))
        info["sha256"][name] = hashlib.sha256(content).hexdigest()
        (store / "info.json").write_text(json.dumps(info))

    return change


def saved(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


DEEP = "[" * 100_000 + "]" * 100_000
LIES = {
    "rolled folds": (roll_folds, r"folds\.npy is not what was built"),
    "zeroed signals": (zero_signals, r"signals\.npy is not what was built"),
    "zeroed signals of the same date": (zero_signals_and_set_the_clock_back, r"signals\.npy is not what was built"),
    "a pickle": (
        lambda store: np.save(store / "folds.npy", np.array([{}] * 5, dtype=object), allow_pickle=True),
        "is not what was built",
    ),
    "info that is a list": (lambda store: (store / "info.json").write_text("[]"), "holds no digests"),
    "info that is deep": (lambda store: (store / "info.json").write_text(DEEP), "nested too deeply"),
    "info that is no text": (lambda store: (store / "info.json").write_bytes(b"\xff\xfe"), "Expecting value"),
    "a pipe": (lambda store: ((store / "folds.npy").unlink(), os.mkfifo(store / "folds.npy")), "folds.npy"),
    "info without digests": (change_info(sha256=None), "holds no digests"),
    "info with too few digests": (change_info(sha256={"signals": "0"}), "digests of signals; expected signals, folds"),
    "digests that are numbers": (change_info(sha256={"signals": 0, "folds": 0, "codes": 0}), "holds digests of"),
    "info without notes": (change_info(notes=None), "holds no notes"),
    "notes that are numbers": (change_info(notes=[1]), "holds no notes"),
    "a folder for a file": (
        lambda store: ((store / "folds.npy").unlink(), (store / "folds.npy").mkdir()),
        "directory",
    ),
    "float signals": (lie("signals", saved(signals().astype(np.float32))), r"is not an array of int16 \[2, 30\]"),
    "signals of two axes": (lie("signals", saved(signals().reshape(10, 30))), r"is not an array of int16 \[2, 30\]"),
    "signals in Fortran's order": (lie("signals", saved(np.asfortranarray(signals()))), "is not an array of int16"),
    "fewer signals": (lie("signals", saved(signals(4))), "another number of records"),
    "no signals": (lie("signals", saved(signals(0))), "is not an array"),
    "signals that end early": (lie("signals", saved(signals())[:-120]), "signals.npy, 608 bytes, is not an array"),
    "signals that go on": (lie("signals", saved(signals()) + b"12"), "730 bytes, is not an array"),
    "an empty file": (lie("signals", b""), "0 bytes, is not an array"),
    "folds of another type": (lie("folds", saved(np.arange(5, dtype=np.int32))), "is not an array of int64"),
    "fewer folds": (lie("folds", saved(np.arange(4))), r"folds\.npy has another number of records"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_store_that_lies_is_refused(cache, name):
    open_store("key", build, RECORD)
    LIES[name][0](cache / "key")
    with pytest.raises(DataError, match=f"key: this store is damaged .*{LIES[name][1]}.*Delete the folder") as caught:
        open_store("key", build, RECORD)
    assert "\n" not in str(caught.value)


def test_the_digest_follows_the_content(cache):
    first = open_store("key", build, RECORD)
    assert open_store("other", build, RECORD).digest == first.digest
    roll_folds(cache / "other")
    lie("folds", (cache / "other" / "folds.npy").read_bytes())(cache / "other")
    assert open_store("other", build, RECORD).digest != first.digest


def test_signals_are_read_once_for_each_change(cache, monkeypatch):
    read = []
    monkeypatch.setattr(store_module, "file_digest", lambda path: (read.append(path.name), file_digest(path))[1])
    open_store("key", build, RECORD)
    assert sorted(read) == ["codes.npy", "folds.npy", "signals.npy"]
    open_store("key", build, RECORD)
    assert len(read) == 3
    os.utime(cache / "key" / "signals.npy")
    for _ in range(2):
        open_store("key", build, RECORD)
    assert read[3:] == ["signals.npy"]
    for lost in ("", "[]", DEEP, "null", "[1, 2]"):
        (cache / "key" / "verified.json").write_text(lost)
        np.testing.assert_array_equal(open_store("key", build, RECORD).signals, signals())
    assert len(read) == 9


def test_a_build_killed_at_any_step_leaves_no_half_store(cache):
    """A child is killed at each step that touches a file; the next process finds no store or a complete one."""
    script = textwrap.dedent(
        """
        import os, shutil, signal, sys
        import numpy as np
        from ecgzoo.data.store import cache_root, open_store, write_signals, write_table

        RECORD = np.dtype([("signals", np.int16, (2, 30)), ("folds", np.int64)])

        def build(folder):
            write_signals(folder, np.ones((4, 2, 30), np.int16), (4, 2, 30))
            write_table(folder, {"folds": np.arange(4)})
            return []

        def child(step):
            seen = 0
            def hook(event, arguments):
                nonlocal seen
                seen += event == "open" or event.startswith(("os.", "shutil."))
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)
            sys.addaudithook(hook)
            open_store("key", build, RECORD)
            os._exit(0)

        open_store("key", build, RECORD)  # imports what it needs
        for step in range(1, 1000):
            shutil.rmtree(cache_root())
            pid = os.fork() or child(step)
            killed = os.waitpid(pid, 0)[1] == signal.SIGKILL
            store = open_store("key", build, RECORD)
            assert store.signals.sum() == 240 and store.table["folds"].sum() == 6
            if not killed:
                break
        print(step)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 15 < int(done.stdout) < 999


def test_what_a_killed_build_left_is_swept_after_an_hour(cache):
    ages_s = {".ecgzoo-unfinished-key-1": 3700, ".ecgzoo-unfinished-key-2": 3500, "mine": 10**6}
    for name, age_s in ages_s.items():
        (cache / name).mkdir(parents=True)
        (cache / name / "signals.npy").write_bytes(b"half")
        then = time.time() - age_s
        for path in (cache / name / "signals.npy", cache / name):
            os.utime(path, (then, then))
    growing = cache / ".ecgzoo-unfinished-key-3"  # its folder is old, its file is being written
    growing.mkdir()
    (growing / "signals.npy").write_bytes(b"half")
    os.utime(growing, (0, 0))
    open_store("key", build, RECORD)
    left = sorted(path.name for path in cache.iterdir())
    assert left == [".ecgzoo-unfinished-key-2", ".ecgzoo-unfinished-key-3", "key", "mine"]


def test_a_cache_that_others_may_write_to_is_said_once(cache):
    script = textwrap.dedent(
        """
        import os, sys
        import numpy as np
        from ecgzoo.data.store import cache_root, open_store, write_signals

        def build(folder):
            write_signals(folder, np.ones((4, 2, 30), np.int16), (4, 2, 30))
            return []

        os.umask(0o002)
        record = np.dtype([("signals", np.int16, (2, 30))])
        open_store("key", build, record)  # what ecgzoo makes is not for others to write, whatever the umask
        assert not any(path.stat().st_mode & 0o022 for path in cache_root().rglob("*"))
        print("quiet", file=sys.stderr)
        cache_root().chmod(int(sys.argv[1], 8))
        for _ in range(3):
            open_store("key", build, record)
        """
    )
    for mode, count in (("755", 0), ("775", 1), ("757", 1)):
        done = subprocess.run([sys.executable, "-c", script, mode], capture_output=True, text=True, timeout=60)
        before, after = done.stderr.split("quiet")
        assert (done.returncode, before) == (0, "")
        assert after.count("other users can write to this cache folder") == count
        if count:
            assert f"(mode {mode})" in after
            assert f"chmod go-w {cache}" in after
        cache.chmod(0o755)


def test_a_cache_that_cannot_be_written(cache):
    cache.write_text("a file, not a folder")
    with pytest.raises(DataError, match=r"cannot be written.*ECGZOO_CACHE"):
        open_store("key", build, RECORD)


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
