"""Every code block of README and docs runs here, and prints what the page says.

A page is run from its first block to its last, in a folder of its own. A ``text`` block that follows another is what
that one prints. Words after a fence's language say what else holds:

``no-run: REASON``      it cannot run in a test; listed, with its reason, by `test_what_does_not_run_says_why`
``file=NAME``           a part of a file, which tests/plugins/test_guide.py puts together and uses
``from=ptbxl``          of a ``text`` block: compared where ECGZOO_TEST_DATA has the real recording
``network=hub``, ``network=physionet``      run against a server on loopback

In place of what a page names stand: for PTB-XL the simulated cohort where something is trained, elsewhere ptbxl-small;
for 4,000 simulated records 240; for 15 epochs one; for the default networks xresnet1d_tiny; for ``runs/real`` one run
that all pages share.
"""

import hashlib
import io
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import wfdb

import ecgzoo
from ecgzoo.cli import app
from ecgzoo.data.synthetic import load_synthetic

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"python", "sh", "text", "toml", ""}
SHARED_RUN = "ecgzoo recipe mvkt --data ptbxl --root DIR --output runs/real"
RECORD = Path("records100") / "00000" / "00001_lr"


@dataclass
class Block:
    """A fenced block; `line` is where it begins in its page."""

    page: Path
    line: int
    language: str
    info: str
    text: str
    output: "Block | None" = None

    @property
    def runs(self) -> bool:
        return self.language in ("python", "sh") and "file=" not in self.info and "no-run" not in self.info

    def word(self, name: str) -> str | None:
        found = re.search(rf"\b{name}=(\w+)", self.info)
        return found[1] if found else None


