"""A run that dies loses nothing, and a damaged or changed run folder is refused."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import ecgzoo
from ecgzoo import Network, Recipe, Run
from ecgzoo.errors import EcgZooError, RecipeError, RegistryError, WeightsError
from ecgzoo.files import _machine
from ecgzoo.training import state as state_module
from ecgzoo.training.checkpoint import load_state, save_state
from ecgzoo.training.recipe import claim_folder

RECIPES = Path(__file__).parents[2] / "recipes"
NET = Network("xresnet1d_tiny", ("I",))


def recipe(tmp_path: Path, **fields: object) -> Recipe:
    given = {"data": "tiny", "epochs": 2, "precision": "fp32", "output": str(tmp_path / "run"), "losses": ("bce=1",)}
    return Recipe(**{**given, "teacher": NET.backbone, "student": NET.backbone, **fields})


def command(tmp_path: Path, *more: str, processes: int = 1) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    given = ["--data", "tiny", "--epochs", "60", "--precision", "fp32", "--output", str(tmp_path / "run"), *more]
    return [sys.executable, *(launcher if processes > 1 else []), str(RECIPES / "baseline.py"), *given]


def wait_for(there: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# a folder's past


@pytest.mark.parametrize("kept", ["a/model.safetensors", "a/checkpoint.safetensors", "a/log.jsonl", "results.json"])
def test_results_without_a_recipe_are_not_adopted(tmp_path: Path, kept: str) -> None:
    path = tmp_path / "run" / kept
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(RecipeError, match=rf"{kept}, but no .*recipe\.json"):
        claim_folder(recipe(tmp_path, resume=True), "abc")
    assert not (tmp_path / "run" / "recipe.json").exists()


@pytest.mark.parametrize("links", [True, False])
def test_of_runs_that_race_one_gets_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:

        def no_link(*_: object) -> None:
            raise OSError(errno.EPERM, "no hard links here")

        monkeypatch.setattr(os, "link", no_link)
    for number in range(30):
        wanted = [recipe(tmp_path, output=str(tmp_path / str(number)), seed=seed) for seed in range(4)]
        barrier, won = threading.Barrier(4), []

        def claim(mine: Recipe, barrier: threading.Barrier = barrier, won: list = won) -> None:
            barrier.wait()
            try:
                claim_folder(mine, "abc")
                won.append(mine.seed)
            except RecipeError:
                pass

        threads = [threading.Thread(target=claim, args=(mine,)) for mine in wanted]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert len(won) == 1
        assert json.loads((tmp_path / str(number) / "recipe.json").read_text())["seed"] == won[0]


def test_a_second_run_is_refused_while_the_first_is_at_work(tiny: str, tmp_path: Path) -> None:
    first = Run(recipe(tmp_path))
    with first.at_work(), pytest.raises(RecipeError, match=rf"another run uses {tmp_path / 'run'}; wait"):
        Run(recipe(tmp_path, resume=True))
    second = Run(recipe(tmp_path, resume=True))  # nothing is at work in it now
    with second.at_work(), pytest.raises(RecipeError, match="another run uses"):
        first.train("a", NET)


def test_without_locks_it_says_so_and_goes_on(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.warns(ecgzoo.errors.EcgZooWarning, match="cannot be locked .*No locks available"):
        Run(recipe(tmp_path))


def test_a_finished_arm_of_another_recipe_is_refused(tiny: str, tmp_path: Path) -> None:
    Run(recipe(tmp_path)).train("a", NET)
    folder = tmp_path / "run"
    (folder / "recipe.json").unlink()
    shutil.move(folder / "a", tmp_path / "a")
    other = Run(recipe(tmp_path, lr=1e-3, resume=True))
    shutil.move(tmp_path / "a", folder / "a")
    with pytest.raises(RecipeError, match=r"/a holds a model of another recipe: lr is 0\.01 there and 0\.001 here"):
        other.train("a", NET)
    (folder / "a" / "config.json").unlink()  # and so is its checkpoint
    with pytest.raises(WeightsError, match=r"does not fit this recipe \(lr is 0\.01 there and 0\.001 here\)"):
        other.train("a", NET)
    own = Run(recipe(tmp_path, output=str(tmp_path / "own")))
    own.train("a", NET)
    assert own.train("a", NET).config.leads == ("I",)
    for network, losses, reason in (
        (Network(NET.backbone, ("II",)), own.recipe.loss_terms, r"leads is \['I'\] there"),
        (NET, (ecgzoo.LossTerm("bce", 2),), r"losses is \['bce=1'\] there"),
    ):
        with pytest.raises(RecipeError, match=reason):
            own.train("a", network, losses)


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_deleted_during_a_run_is_not_made_again(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    folder = tmp_path / "run"
    run = Run(recipe(tmp_path))
    write, calls = state_module.write_text, []

    def write_then_lose(path: Path, text: str) -> None:
        write(path, text)
        calls.append(path)
        shutil.rmtree(folder)
        if again:  # by another run
            (folder / "a").mkdir(parents=True)
            (folder / ".lock").touch()

    monkeypatch.setattr(state_module, "write_text", write_then_lose)
    with pytest.raises(RecipeError, match=rf"{folder / 'a'} was deleted or replaced while a run used it"):
        run.train("a", NET)
    assert len(calls) == 1
    assert not list(folder.glob("a/*"))
    with pytest.raises(RecipeError, match="was deleted or replaced"):
        run.train("b", NET)


@pytest.mark.parametrize("content", ['{"epochs": 2', "[" * 100_000, '{"epochs": ' + "[" * 900 + "]" * 900 + "}", "[1]"])
def test_a_damaged_recipe_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text(content)
    with pytest.raises(RecipeError) as caught:
        claim_folder(recipe(tmp_path, resume=True), "abc")
    assert "\n" not in str(caught.value)
    assert "recipe" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_what_a_dead_run_was_writing_is_swept_at_resume(tmp_path: Path) -> None:
    claim_folder(recipe(tmp_path), "abc")
    folder = tmp_path / "run"
    (folder / "a").mkdir()
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()  # and so no process has its number
    mark = f"ecgzoo-{_machine()}-{process.pid}-0123abcd"
    dead = [folder / "a" / f".checkpoint.safetensors.{mark}", folder / f".recipe.json.{mark}"]
    kept = [folder / "a" / ".checkpoint.safetensors.swp", folder / ".gitignore", folder / "a" / "log.jsonl"]
    for path in (*dead, *kept):
        path.touch()
    with pytest.raises(RecipeError, match="--resume"):
        claim_folder(recipe(tmp_path), "abc")
    assert all(path.exists() for path in dead)
    claim_folder(recipe(tmp_path, resume=True), "abc")
    assert not any(path.exists() for path in dead)
    assert all(path.exists() for path in kept)


# checkpoints and configs


def test_the_log_is_that_of_the_checkpoint(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(recipe(tmp_path))
    with monkeypatch.context() as patched:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(state_module, "write_text", killed)  # between the two renames
        with pytest.raises(KeyboardInterrupt):
            run.train("a", NET)
    log = tmp_path / "run" / "a" / "log.jsonl"
    assert not log.exists()
    log.write_text("damaged")
    monkeypatch.setattr("ecgzoo.training.loop.train_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        run.train("a", NET)
    history = load_state(log.with_name("checkpoint.safetensors"))["history"]
    assert [json.loads(line) for line in log.read_text().splitlines()] == history
    assert len(history) == 1


def rewritten(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Another content under the same metadata."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert len(metadata) == 1  # with two keys the file's hash would change from run to run
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=metadata)


def test_a_changed_checkpoint_is_refused(tmp_path: Path) -> None:
    path, tree = tmp_path / "state", {"learner": {"a": torch.ones(3), "b": torch.zeros(2)}, "history": [1]}
    save_state(path, tree)
    whole = path.read_bytes()
    save_state(path, tree)
    assert path.read_bytes() == whole

    def nan(tensors: dict[str, torch.Tensor]) -> None:
        tensors["0"][1] = torch.nan

    changed = [lambda: rewritten(path, nan), lambda: rewritten(path, lambda tensors: tensors.pop("1"))]
    changed += [lambda: path.write_bytes(whole.replace(b"history", b"hystory")), lambda: path.write_bytes(whole[:-1])]
    for change in changed:
        path.write_bytes(whole)
        change()
        with pytest.raises(WeightsError, match="not a checkpoint of ecgzoo .*; delete it to train again"):
            load_state(path)


@pytest.mark.parametrize("part", ["learner", "best_weights", "history"])
def test_a_checkpoint_that_cannot_be_is_refused(tiny: str, tmp_path: Path, part: str) -> None:
    run = Run(recipe(tmp_path, epochs=1))
    run.train("a", NET)
    (tmp_path / "run" / "a" / "config.json").unlink()
    path = tmp_path / "run" / "a" / "checkpoint.safetensors"
    state = load_state(path)
    if part == "history":
        state["history"] = 3
    else:
        next(tensor for name, tensor in state[part].items() if name.endswith("weight")).view(-1)[0] = torch.inf
    save_state(path, state)
    with pytest.raises(WeightsError, match=r"checkpoint\.safetensors .*; delete it to train this arm again"):
        run.train("a", NET)


def test_a_config_that_was_changed_is_refused(tmp_path: Path) -> None:
    model = ecgzoo.create_student("resnet1d18", pretrained=True)
    folder = ecgzoo.save_pretrained(model, tmp_path / "model")
    values = json.loads((folder / "config.json").read_text())
    thresholds = {**values["thresholds"], "MI": values["thresholds"]["CD"]}
    changes = {"classes": values["classes"][::-1], "temperature": 1.5, "leads": ["II"], "thresholds": thresholds}
    changes |= {"aggregation": "max", "stride_s": 1.0, "normalization": {**values["normalization"], "std_mv": 0.5}}
    for name, value in changes.items():
        (folder / "config.json").write_text(json.dumps({**values, name: value}))
        with pytest.raises(WeightsError, match=r"config\.json was changed: .* meaning_sha256"):
            ecgzoo.load_pretrained(folder)
    older = {name: value for name, value in values.items() if name != "meaning_sha256"}
    (folder / "config.json").write_text(json.dumps({**older, "license": "MIT"}))
    assert ecgzoo.load_pretrained(folder).config.classes == model.config.classes


def test_the_packaged_configs_have_their_digest() -> None:
    packaged = Path(ecgzoo.__file__).parent / "weights" / "packaged"
    configs = list(packaged.glob("*/config.json"))
    assert configs
    assert all("meaning_sha256" in json.loads(config.read_text()) for config in configs)


# one line


def test_a_full_disk_is_one_line_and_costs_an_epoch(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, calls = state_module.save_state, []

    def full(path: Path, tree: dict) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(path, tree)

    monkeypatch.setattr(state_module, "save_state", full)
    run = Run(recipe(tmp_path))
    reason = rf"{tmp_path / 'run'}: .*No space left on device.*continue with --resume"
    with pytest.raises(RecipeError, match=reason) as caught:
        run.train("a", NET)
    assert "\n" not in str(caught.value)
    assert len(load_state(tmp_path / "run" / "a" / "checkpoint.safetensors")["history"]) == 1
    Run(recipe(tmp_path, resume=True)).train("a", NET)
    assert len((tmp_path / "run" / "a" / "log.jsonl").read_text().splitlines()) == 2


def test_a_file_that_may_not_grow_is_an_oserror(tmp_path: Path) -> None:
    tree = {"a": torch.zeros(100_000)}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            save_state(tmp_path / "state", tree)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["{", "[]\n", '{"epoch": "x"}\n', "", "[" * 100_000])
def test_a_damaged_log_is_one_line(tiny: str, tmp_path: Path, content: str) -> None:
    from ecgzoo.training.report import Report

    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "log.jsonl").write_text(content)
    report = Report({"arms": {"a": {}}, "data": "tiny"})
    with pytest.raises(RecipeError, match=r"log\.jsonl is damaged .*; delete it and continue with --resume"):
        report._plot_curves(tmp_path, tmp_path / "curves.png")


LOSS = """
from ecgzoo.hookspecs import hookimpl
from ecgzoo.specs import LossSpec
from ecgzoo.losses.contract import Loss

