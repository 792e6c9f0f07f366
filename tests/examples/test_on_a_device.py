"""examples/device and examples/web: an exported student in C and in a browser gives Python's probabilities."""

import json
import os
import re
import select
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb

import ecgzoo
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.exporting.metadata import metadata
from ecgzoo.exporting.onnx import session
from ecgzoo.exporting.onnx_int8 import OnnxInt8
from ecgzoo.exporting.parity import python_scores
from ecgzoo.exporting.records import from_recordings
from ecgzoo.exporting.scorer import Scorer

EXAMPLES = Path(__file__).parents[2] / "examples"
PAGE = Path(__file__).parents[2] / "docs" / "on-a-device.md"
STUDENT = "xresnet1d18.ptbxl_super_i"  # to which the amplitude matters
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
HEADERS = ("include", "include/onnxruntime", "include/onnxruntime/core/session")
ANSWER_S = 120  # of a browser that hangs
TOLERANCE = 1e-4

Answer = dict[str, tuple[float, str]]  # probability and finding by label


@pytest.fixture(scope="module")
def student() -> ecgzoo.EcgModel:
    """With an aggregate and a label without thresholds."""
    model = ecgzoo.load_pretrained(STUDENT)
    thresholds = {label: points for label, points in model.config.thresholds.items() if label != "HYP"}
    aggregates = {"MI_STTC": ("MI", "STTC")}
    model.config = replace(model.config, aggregates=aggregates, thresholds={**thresholds, "MI_STTC": thresholds["MI"]})
    return model