def blocks(page: Path) -> list[Block]:
    """The blocks of a page; one that is the output of another is found with it."""
    text, found = page.read_text(encoding="utf-8"), []
    last, end = None, 0
    for fence in re.finditer(r"^```(?!\{)(\w*) *([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        block = Block(page, text[: fence.start()].count("\n") + 1, fence[1], fence[2], fence[3])
        if block.language == "text" and last is not None and last.runs and not text[end : fence.start()].strip():
            last.output = block
        else:
            found.append(block)
        last, end = block, fence.end()
    return found


class Session:
    """A reader who works in `folder`, with a separate namespace."""

    def __init__(self, folder: Path, real: Path | None) -> None:
        self.folder, self.real, self.namespace = folder, real, {"__name__": "__main__"}
        for name in ("examples", "recipes", "plugins", "benchmarks"):
            (folder / name).symlink_to(ROOT / name)
        if real:
            (folder / "DIR").symlink_to(real)
            (folder / "records100").symlink_to(real / "records100")
        else:
            time = np.arange(1000) / 100 % 0.8
            waves = ((0.12, 0.15, 0.04), (1.0, 0.3, 0.02), (-0.25, 0.34, 0.02), (0.3, 0.55, 0.06))  # mV, s, s
            beats = sum(size * np.exp(-(((time - at) / width) ** 2)) for size, at, width in waves)[:, None]
            (folder / RECORD).parent.mkdir(parents=True)
            names = {"units": ["mV"] * 2, "sig_name": ["I", "II"], "write_dir": str(folder / RECORD.parent)}
            wfdb.wrsamp(RECORD.name, fs=100, p_signal=beats * [1.0, 1.2], **names)

    def run(self, block: Block) -> str:
        """What the block prints."""
        said = io.StringIO()
        with redirect_stdout(said):
            if block.language == "python":
                exec(compile(block.text, f"{block.page.name}:{block.line}", "exec"), self.namespace)
            else:
                for line in block.text.replace("\\\n", " ").splitlines():
                    if line.strip() and not line.strip().startswith("#"):
                        self.command(line)
        return said.getvalue()

    def command(self, line: str) -> None:
        program, *words = shlex.split(line, comments=True)
        if program == "pip":
            check_pip(words)
        elif program == "make":
            assert set(words) <= make_targets(), line
        elif program == "ecgzoo":
            self.ecgzoo(line)
        elif program == "python" and words[0].endswith(".py"):
            in_this_process(words, lambda: runpy.run_path(words[0], run_name="__main__"))
        else:
            self.shell(line)

    def ecgzoo(self, line: str) -> None:
        resumed = line.startswith(SHARED_RUN) and (self.folder / "runs" / "real").exists()
        line = line.replace("RECORD", RECORD.as_posix())
        if " recipe " in line or not self.real:
            line = line.replace("--data ptbxl --root DIR", "--data synthetic")
        _, *words = shlex.split(line, comments=True)
        if words[0] in ("push", "pull"):
            assert "--dry-run" in words, f"{line}: no test asks the real Hub; write ```sh network=hub"
        trains = words[0] == "recipe" and words[1] not in ("list", "copy")
        if trains and "--epochs" not in words:
            words += ["--epochs", "1"]
        if resumed and "--resume" not in words:
            words += ["--resume"]
        in_this_process(["ecgzoo", *words], app.main)

    def shell(self, line: str, **changes: str) -> None:
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        here = {**os.environ, "PATH": programs, "PYTHONPATH": str(ROOT), **changes}
        done = subprocess.run(
            ["bash", "-c", line], cwd=Path.cwd(), env=here, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        print(done.stdout, end="")


def in_this_process(words: list[str], run: Callable[[], object]) -> None:
    """Run a command in this process, since torch takes seconds to import."""
    if "accelerate.state" in sys.modules:  # accelerate keeps one precision a process
        sys.modules["accelerate.state"].AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(sys, "argv", words)
        code: object = None
        try:
            run()
        except SystemExit as end:
            code = end.code
        assert code in (None, 0), f"{shlex.join(words)}: exit status {code}"


def check_pip(words: list[str]) -> None:
    """What a page installs is installed already: nothing is downloaded in a test."""
    projects = {}
    for file in [ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]:
        text = file.read_text(encoding="utf-8")
        (name,) = re.findall(r'^name = "(.+)"', text, re.MULTILINE)
        projects[name] = set(
            re.findall(r"^(\w+) = ", text.partition("[project.optional-dependencies]")[2], re.MULTILINE)
        )
    assert words[0] == "install", words
    for word in words[1:]:
        name, _, extras = word.strip("\"'").rstrip("]").partition("[")
        if name.startswith(".") or "/" in name:
            assert (ROOT / name / "pyproject.toml").is_file(), word
        elif not name.startswith("-"):
            assert name in projects, word
            assert set(filter(None, extras.split(","))) <= projects[name], word


def make_targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@contextmanager
def like_a_user(folder: Path) -> Iterator[None]:
    """In `folder`; small cohort, short training; whatever a command changes in this process is put back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    with pytest.MonkeyPatch.context() as changed:
        changed.chdir(folder)
        changed.setitem(load_synthetic.__kwdefaults__, "num_records", 240)
        small = {"epochs": 1, "teacher": "xresnet1d_tiny", "student": "xresnet1d_tiny"}
        for name, value in small.items():
            changed.setitem(ecgzoo.Recipe.__init__.__kwdefaults__, name, value)
        changed.setattr(warnings, "formatwarning", warnings.formatwarning)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


@pytest.fixture(scope="module")
def real() -> Path | None:
    folder = Path(os.environ.get("ECGZOO_TEST_DATA", "")) / "ptbxl-small"
    return folder.resolve() if "ECGZOO_TEST_DATA" in os.environ and folder.is_dir() else None


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory: pytest.TempPathFactory, real: Path | None) -> Path:
    """What the pages' command for PTB-XL leaves in ``runs/real``, trained once."""
    folder = tmp_path_factory.mktemp("shared")
    with like_a_user(folder):
        session = Session(folder, real)
        with redirect_stdout(io.StringIO()):
            session.ecgzoo(SHARED_RUN)
    return folder / "runs" / "real"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run_and_print_what_the_page_says(
    page: Path, request: pytest.FixtureRequest, tmp_path: Path, real: Path | None
) -> None:
    found = [block for block in blocks(page) if block.runs]
    if page.name == "plugins.md":  # tests/plugins follows its commands, in an environment of their own
        found = [block for block in found if block.language == "python"]
    if not found:
        return
    session = Session(tmp_path, real)
    if any("runs/real" in block.text for block in found):
        shutil.copytree(request.getfixturevalue("shared_run"), tmp_path / "runs" / "real")
    with like_a_user(tmp_path):
        for block in found:
            if network := block.word("network"):
                request.getfixturevalue(network)(session, block)
                continue
            printed = session.run(block)
            if block.output is not None and (real or block.output.word("from") != "ptbxl"):
                assert same(printed, block.output.text), f"{page.name}:{block.line} prints\n{printed}"


def same(printed: str, shown: str) -> bool:
    """Word for word; a decimal fraction within what another processor rounds otherwise."""
    (*one,), (*two,) = (re.split(r"(\d+\.\d+)", text.strip()) for text in (printed, shown))
    return one[::2] == two[::2] and list(map(float, one[1::2])) == pytest.approx(list(map(float, two[1::2])), abs=0.002)


@pytest.fixture
def hub() -> Iterator[Callable[[Session, Block], None]]:
    """Runs commands against a Hub on loopback, each in a process: huggingface_hub reads its settings once."""
    sys.path.insert(0, str(ROOT / "tests" / "hub"))
    from server import Hub

    with Hub() as running:

        def run(session: Session, block: Block) -> None:
            settings = {
                "HF_ENDPOINT": running.url,
                "HF_HOME": str(session.folder / "hf"),
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "NO_PROXY": "127.0.0.1,localhost",
            }
            for line in block.text.splitlines():
                session.shell(line.replace("ecgzoo ", "python -m ecgzoo ", 1), **settings)
            assert running.repositories, "nothing was pushed"

        yield run


@pytest.fixture
def physionet(real: Path | None) -> Callable[[Session, Block], None]:
    """Runs blocks where PhysioNet is on loopback and holds three records of PTB-XL; later ones see what was fetched."""

    def run(session: Session, block: Block) -> None:
        if real is None:
            return  # what it would serve are the recordings of ptbxl-small
        site, mine = session.folder / "site", session.folder / "mine"
        if not site.exists():
            (mine / "DIR").mkdir(parents=True)
            publish(real, site)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with pytest.MonkeyPatch.context() as there:
            there.chdir(mine)
            there.setattr(wfdb.io.download, "PN_CONTENT_URL", f"{url}/content/")
            there.setattr(wfdb.io.download.config, "db_index_url", f"{url}/files/")
            printed = session.run(block)
        server.shutdown()
        server.server_close()
        fetched = sorted(path.name for path in (mine / "DIR").rglob("*") if path.is_file())
        assert fetched == sorted({"SHA256SUMS.txt", *(path.name for path in published(real))}), fetched
        if block.language == "sh":
            assert not printed, printed

    return run


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *given: object) -> None:
        """Nothing on stderr."""


def published(real: Path) -> list[Path]:
    records = sorted((real / "records100" / "00000").glob("*.hea"))[:3]
    return [
        real / "ptbxl_database.csv",
        real / "scp_statements.csv",
        *records,
        *(r.with_suffix(".dat") for r in records),
    ]


def publish(real: Path, site: Path) -> None:
    """The pages and files that wfdb asks PhysioNet for."""
    files, content = site / "files" / "ptb-xl" / "1.0.3", site / "content" / "ptb-xl" / "1.0.3"
    content.mkdir(parents=True)
    (content.parent / "index.html").write_text("<p>\nVersion: 1.0.3</p>\n")
    (content / "index.html").write_text("")
    sums, records = ["0" * 64 + " records500/00000/00001_hr.dat"], ["records500/00000/00001_hr"]
    for file in published(real):
        name = file.relative_to(real)
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, files / name)
        sums.append(f"{hashlib.sha256(file.read_bytes()).hexdigest()} {name.as_posix()}")
        if name.suffix == ".hea":
            records.append(name.with_suffix("").as_posix())
    (files / "RECORDS").write_text("\n".join(records))
    (files / "SHA256SUMS.txt").write_text("\n".join(sums) + "\n")