@hookimpl
def ecgzoo_losses():
    return [LossSpec(name="odd", factory="odd_loss:Odd", summary="")]

class Odd(Loss):
    requires = frozenset({{"student.logits", "teacher.logits"}})
    def forward(self, student, teacher, batch):
        value = (student.logits - teacher.logits).square().mean()
        {line}
"""


def test_a_transform_that_spoils_the_crops_is_named(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = {
        r"gives crops \(16, 1, 250\), or samples that are not finite": lambda x: x * torch.nan,
        "failed with RuntimeError: The size": lambda x: x[:, :, :100],
        "gives crops of torch.float64; expected torch.float32": lambda x: x.double(),
    }
    for said, spoil in spoilt.items():
        changed = lambda self, crops, spoil=spoil: spoil(crops.millivolts)  # noqa: E731
        monkeypatch.setattr("ecgzoo.transforms.gain.Gain.changed", changed)
        with pytest.raises(RegistryError, match=rf"transform gain of ecgzoo \S+ {said}"):
            ecgzoo.distill(recipe(tmp_path, transforms=("noise=0.1", "gain=0.3")))
    with monkeypatch.context() as both:  # where the teacher's crops alone are wrong
        both.setattr("ecgzoo.transforms.gain.Gain.sees", "both")
        spoil_others = lambda self, crops: torch.cat([crops.millivolts[:, :1], crops.millivolts[:, 1:] * torch.nan], 1)  # noqa: E731
        both.setattr("ecgzoo.transforms.gain.Gain.changed", spoil_others)
        with pytest.raises(RegistryError, match=r"transform gain of ecgzoo \S+ gives crops \(16, 12, 250\), or"):
            ecgzoo.distill(recipe(tmp_path, transforms=("gain=0.3",), losses=("bce=1", "mkd=1")))


def test_a_transform_that_spoils_the_targets_is_named(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"losses": ("bce=1", "mkd=1"), "transforms": ("gain=0.3", "noise=0.1")}
    with monkeypatch.context() as in_place:
        in_place.setattr("ecgzoo.transforms.gain.Gain.changed", lambda self, crops: crops.millivolts.mul_(2))
        in_place.setattr("ecgzoo.transforms.gain.Gain.every_lead", True)
        with pytest.raises(RegistryError, match=r"transform gain of ecgzoo \S+ is for the student only, but changes"):
            ecgzoo.distill(recipe(tmp_path, **fields))

    def mixed(self, crops, done):
        batch = replace(crops.batch, labels=crops.batch.labels.flip(0))
        return replace(crops, millivolts=crops.millivolts.flip(0), batch=batch)

    monkeypatch.setattr("ecgzoo.transforms.gain.Gain.sees", "both")
    monkeypatch.setattr("ecgzoo.transforms.gain.Gain.__call__", mixed)
    with pytest.raises(RegistryError, match=r"transform gain of ecgzoo \S+ changes labels and does not declare it"):
        ecgzoo.distill(recipe(tmp_path, **fields))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("raise KeyError('x')", "failed with KeyError"),
        ("return student.logits", r"loss has shape \(16, 5\), expected a scalar"),
        ("self.extras = {'each': value[None]}; return value", r"odd/each has shape \(1,\), expected a scalar"),
        ("return value * float('nan')", "gives nan"),
        (
            "self.register_buffer('center', value.detach()); return value",
            "changes which .* in a step: center; a run could",
        ),
        ("return (student.logits * 0).sqrt().mean()", r"gives 0\.0, or a gradient that is not finite"),
    ],
)
def test_a_plugins_loss_fails_before_a_teacher_is_trained(
    tiny: str, tmp_path: Path, line: str, reason: str, forget_plugins: Callable[[], None]
) -> None:
    site = tmp_path / "site"
    (site / "odd_loss.py").write_text(LOSS.format(line=line))
    meta = site / "odd_loss-1.2.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-loss\nVersion: 1.2\n")
    (meta / "entry_points.txt").write_text("[ecgzoo]\nodd = odd_loss\n")
    forget_plugins()
    try:
        with pytest.raises(RegistryError, match=rf"loss odd of odd-loss 1\.2:? {reason}") as caught:
            ecgzoo.distill(recipe(tmp_path, losses=("bce=1", "odd=1")))
    finally:
        sys.modules.pop("odd_loss", None)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def started(command: list[str]) -> subprocess.Popen[str]:
    """Start a process with the default signals: a shell's background job ignores SIGINT, and so would its child."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_hangup_ends_a_run_as_a_kill_does(tiny: str, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored, and a child inherits that
    process = started(command(tmp_path))
    signal.signal(signal.SIGHUP, before)
    try:
        wait_for((tmp_path / "run" / "baseline" / "checkpoint.safetensors").exists)
        process.send_signal(signal.SIGHUP)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 129
    assert errors == "stopped; --resume continues after the last whole epoch\n"
    assert not list((tmp_path / "run" / "baseline").glob(".*"))