@pytest.fixture(scope="module")
def exported(student: ecgzoo.EcgModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    ecgzoo.export(student, path)
    return path


@pytest.fixture(scope="module")
def record() -> ecgzoo.Record:
    """Twelve leads of 10 s at 100 Hz."""
    if folder := os.environ.get("ECGZOO_TEST_DATA"):
        return ecgzoo.read_record(Path(folder) / "ptbxl-small" / "records100" / "00000" / "00001_lr")
    cohort = load_synthetic(num_records=1)
    return ecgzoo.Record(cohort.signals([0])[0].astype(np.float32) / 1000, cohort.leads, cohort.rate_hz, "simulated")


def of_python(student: ecgzoo.EcgModel, record: ecgzoo.Record) -> Answer:
    signal = record.select("I").resample(student.config.rate_hz).signal
    probabilities = python_scores(student, signal[None])[0].tolist()
    findings = student.findings(probabilities)
    return {label: (p, findings.get(label, "")) for label, p in zip(student.config.labels, probabilities, strict=True)}


def assert_same(answer: Answer, expected: Answer) -> None:
    assert {label: finding for label, (_, finding) in answer.items()} == {
        label: finding for label, (_, finding) in expected.items()
    }
    for label, (probability, _) in answer.items():
        assert probability == pytest.approx(expected[label][0], abs=TOLERANCE), label


@pytest.fixture(scope="module")
def integers(student: ecgzoo.EcgModel, record: ecgzoo.Record, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student as 8-bit integers, of a scale that a strip can have: what it loses is not asked here."""
    pytest.importorskip("onnxruntime")
    signals = [record.select("I").signal * gain for gain in (0.5, 1, 2)]
    records = [ecgzoo.Record(signal, ("I",), record.rate_hz, "a strip") for signal in signals]
    path = tmp_path_factory.mktemp("integers") / "model.onnx"
    on = from_recordings(records, student.config)
    path.write_bytes(OnnxInt8().convert(Scorer(student), metadata(student, None), 0, on))
    return path


def of_integers(path: Path, student: ecgzoo.EcgModel, record: ecgzoo.Record) -> dict[str, float]:
    """Its probabilities in Python's ONNX Runtime."""
    found = session(path.read_bytes())(record.select("I").signal[None])[0].tolist()
    return dict(zip(student.config.labels, found, strict=True))


# --- the C program


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built program, against the header that ORT or the system has and the library of the wheel."""
    onnxruntime = pytest.importorskip("onnxruntime")
    folders = [Path(root) / under for root in (os.environ.get("ORT", "/usr"), "/usr/local") for under in HEADERS]
    header = next((folder for folder in folders if (folder / "onnxruntime_c_api.h").is_file()), None)
    library = next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so*"), None)
    for missing, found in (("make", shutil.which("make")), ("cc", shutil.which("cc")), ("the library", library)):
        if not found:
            pytest.skip(f"{missing} is not installed")
    if header is None:
        pytest.skip("no onnxruntime_c_api.h; name a folder with include/ in ORT, or install libonnxruntime-dev")
    folder = tmp_path_factory.mktemp("device")
    shutil.copytree(EXAMPLES / "device", folder / "source", ignore=shutil.ignore_patterns("findings"))
    (folder / "lib").mkdir()
    (folder / "include").symlink_to(header)
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / "lib" / name).symlink_to(str(library))
    command = ["make", f"ORT={folder}", "CFLAGS=-O1 -Wall -Wextra -Werror"]
    done = subprocess.run(command, cwd=folder / "source", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "source" / "findings"


def run(program: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True, errors="replace")


def printed(text: str) -> Answer:
    rows = re.findall(r"^(\S+) +(0\.\d+|1\.0+) +(present|absent|uncertain|-) ", text, re.MULTILINE)
    return {label: (float(probability), finding.strip("-")) for label, probability, finding in rows}


def test_the_program_gives_pythons_findings(
    program: Path, exported: Path, student: ecgzoo.EcgModel, record: ecgzoo.Record, tmp_path: Path
) -> None:
    expected = of_python(student, record)
    assert {finding for _, finding in expected.values()} >= {"", "absent"}
    with_times, without = tmp_path / "times.csv", tmp_path / "plain.csv"
    record.select("I").to_frame().to_csv(with_times)
    np.savetxt(without, record.select("I").signal[0], fmt="%.9g", header="\ufeffI (mV)", comments="", newline="\r\n")
    done = run(program, exported, with_times)
    assert_same(printed(done.stdout), expected)
    assert_same(printed(run(program, exported, without, "100").stdout), expected)
    if record.source != "simulated":  # the record of the page
        shown = PAGE.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
        assert shown.startswith(done.stdout.splitlines()[0])
        of_page = {**expected, "HYP": (expected["HYP"][0], "absent")}
        of_page.pop("MI_STTC")
        assert_same(printed(shown), of_page)


def test_a_0_above_decimals_is_no_sample_for_the_program(
    program: Path, exported: Path, student: ecgzoo.EcgModel, record: ecgzoo.Record, tmp_path: Path
) -> None:
    offset = replace(record, signal=record.signal + 1)  # a sample of 0 would be a step
    np.savetxt(tmp_path / "strip.csv", offset.signal[0], header="0", comments="")  # as pandas.Series.to_csv
    done = run(program, exported, tmp_path / "strip.csv", "100")
    assert done.returncode == 0, done.stderr
    assert_same(printed(done.stdout), of_python(student, offset))


def test_the_program_runs_integers(
    program: Path, integers: Path, student: ecgzoo.EcgModel, record: ecgzoo.Record, tmp_path: Path
) -> None:
    record.select("I").to_frame().to_csv(tmp_path / "strip.csv")
    said = printed(run(program, integers, tmp_path / "strip.csv").stdout)
    expected = of_integers(integers, student, record)
    assert {label: probability for label, (probability, _) in said.items()} == pytest.approx(expected, abs=TOLERANCE)


LEAD = "I (mV)\n" + "0.25\n" * 1000


@pytest.mark.parametrize(
    ("strip", "rate", "problem"),
    [
        (LEAD, "", "does not say its rate"),
        (LEAD, "250", "is of 250 Hz; the model reads 100 Hz: resample it"),
        (LEAD, "fast", "fast is not a rate in Hz"),
        (LEAD[:2502], "100", "has 4.99 s; the model needs 5 s at least"),
        (LEAD + "0.25" * 99, "100", "line 1002 is too long"),
        (LEAD.replace("mV", "uV"), "100", "its unit is (uV); expected (mV)"),
        (LEAD.replace("I ", "II "), "100", "line 1 names II; the model reads lead I"),
        (LEAD.replace("I ", "s,I "), "", "line 1 begins with s; expected `I (mV)` or `time_s,I`"),
        (LEAD + "nan\n", "100", "line 1002 is not a number"),
        (LEAD + "1e99\n", "100", "line 1002 is not a number"),
        (LEAD + "0.1,0.2\n", "100", "line 1002 is not a number"),
        (LEAD + "\n0.1\n", "100", "line 1002 is empty"),
        (LEAD * 2, "100", "line 1002 is not a number"),
        ("I\n" + "0\n" * 60001, "100", "is longer than 600 s; cut it into parts"),
        ("time_s,I\n" + "".join(f"{n / 250},0\n" for n in range(3000)), "", "those of 250 Hz; the model reads 100 Hz"),
        (
            "time_s,I\n" + "".join(f"{n / 100},0\n" for n in range(1000) if n != 700),
            "",
            "the time in line 702 does not",
        ),
        ("I\n" + "".join(f"{n / 100}\n" for n in range(1000)), "100", "its column rises with every sample"),
        ("time_s,I\n" + "0,0\n" * 1000, "", "its times are those of inf Hz"),
        ("time_s,I\n" + "0\n", "", "line 2 is not a time and a number"),
        ("", "100", "has 0 s"),
        ("PK\x03\x04 no text\n", "100", "line 1 names PK"),
    ],
)
def test_a_strip_that_cannot_be_used_gives_a_sentence(
    program: Path, exported: Path, tmp_path: Path, strip: str, rate: str, problem: str
) -> None:
    (tmp_path / "strip.csv").write_text(strip)
    done = run(program, exported, tmp_path / "strip.csv", *filter(None, [rate]))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("scale", "problem"), [(1000, "more than 12 mV in 2 s"), (0.001, "less than 0.03 mV in 2 s")])
def test_another_unit_is_refused_by_its_size(
    program: Path, exported: Path, record: ecgzoo.Record, tmp_path: Path, scale: float, problem: str
) -> None:
    np.savetxt(tmp_path / "strip.csv", scale * record.select("I").signal[0], fmt="%.9g")
    done = run(program, exported, tmp_path / "strip.csv", "100")
    assert (done.returncode, done.stdout) == (1, "")
    assert problem in done.stderr


def test_a_model_that_cannot_be_used_gives_a_sentence(program: Path, exported: Path, tmp_path: Path) -> None:
    import onnx

    (tmp_path / "strip.csv").write_text(LEAD)
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "cut.onnx").write_bytes(exported.read_bytes()[:100_000])
    model = onnx.load(exported)
    of_two, unlike = onnx.ModelProto(), onnx.ModelProto()
    for changed, key, value in ((of_two, "leads", '["I", "II"]'), (unlike, "contract", "2")):
        changed.CopyFrom(model)
        next(item for item in changed.metadata_props if item.key == key).value = value
    del model.metadata_props[:]
    for name, made in (("two", of_two), ("unlike", unlike), ("bare", model)):
        onnx.save(made, tmp_path / f"{name}.onnx")
    for name, problem in {
        "none.onnx": "No such file or directory; write it with `ecgzoo export`",
        "text.onnx": "ONNX Runtime refuses it",
        "cut.onnx": "ONNX Runtime refuses it",
        "two.onnx": 'reads leads ["I", "II"]; this program gives it one',
        "unlike.onnx": "is of contract 2; this program reads 1",
        "bare.onnx": "has no contract in its metadata",
    }.items():
        done = run(program, tmp_path / name, tmp_path / "strip.csv", "100")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), name
        assert problem in done.stderr
    done = run(program, exported, tmp_path / "none.csv", "100")
    assert (done.returncode, done.stderr) == (1, f"error: {tmp_path}/none.csv: No such file or directory\n")
    assert run(program).returncode == 1


# --- the page


class Server:
    """A folder on loopback; `asked` are the paths that were asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *given: object) -> None:
                asked.append(self.path)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Browser:
    """A tab of headless Chromium, by the DevTools protocol over a pipe."""

    def __init__(self, profile: Path) -> None:
        self.events: list[dict[str, Any]] = []
        reads, self.out = os.pipe()
        self.into, writes = os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
        command = f'exec "$0" "$@" 3<&{reads} 4>&{writes}'
        self.process = subprocess.Popen(
            ["bash", "-c", command, CHROMIUM, *flags, "--remote-debugging-pipe"],
            pass_fds=(reads, writes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(reads)
        os.close(writes)
        self.rest, self.number, self.session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "DOM", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        session = {"sessionId": self.session} if self.session else {}
        message = {"id": self.number, "method": method, "params": params, **session}
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while (answer := self.receive()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def receive(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            assert select.select([self.into], [], [], ANSWER_S)[0], "Chromium does not answer"
            received = os.read(self.into, 1 << 20)
            assert received, "Chromium ended"
            self.rest += received
        message, _, self.rest = self.rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def value(self, expression: str) -> Any:
        """The JSON value of a JavaScript expression, or of what it promises."""
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait(self, condition: str) -> None:
        self.value(f"new Promise(done => {{ const ask = () => {condition} ? done() : setTimeout(ask, 20); ask(); }})")

    def give(self, *files: Path) -> None:
        """Choose files, and wait for what the page says: findings, questions or an error."""
        self.value("for (const id of ['error', 'questions', 'result']) document.getElementById(id).hidden = true")
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file) for file in files], nodeId=node)
        self.wait("document.querySelector('#error:not([hidden]), #questions:not([hidden]), #result:not([hidden])')")

    def drop(self, *files: Path) -> None:
        """Drop files on the page, as from the desktop."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=200, y=200, data=data)

    def answer(self, **answers: str) -> None:
        """Answer the page's questions."""
        for name, value in answers.items():
            self.value(f"document.forms[0].elements[{json.dumps(name.replace('_', ' '))}].value = {json.dumps(value)}")
        self.value("document.querySelector('form button').click()")
        self.wait("document.querySelector('#error:not([hidden]), #result:not([hidden])')")

    def asked(self) -> list[str]:
        found: list[str] = self.value("[...document.forms[0].elements].map(one => one.name).filter(name => name)")
        return found if self.value("!document.forms[0].hidden") else []

    def text(self, part: str) -> str:
        found: str = self.value(f"(one => one.hidden ? '' : one.textContent)(document.getElementById('{part}'))")
        return found

    def findings(self) -> Answer:
        assert self.text("error") == ""
        rows = "[...document.querySelectorAll('#result:not([hidden]) tbody tr')]"
        found = self.value(f"{rows}.map(r => [r.dataset.label, +r.dataset.probability, r.cells[2].textContent])")
        return {label: (probability, finding) for label, probability, finding in found}

    def requests(self) -> list[str]:
        made = [event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in made]

    def close(self) -> None:
        self.session = None
        self.call("Browser.close")
        self.process.wait(ANSWER_S)
        os.close(self.out)
        os.close(self.into)


@pytest.fixture(scope="module")
def site(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page as its documentation builds it, on loopback."""
    server = Server(built_page(exported, tmp_path_factory.mktemp("web") / "page"))
    yield server
    server.close()


def built_page(model: Path, folder: Path) -> Path:
    npm = shutil.which("npm")
    if not CHROMIUM or not npm:
        pytest.skip("chromium is not installed" if npm else "npm is not installed")
    shutil.copytree(EXAMPLES / "web", folder)
    if not (folder / "runtime").is_dir():
        done = subprocess.run(["npm", "run", "runtime"], cwd=folder, capture_output=True, text=True)
        if done.returncode and re.search(r"\b(ENOTFOUND|ECONN\w+|ETIMEDOUT|EAI_AGAIN)\b", done.stderr):
            pytest.skip("npm's registry cannot be reached, and examples/web/runtime is not there")
        assert done.returncode == 0, done.stderr
    shutil.copy(model, folder / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def page(site: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = opened(site, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def opened(site: Server, profile: Path) -> Browser:
    browser = Browser(profile)
    browser.call("Page.navigate", url=f"{site.url}/index.html")
    browser.wait("document.getElementById('files')?.disabled === false || /cannot/.test(document.body?.textContent)")
    return browser


def as_csv(record: ecgzoo.Record, path: Path) -> ecgzoo.Record:
    record.select("I").to_frame().to_csv(path)
    return ecgzoo.read_record(path, units="mV")


def as_wfdb(record: ecgzoo.Record, path: Path) -> ecgzoo.Record:
    names = {"units": ["mV"] * 12, "sig_name": list(record.leads), "write_dir": str(path.parent)}
    record = record.resample(500)
    wfdb.wrsamp(path.stem, fs=500, p_signal=record.signal.T.astype(np.float64), fmt=["16"] * 12, **names)
    return ecgzoo.read_record(path)


def as_edf(record: ecgzoo.Record, path: Path) -> ecgzoo.Record:
    edfio = pytest.importorskip("edfio")
    record = record.resample(512)
    signals = zip(record.leads, record.signal.astype(np.float64), strict=True)
    edfio.Edf(
        [edfio.EdfSignal(row * 1000, 512, label=f"ECG {lead}", physical_dimension="uV") for lead, row in signals]
    ).write(path)
    return ecgzoo.read_record(path)


@pytest.mark.parametrize(
    ("write", "names", "answers"),
    [
        (as_csv, ["strip.csv"], {"unit": "mV"}),
        (as_wfdb, ["strip.hea", "strip.dat"], {}),
        (as_edf, ["strip.edf"], {}),
    ],
    ids=["csv", "wfdb of 500 Hz", "edf of 512 Hz"],
)
def test_the_page_gives_pythons_findings(
    page: Browser,
    student: ecgzoo.EcgModel,
    record: ecgzoo.Record,
    tmp_path: Path,
    write: Callable[[ecgzoo.Record, Path], ecgzoo.Record],
    names: list[str],
    answers: dict[str, str],
) -> None:
    written = write(record, tmp_path / names[0])
    page.give(*(tmp_path / name for name in names))
    assert page.asked() == list(answers), page.text("error")
    if answers:
        page.answer(**answers)
    assert_same(page.findings(), of_python(student, written))
    assert f"{written.rate_hz:g} Hz" in page.text("recording")


@pytest.mark.slow
def test_the_page_runs_integers(
    integers: Path, student: ecgzoo.EcgModel, record: ecgzoo.Record, tmp_path: Path
) -> None:
    server = Server(built_page(integers, tmp_path / "page"))
    page = opened(server, tmp_path / "profile")
    as_csv(record, tmp_path / "strip.csv")
    page.give(tmp_path / "strip.csv")
    assert page.asked() == ["unit"], page.text("error")
    page.answer(unit="mV")
    said = {label: probability for label, (probability, _) in page.findings().items()}
    page.close()
    server.close()
    assert said == pytest.approx(of_integers(integers, student, record), abs=TOLERANCE)


def test_what_a_file_does_not_say_is_asked_for(
    page: Browser, student: ecgzoo.EcgModel, record: ecgzoo.Record, tmp_path: Path
) -> None:
    path, lead = tmp_path / "numbers.txt", record.select("I").resample(130)
    np.savetxt(path, lead.signal[0] * 1000, fmt="%.9g")
    expected = of_python(student, ecgzoo.read_record(path, leads="I", units="uV", rate_hz=130))
    page.give(path)
    assert page.asked() == ["lead I", "rate", "unit"]
    page.answer(lead_I="0", rate="fast", unit="uV")
    assert "fast is not a rate in Hz" in page.text("error")
    page.answer(rate="130")
    assert_same(page.findings(), expected)


def test_what_a_line_above_the_numbers_says_is_not_asked_for(
    page: Browser, student: ecgzoo.EcgModel, record: ecgzoo.Record, tmp_path: Path
) -> None:
    path, lead = tmp_path / "strip.csv", record.select("I").resample(130)
    columns = np.column_stack([1000 * lead.signal[0], np.zeros(lead.signal.shape[1])])
    np.savetxt(path, columns, delimiter=",", header="Sampling rate: 130 Hz\nI (uV),RESP", comments="")
    page.give(path)
    assert page.asked() == [], page.text("error")  # the unit of RESP neither, which is not read
    assert_same(page.findings(), of_python(student, lead))


def test_another_unit_is_refused_by_its_size_on_the_page(
    page: Browser, student: ecgzoo.EcgModel, record: ecgzoo.Record, tmp_path: Path
) -> None:
    np.savetxt(tmp_path / "strip.csv", 1000 * record.select("I").signal[0], fmt="%.9g", header="I", comments="")
    expected = of_python(student, ecgzoo.read_record(tmp_path / "strip.csv", units="uV", rate_hz=100))
    page.give(tmp_path / "strip.csv")
    page.answer(rate="100", unit="mV")
    assert "strip.csv: lead I ranges over more than 12 mV in 2 s" in page.text("error")
    page.answer(unit="uV")
    assert_same(page.findings(), expected)
    np.savetxt(tmp_path / "strip.csv", record.select("I").signal[0] / 1000, fmt="%.9g", header="I (mV)", comments="")
    page.give(tmp_path / "strip.csv")
    page.answer(rate="100")
    assert "strip.csv: lead I ranges over less than 0.03 mV in 2 s" in page.text("error")


def test_one_column_is_not_two_leads(exported: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(exported)
    next(item for item in model.metadata_props if item.key == "leads").value = '["I", "II"]'
    onnx.save(model, tmp_path / "two.onnx")
    server = Server(built_page(tmp_path / "two.onnx", tmp_path / "page"))
    page = opened(server, tmp_path / "profile")
    np.savetxt(tmp_path / "two.csv", np.zeros((1000, 2)), delimiter=",", header="one (mV),two (mV)", comments="")
    page.give(tmp_path / "two.csv")
    assert page.asked() == ["lead I", "lead II", "rate"], page.text("error")
    page.answer(lead_I="1", lead_II="1", rate="100")
    said = page.text("error")
    page.close()
    server.close()
    assert said == "two.csv: one column was chosen for two leads; choose another one for each"


def test_the_page_reads_a_handhelds_recording(page: Browser, student: ecgzoo.EcgModel, test_data: Path) -> None:
    path = test_data / "af2017" / "A00001"
    expected = of_python(student, ecgzoo.read_record(path).rename({"ECG": "I"}))
    page.give(path.with_suffix(".mat"), path.with_suffix(".hea"))
    assert page.asked() == ["lead I"], page.text("error")
    page.answer(lead_I="0")
    assert_same(page.findings(), expected)


def test_the_strip_is_drawn_as_on_paper(page: Browser, record: ecgzoo.Record, tmp_path: Path) -> None:
    as_csv(record, tmp_path / "strip.csv")
    page.give(tmp_path / "strip.csv")
    page.answer(unit="mV")
    assert page.text("scale").startswith("25 mm/s, 10 mm/mV.")
    millimetre, lead = 96 / 25.4, record.select("I").signal[0]
    for wide, rows, boxes in ((1400, 1, 50), (390, 3, 18)):
        size = {"width": wide, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        page.call("Emulation.setDeviceMetricsOverride", **size)
        page.wait(f"innerWidth === {wide}")
        page.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))")
        assert page.value("document.documentElement.scrollWidth <= innerWidth")
        width, height = page.value("[paper.width, paper.height]")
        assert width == pytest.approx(boxes * 5 * millimetre, abs=2)
        row = (height + 5 * millimetre) / rows - 5 * millimetre
        colours = "[...paper.getContext('2d').getImageData(0, 0, paper.width, paper.height).data]"
        green = np.array(page.value(f"{colours}.filter((_, at) => at % 4 === 1)")).reshape(height, width)
        coarse = [round(5 * millimetre * box) for box in range(1, boxes)]  # darker than what is beside them
        assert all(green[2, at : at + 2].min() < green[2, at + 6 : at + 8].max() - 30 for at in coarse)
        # the highest peak of the first row is where its time and its voltage say
        shown = lead[: round(boxes / 5 * record.rate_hz)]
        trace = np.argwhere(green[: round(row)] < 100)
        x = shown.argmax() / record.rate_hz * 25 * millimetre
        y = row / 2 - (shown.max() - np.median(lead)) * 10 * millimetre
        assert trace[:, 0].min() == pytest.approx(y, abs=2)
        assert np.abs(trace[trace[:, 0] <= y + 2, 1] - x).min() <= 2


@pytest.mark.parametrize(("rate", "new"), [(500, 100), (512, 100), (300, 100), (130, 100), (50, 100), (256.41, 100)])
def test_the_page_resamples_as_python_does(page: Browser, record: ecgzoo.Record, rate: float, new: float) -> None:
    lead = replace(record.select("I"), rate_hz=rate)
    given = json.dumps(lead.signal[0].tolist())
    import_it = "import(new URL('resample.js', location))"
    found = page.value(f"{import_it}.then(it => [...it.resample({given}, {rate}, {new})])")
    np.testing.assert_allclose(found, lead.resample(new).signal[0], atol=1e-6)


def test_nothing_leaves_the_pages_origin(
    page: Browser, site: Server, record: ecgzoo.Record, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = len(site.asked)
    as_wfdb(record, tmp_path / "dropped")
    page.drop(tmp_path / "dropped.dat", tmp_path / "dropped.hea")
    page.wait("document.getElementById('recording').textContent.startsWith('dropped.hea')")
    assert page.findings()
    assert len(site.asked) == before  # a recording makes no request at all, to its own server neither
    assert {url.split("/")[2] for url in page.requests() if not url.startswith("data:")} == {site.url.split("/")[2]}

    elsewhere = Server(tmp_path_factory.mktemp("elsewhere"))
    send = f"fetch('{elsewhere.url}/fetch', {{mode: 'no-cors', method: 'POST', body: 'x'}}).then(() => 1, () => 0)"
    assert page.value(send) == 0
    load = "new Promise(done => { const one = new Image(); one.onload = one.onerror = done; one.src = '%s'; })"
    page.value(load % f"{elsewhere.url}/image")
    page.value(f"navigator.sendBeacon('{elsewhere.url}/beacon', 'x')")
    page.value("new Promise(done => setTimeout(done, 100))")
    elsewhere.close()
    assert elsewhere.asked == []


BAD = {
    "empty.csv": ("", "has no line of numbers"),
    "words.csv": ("I (mV)\nhello\n", "has no line of numbers"),
    "other.csv": ("II (mV)\n" + "0\n" * 1000, "has lead II; the model reads I"),
    "twice.csv": ("I (mV),ECG I (mV)\n" + "0,0\n" * 1000, "lead I occurs twice; rename or drop one of them"),
    "others.csv": ("I (mV),II (mV),MLII (mV)\n" + "0,0,0\n" * 1000, "lead II occurs twice"),
    "slow.csv": (
        "time_s,I (mV)\n" + "".join(f"{n / 74},0\n" for n in range(900)),
        "74 Hz is too low for a model of 100 Hz",
    ),
    "broken.csv": ("I (mV)\n" + "0\n" * 900 + "x\n", "line 902 is not a row of 1 numbers"),
    "wide.csv": ("0,1\n" * 1000, "has 2 columns; name them"),
    "gap.csv": (
        "time_s,I (mV)\n" + "".join(f"{n / 100},0\n" for n in range(1000) if n != 700),
        "line 702 does not fit",
    ),
    "missing.csv": (
        "time_s,I (mV)\n" + "".join(f"{n / 100},{'' if n == 250 else 0}\n" for n in range(900)),
        "at 2.50 s",
    ),
    "short.csv": ("time_s,I (mV)\n" + "".join(f"{n / 100},0\n" for n in range(499)), "has 4.99 s; the model needs 5 s"),
    "degrees.csv": (
        "time_s,I (C)\n" + "".join(f"{n / 100},0\n" for n in range(900)),
        'has I in the unit "C", which is not a voltage',
    ),
    "binary.csv": ("\0\1\2", "is not text, EDF or a WFDB record"),
    "alone.hea": ("alone 1 100 10\nalone.dat 16 200 16 0 0 0 0 I\n", "has its samples in alone.dat; give both files"),
    "packed.hea": ("packed 1 100 10\npacked.dat 212 200 16 0 0 0 0 I\n", "expected format 16, with gain and checksum"),
    "cut.edf": ("0       " + " " * 300, "is shorter or longer than its header says"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_page_says_in_a_sentence_what_it_cannot_read(page: Browser, tmp_path: Path, name: str) -> None:
    content, problem = BAD[name]
    (tmp_path / name).write_text(content)
    page.give(tmp_path / name)
    assert problem in page.text("error")
    assert page.value("document.getElementById('result').hidden")


def test_the_page_is_small(site: Server) -> None:
    folder = Path(site.server.RequestHandlerClass.keywords["directory"])  # type: ignore[attr-defined]
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "runtime"]
    assert sum(path.stat().st_size for path in files) <= 5e6