def test_what_does_not_run_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    left_out = [block for page in PAGES for block in blocks(page) if "no-run" in block.info]
    with capsys.disabled():
        print(f"\n{len(left_out)} blocks do not run:")
        for block in left_out:
            print(f"  {block.page.name}:{block.line} {block.info}")
    assert [b for b in left_out if not re.fullmatch(r"no-run: .{10,}", b.info)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_fences_are_of_known_languages(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_make_has_the_readmes_commands() -> None:
    for command in re.findall(r"make ([\w-]+)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert command in make_targets()


def test_each_equation_is_beside_its_test() -> None:
    page = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    cited = re.findall(r"\[`(test_\w+)`\]\(([^)]+)\)", page)
    for name, file in cited:
        assert f"def {name}(" in (ROOT / "docs" / file).read_text(encoding="utf-8"), name
    equations = re.findall(r"\n\n((?:    \S[^\n]*\n)+)\n(?:Code: )?", page)
    assert len(equations) == len(re.findall(r"\n\n(?:    \S[^\n]*\n)+\nCode: ", page)) >= 4


def test_the_reference_has_each_public_name_and_no_other() -> None:
    import ecgzoo.testing

    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\.\. (?:auto\w+|py:data):: (?:ecgzoo\.)?([\w.]+)", page, re.MULTILINE)
    assert sorted(listed) == sorted([*ecgzoo.__all__, *(f"testing.{name}" for name in ecgzoo.testing.__all__)])


def test_tables_are_not_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    import figures

    pages = [page for page in PAGES if "<!-- figures:" in page.read_text(encoding="utf-8")]
    assert pages
    for page in pages:
        assert figures.render(page.read_text(encoding="utf-8")) == page.read_text(encoding="utf-8"), page.name