@pytest.mark.parametrize("seconds", [0.3, 1.5])
def test_ctrl_c_while_it_starts_is_one_line(tiny: str, tmp_path: Path, seconds: float) -> None:
    code = [sys.executable, "-X", "importtime", "-m", "ecgzoo", "recipe", "mvkt", "--data", "tiny", "--output"]
    process = started([*code, str(tmp_path / "run")])
    assert process.stderr is not None
    for line in process.stderr:  # from here on, it is our code that is at work
        if "ecgzoo.cli.messages" in line:
            break
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    said = [line for line in errors.splitlines() if not line.startswith("import time:")]
    assert len(said) == 1, said
    assert said[0].startswith("stopped")
    assert process.returncode == 130


def test_a_signal_during_the_exit_after_an_error_prints_nothing() -> None:
    code = """
import atexit, os, signal
from ecgzoo import Recipe, run_recipe
from ecgzoo.errors import DataError

def fails(recipe):
    raise DataError("no data")

atexit.register(os.kill, os.getpid(), signal.SIGTERM)
run_recipe(fails, Recipe(), None, [])
"""
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert done.stderr == "error: no data\n"


def ranks(launcher: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(launcher)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="by prctl")
def test_ranks_end_with_their_launcher_and_the_run_goes_on(tiny: str, tmp_path: Path) -> None:
    process = started(command(tmp_path, "--resume", processes=2))
    checkpoint = tmp_path / "run" / "baseline" / "checkpoint.safetensors"
    try:
        wait_for(checkpoint.exists)
        left = ranks(process.pid)
        assert len(left) == 2
    finally:
        process.kill()
    wait_for(lambda: not any(map(alive, left)), 20)
    process.communicate(timeout=20)
    process = started(command(tmp_path, "--resume", processes=2))  # the lock is free
    before = checkpoint.stat().st_mtime_ns
    try:
        wait_for(lambda: checkpoint.stat().st_mtime_ns != before)
        os.kill(ranks(process.pid)[1], signal.SIGKILL)  # a rank that dies takes the others along
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    ours = errors.partition("torch/distributed/elastic")[0]
    assert "Traceback" not in ours
    assert errors.count("Traceback") <= 1  # the launcher's own


def test_a_lost_process_is_one_line(tiny: str, tmp_path: Path) -> None:
    run = Run(recipe(tmp_path))
    text = "[gloo/transport/tcp/pair.cc:545] Read error [127.0.0.1]:56973: Connection reset by peer."
    with pytest.raises(RecipeError, match="another process of this run died or does not answer"), run.at_work():
        raise RuntimeError(text)
    with pytest.raises(RuntimeError, match="of ours"), run.at_work():
        raise RuntimeError("an error of ours")
    assert issubclass(RecipeError, EcgZooError)
