"""Malformed files and texts: each must give a one-line error or a result of finite numbers, within the time limit.

Case n of a target is the same in every run (`Dice` is seeded by target and n), so ``faults.py --case TARGET:n``
repeats it.
"""

import binascii
import csv
import dataclasses
import hashlib
import io
import json
import os
import re
import resource
import shutil
import signal
import struct
import sys
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ecgzoo
from benchmarks._faults import crashers, recorders
from benchmarks._faults.common import Deadline, Tally, small_model
from benchmarks._faults.kills import RECORD
from benchmarks._faults.mutate import Dice
from ecgzoo import registry
from ecgzoo.data import parse_folds
from ecgzoo.data.ptbxl import _read_database, _read_statements, load_ptbxl
from ecgzoo.data.store import open_store, write_signals, write_table
from ecgzoo.errors import EcgZooError
from ecgzoo.recordings import read_record
from ecgzoo.signal import LEADS_12, Record, resolve_leads
from ecgzoo.signal.leads import known_lead
from ecgzoo.training.checkpoint import load_state, save_state
from ecgzoo.training.recipe import Recipe, claim_folder
from ecgzoo.training.report import _read_log
from ecgzoo.training.state import restore
from ecgzoo.training.terms import LossTerm, TransformTerm, parse_arguments, parse_term
from ecgzoo.weights import folder as weights_folder
from ecgzoo.weights.folder import read_config
from ecgzoo.weights.hub import _files_to_push, addressed
from ecgzoo.weights.layout import SHA256

_PLOT: Any = weights_folder.__dict__["plot_calibration"]
SECONDS, SPARE_MB, LONGEST_LINE = 2.0, 50, 4000
Case = Callable[[Dice], None]


class LostError(Exception):
    """A success where an error was expected, or an error of the wrong form."""


class HangError(BaseException):
    """A case that exceeds the time limit. It is not an `Exception`, so that nothing catches it."""


def is_line(text: str) -> bool:
    """Whether a terminal shows the text unchanged in one line; blanks of other widths are allowed."""
    return all(character.isprintable() or unicodedata.category(character) == "Zs" for character in text)


def expect(held: bool, what: str) -> None:
    """Raise `LostError` unless it `held`."""
    if not held:
        raise LostError(what)


# ------------------------------------------------------------------------------------------------------- recordings


def wfdb_records(folder: Path) -> Case:
    """Headers and samples, .dat and .mat; a record that can be read is also given to a model."""
    random = np.random.default_rng(0)
    samples = np.clip((np.cumsum(random.normal(0, 8, (300, 2)), axis=0)), -100, 100).astype("<i2")
    plain = {"16": samples.tobytes(), "32": samples.astype("<i4").tobytes(), "61": samples.astype(">i2").tobytes()}
    good = [(_header(name, sums), content) for name, content in plain.items() for sums in ("0 0 0", "0 7 0")]
    good.append((_header("16+24", "0 0 0").replace(b"1000/mV", b"1(5)/uV"), bytes(24) + plain["16"]))
    mixed = "rec 1 500 100 10:00:00 2017-01-01\nrec.dat 16x6 200/µV 12 0 0 0 0 MLII\n"
    good += [(mixed.encode(), plain["16"]), (b"rec 1 100\nrec.dat 16\n# a comment\n", plain["16"])]
    good += [(b"rec/2 1 100 10\na 5\nb 5\n", b""), (b"rec 1 100 300\nrec.dat 16:5 2000/V 0 0 0 0 0 V1\n", plain["16"])]
    crashed = [(header, plain["16"]) for header in crashers.WFDB_HEADERS]
    import wfdb

    for name in ("212", "310", "311", "24", "80", "516"):
        with suppress(Exception):  # wfdb's own encoders, those that work here
            given = {"units": ["mV"] * 2, "sig_name": ["I", "II"], "fmt": [name] * 2, "baseline": [0, 0]}
            given.update(adc_gain=[1000.0] * 2, d_signal=samples.astype(np.int64), write_dir=str(folder))
            wfdb.wrsamp(f"w{name}", fs=100, **given)
            header = (folder / f"w{name}.hea").read_bytes().replace(f"w{name}".encode(), b"rec")
            good += 2 * [(header, (folder / f"w{name}.dat").read_bytes())]
            good += 2 * [(re.sub(rb" (-?\d+) -?\d+ 0 (?=I+\n)", rb" \1 0 0 ", header), good[-1][1])]  # no checksums
    headers, contents = [header for header, _ in good], [content for _, content in good]
    model = small_model(1)
    bad: list[Callable[[Path], object]] = [
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("nowhere"),
        os.mkdir,
    ]

    def case(dice: Dice) -> None:
        header, content = dice.choice(good if dice.maybe(0.9) else crashed)
        if dice.maybe(0.7):
            header = dice.bytes_of([header] if dice.maybe(0.8) else headers)
        elif dice.maybe(0.9):
            content = dice.bytes_of([content] if dice.maybe(0.8) else contents)
        suffix = ".mat" if dice.maybe(0.1) else ".dat"
        header = header.replace(b".dat", suffix.encode()) if dice.maybe(0.9) else header
        dice.note(header, content, suffix)
        for path in folder.glob("rec.*"):
            path.unlink() if path.is_symlink() or not path.is_dir() else path.rmdir()
        (folder / "rec.hea").write_bytes(header)
        (folder / f"rec{suffix}").write_bytes(content)
        if dice.maybe(0.01):
            victim = folder / dice.choice(("rec.hea", f"rec{suffix}"))
            victim.unlink()
            dice.choice(bad)(victim)
        record = read_record(folder / "rec")
        expect(not np.isinf(record.signal).any(), "infinite millivolts")
        if dice.maybe(0.3):
            check_prediction(model.predict(record, insist=dice.maybe(0.5)))

    return case


def strips(folder: Path) -> Case:
    """Files of text, of numpy, and of devices: as they are mutated, with what they do not say given or not."""
    rows = [[k / 100, (k % 80) / 50, -(k % 70) / 60] for k in range(300)]
    text = "time (s);I (mV);II [uV]\n" + "".join(";".join(f"{x:.3f}" for x in row) + "\n" for row in rows)
    samples = [b"%.3f" % row[1] for row in rows]
    header = b'Name\nDevice,"Watch7,12"\nSample Rate,512 hertz\n\nLead,Lead I\nUnit,\xc2\xb5V\n\n'
    polar = b"Phone timestamp;sensor timestamp [ns];timestamp [ms];ecg [uV]\n"
    polar += b"".join(b"2026-07-16T21:34:53.930;%d;0.0;%d\n" % (int(1e7 * k), k) for k in range(300))
    block = struct.pack("<4sIBHHBHI", b"fmt ", 8, 1, 300, 500, 2, 0, 0)
    block = block[:-4] + struct.pack("<I", sum(block)) + struct.pack("<4sI", b"ecg ", 600) + bytes(604)
    block = block[:-4] + struct.pack("<I", sum(struct.pack("<4sI", b"ecg ", 600)))
    array = np.array(rows, np.float32).T
    buffers = [io.BytesIO() for _ in range(3)]
    np.save(buffers[0], array)
    np.savez(buffers[1], signal=array, leads=["I", "II", "V1"], rate_hz=100, units="mV")
    np.savez_compressed(buffers[2], array)
    good = [text.encode(), text.replace(".", ",").encode(), text.replace(";", ",").encode(), text.encode("utf-16")]
    good += [text[24:].replace(";", " ").encode(), b"I (mV)\n" + b"\n".join(samples), header + b"\n".join(samples)]
    good += [polar, b"ALIVE\0\0\0\5\0\0\0" + block, *(buffer.getvalue() for buffer in buffers)]

    def case(dice: Dice) -> None:
        content = dice.bytes_of([dice.choice(good)] if dice.maybe(0.8) else good)
        if dice.maybe(0.3):  # the part that says what follows
            content = dice.bytes_of([content[:100]]) + content[100:]
        suffix = dice.choice((".csv", ".txt", ""))
        leads = dice.choice((None, None, None, "I", "I,II", "I,II,V1"))
        given: Any = {"leads": leads, "rate_hz": dice.choice((None, 100)), "units": dice.choice((None, None, "mV"))}
        dice.note(content, given, suffix)
        path = folder / f"strip{suffix}"
        path.write_bytes(content)
        record = read_record(path, **given)
        expect(not np.isinf(record.signal).any(), "infinite millivolts")

    return case


def _header(name: str, sums: str) -> bytes:
    return ("rec 2 100 300\n" + "".join(f"rec.dat {name} 1000/mV 16 {sums} {lead}\n" for lead in ("I", "II"))).encode()


def recorder_files(name: str, *writers: Callable[[np.ndarray, int], bytes]) -> Callable[[Path], Case]:
    """What a cart or a Holter wrote, as `writers` make it; reader `name` reads it even where it would not know it."""

    def made(folder: Path) -> Case:
        good = [writer(recorders.heart(100, 1.0), 100) for writer in writers]
        reader: Any = registry.build(registry.get("reader", name), (), {})

        def case(dice: Dice) -> None:
            content = dice.bytes_of(good)
            if name == "scp" and dice.maybe(0.8):  # past the checksum
                content = struct.pack("<HI", 0, len(content)) + content[6:]
                content = struct.pack("<H", binascii.crc_hqx(content[2:], 0xFFFF)) + content[2:]
            dice.note(content)
            (folder / "recording").write_bytes(content)
            record = reader.read(folder / "recording", None, None, None)
            expect(not np.isinf(record.signal).any(), "infinite millivolts")

        return case

    return made


def check_prediction(said: Any) -> None:
    """Check that a prediction has only finite numbers and printable lines."""
    expect(all(np.isfinite(said.probabilities)), f"probabilities {said.probabilities}")
    try:
        json.dumps(said.to_dict(), allow_nan=False)
    except ValueError as error:
        raise LostError(f"a prediction that is not valid JSON: {error}") from error
    expect(all(is_line(line) for line in str(said).split("\n")), "a prediction with lines that are not printable")


# -------------------------------------------------------------------------------------------------------- data sets

_STATEMENTS = (
    ",description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass\n"
    "NORM,normal,1.0,,,NORM,NORM\nIMI,inferior,1.0,,,MI,IMI\nAFIB,fibrillation,,,1.0,,\n"
)
_ROWS = [
    ["ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", "filename_lr"],
    ["1", "15709.0", "56.0", "1", "{'NORM': 100.0}", "3", "records100/00000/00001_lr"],
    ["2", "15710.0", "300", "0", "{'IMI': 35.0, 'AFIB': 0.0}", "4", "records100/00000/00002_lr"],
    ["3", "15711.0", "", "", "{}", "10", "records100/00000/00001_lr"],
]


def ptbxl_tables(folder: Path) -> Case:
    """ptbxl_database.csv and scp_statements.csv, only parsed or loaded with their records."""
    records = folder / "records100" / "00000"
    records.mkdir(parents=True)
    signals = np.random.default_rng(0).integers(-500, 500, (1000, 12), dtype="<i2")
    for name in ("00001_lr", "00002_lr"):
        signals.tofile(records / f"{name}.dat")
        lines = [f"{name}.dat 16 1000/mV 16 0 0 0 0 {lead}\n" for lead in LEADS_12]
        (records / f"{name}.hea").write_text(f"{name} 12 100 1000\n" + "".join(lines))
    paths = folder / "ptbxl_database.csv", folder / "scp_statements.csv"

    def table(dice: Dice) -> bytes:
        rows = [list(row) for row in _ROWS]
        for _ in range(1 + dice.randrange(2)):
            row = dice.choice(rows)
            place = dice.randrange(len(row))
            row[place] = dice.text_of([dice.choice(crashers.CELLS) if dice.maybe(0.1) else row[place]])
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\n").writerows(rows)
        return out.getvalue().encode("utf-8", "surrogateescape")

    whole = [_csv_bytes()]

    def case(dice: Dice) -> None:
        database = whole[0] if dice.maybe(0.2) else table(dice) if dice.maybe(0.6) else dice.bytes_of(whole)
        statements = _STATEMENTS.encode() if dice.maybe(0.7) else dice.bytes_of([_STATEMENTS.encode()])
        dice.note(database, statements)
        paths[0].write_bytes(database)
        paths[1].write_bytes(statements)
        if dice.maybe(0.97):
            _read_statements(paths[1], "diagnostic", "diagnostic_class")
            for row in _read_database(paths[0]):
                expect(not np.isinf(row.age), f"age {row.age}")
            return
        dice.size += 2 * signals.nbytes
        cohort = load_ptbxl(folder, dice.choice(("superdiagnostic", "all", "rhythm")))
        expect(cohort.ages is None or not np.isinf(cohort.ages).any(), "an infinite age")
        shutil.rmtree(os.environ["ECGZOO_CACHE"], ignore_errors=True)

    return case


def _csv_bytes() -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(_ROWS)
    return out.getvalue().encode()


def stores(folder: Path) -> Case:
    """info.json, verified.json and arrays of a store: opening gives what was built, or an error."""
    os.environ["ECGZOO_CACHE"] = str(folder)
    values = np.random.default_rng(0).integers(-900, 900, (20, 2, 50), dtype=np.int16)

    def build(unfinished: Path) -> list[str]:
        write_signals(unfinished, iter(values), (20, 2, 50))
        write_table(unfinished, {"record_ids": np.arange(20)})
        return ["a note"]

    open_store("key", build, RECORD)
    contents = {path.name: path.read_bytes() for path in (folder / "key").iterdir()}
    parsed = {name: json.loads(content) for name, content in contents.items() if name.endswith(".json")}

    def case(dice: Dice) -> None:
        os.environ["ECGZOO_CACHE"] = str(folder)
        name = dice.choice(sorted(contents))
        changed = dice.bytes_of([contents[name]])
        if name in parsed and dice.maybe(0.7):
            changed = dice.json_of([parsed[name]]).encode("utf-8", "surrogatepass")
            changed = changed if dice.maybe(0.98) else dice.choice(crashers.JSON)
        dice.note(name, changed)
        (folder / "key" / name).write_bytes(changed)
        try:
            store = open_store("key", build, RECORD)
            expect(np.array_equal(store.signals, values), "signals that differ from the built ones")
            expect(np.array_equal(store.table["record_ids"], np.arange(20)), "ids that differ from the built ones")
        finally:
            (folder / "key" / name).write_bytes(contents[name])

    return case


# ---------------------------------------------------------------------------------------------------------- weights

_METRICS = {
    **{"data": "ptbxl", "folds": [9], "macro_auc": 0.9, "ci": [0.8, 1.0], "records": 3, "fmax": 0.1, "brier": 0.1},
    **{"per_class": {"A": 0.9, "B": None}, "positives": {"A": 1, "B": 0}, "macro_average_precision": 0.5, "ece": 0.1},
    "subgroups": {"women": {"records": 1, "macro_auc": 0.5, "ci": [0, 1]}},
    "at_thresholds": {"A": {name: {"sensitivity": 0.9, "specificity": 0.8} for name in ("f1", "screening")}},
}
_TRAINING = {"data": "ptbxl", "data_license": "CC-BY-4.0", "train_folds": "1-8", "recipe": {"epochs": 3}, "seed": 0}
_INFO = {"A": {"name": "normal", "scp": ["NORM"], "snomed": "164854000"}}


def _full_model() -> Any:
    model = small_model(1)
    model.config = dataclasses.replace(
        model.config,
        metrics=_METRICS,
        training=_TRAINING,
        class_info=_INFO,
        task="superdiagnostic",
        calibrated_on="folds 9",
    )
    return model


def configs(folder: Path) -> Case:
    """config.json, next to valid weights."""
    ecgzoo.save_pretrained(_full_model(), folder)
    seed = json.loads((folder / "config.json").read_text())
    old = {name: value for name, value in seed.items() if name not in ("class_info", "license", "classes")}
    seeds = [seed, {**old, "schema_version": "1.0", "labels": ["A", "B", "C"]}, {**seed, "schema_version": "1.7"}]
    seeds += [{**seed, "architecture": name} for name in ("xresnet1d18", "resnet1d18", "inception1d")]
    crashed = [{**seed, **changes} for changes in crashers.CONFIG_CHANGES]
    signal_mv = torch.from_numpy(np.random.default_rng(0).normal(0, 0.3, (1, 1, 1000)).astype(np.float32))

    def case(dice: Dice) -> None:
        text = dice.json_of(crashed if dice.maybe(0.1) else seeds)
        if dice.maybe(0.01):
            text = dice.choice(crashers.JSON).decode("utf-8", "surrogatepass")
        dice.note(text)
        dice.size += (folder / "model.safetensors").stat().st_size
        (folder / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
        config, *_ = read_config(folder)
        if config.architecture != "faults_net" and dice.maybe(0.95):
            return
        check_model(ecgzoo.load_pretrained(folder), dice, signal_mv)

    return case


def check_model(model: Any, dice: Dice, signal_mv: torch.Tensor) -> None:
    """Check that a loaded model gives finite probabilities."""
    samples = min(200_000, max(1000, model.config.window))
    leads = len(model.config.leads)
    dice.size += 40 * samples * leads
    found = model.score(signal_mv.repeat(1, leads, 1 + samples // 1000))
    expect(bool(found.isfinite().all()), "a probability that is not finite")
    expect(bool(((found >= 0) & (found <= 1 + 1e-6)).all()), "a probability outside 0 to 1")


def safetensors_files(folder: Path) -> Case:
    """model.safetensors with its hash in a valid config; one case in ten has a wrong hash."""
    ecgzoo.save_pretrained(_full_model(), folder)
    values = json.loads((folder / "config.json").read_text())
    good = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", good[:8])
    header, body = json.loads(good[8 : 8 + length]), good[8 + length :]
    signal_mv = torch.from_numpy(np.random.default_rng(0).normal(0, 0.3, (1, 1, 1000)).astype(np.float32))

    def case(dice: Dice) -> None:
        if dice.maybe(0.4):
            seeds = [{**header, "crash": tensor} for tensor in crashers.TENSORS] if dice.maybe(0.1) else [header]
            text = dice.json_of(seeds).encode("utf-8", "surrogatepass")
            content = struct.pack("<Q", len(text)) + text + body
        elif dice.maybe(0.6):  # only numbers are changed
            numbers = np.frombuffer(body, "<f4").copy()
            with np.errstate(all="ignore"):
                numbers[dice.randrange(len(numbers))] = dice.choice((np.nan, np.inf, -1, 1e38, 1e9, 1e-45, -1e9, 1e20))
            content = good[: 8 + length] + numbers.tobytes()
        else:
            content = dice.bytes_of([good])
        dice.note(content)
        (folder / "model.safetensors").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest() if dice.maybe(0.9) else values[SHA256]
        (folder / "config.json").write_text(json.dumps({**values, SHA256: digest}))
        check_model(ecgzoo.load_pretrained(folder), dice, signal_mv)

    return case


def pushed_cards(folder: Path) -> Case:
    """The parts of a card that push reads: its images, and the line that loads the model."""
    ecgzoo.save_pretrained(_full_model(), folder)
    card = (folder / "README.md").read_bytes()
    shown = card + b'\n![a](calibration.png) <img alt="" src="x.png"> ![[[[](../x.png)\n'

    def case(dice: Dice) -> None:
        content = dice.bytes_of([card, shown, shown[-80:], *crashers.CARDS])
        if dice.maybe(0.01):
            content = content[-200:] * 2000
        dice.note(content)
        (folder / "README.md").write_bytes(content)
        addressed(content, "hf-hub:a/b")
        for file in _files_to_push(folder):
            expect(file.parent == folder and file.resolve().parent == folder.resolve(), f"would push {file}")

    return case


def rendered_cards(folder: Path) -> Case:
    """save_pretrained of a model with a changed config: a card without injected lines, or an error."""
    model = _full_model()
    seed = {**model.config.to_dict()}

    def case(dice: Dice) -> None:
        text = dice.json_of([seed])
        dice.note(text)
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not isinstance(values, dict):
            return
        config = ecgzoo.ModelConfig.from_dict(values, "config")
        model.config = dataclasses.replace(config, architecture="faults_net")
        ecgzoo.save_pretrained(model, folder / "saved")
        card = (folder / "saved" / "README.md").read_text(encoding="utf-8")
        expect(all(is_line(line) for line in card.split("\n")), "a card with lines that are not printable")
        expect(card.count("\n---\n") == 1, "a card with a second front matter")
        json.loads((folder / "saved" / "config.json").read_text())

    return case


def calibration_plots(folder: Path) -> Case:
    """save_pretrained with the real calibration plot, which other targets replace by a stub."""
    model = _full_model()
    seed = {**_METRICS, "reliability": [[0.1, 0.2, 3], [0.5, 0.4, 7], [0.9, 0.9, 1]]}
    seeds = [seed, *({**_METRICS, "reliability": [point]} for point in ([0.1, 0.2, 0], [0.1, 0.2, -1], [0.1, 2]))]

    def case(dice: Dice) -> None:
        text = json.dumps(dice.choice(seeds)) if dice.maybe(0.05) else dice.json_of(seeds)
        dice.note(text)
        try:
            metrics = json.loads(text)
        except (ValueError, RecursionError):
            return
        if isinstance(metrics, dict):
            model.config = dataclasses.replace(model.config, metrics=metrics)
            plot, weights_folder.__dict__["plot_calibration"] = weights_folder.__dict__["plot_calibration"], _PLOT
            try:
                ecgzoo.save_pretrained(model, folder / "saved")
            finally:
                weights_folder.__dict__["plot_calibration"] = plot

    return case


# --------------------------------------------------------------------------------------------------- a run's folder


def checkpoints(folder: Path) -> Case:
    """checkpoint.safetensors, loaded into a learner and its optimizer."""
    learner = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(learner.parameters())
    learner(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {"learner": learner.state_dict(), "optimizer": optimizer.state_dict(), "history": [{"epoch": 0}]}
    path = folder / "checkpoint.safetensors"
    save_state(path, {**state, "ema": None})
    good = path.read_bytes()
    (length,) = struct.unpack("<Q", good[:8])
    header, body = json.loads(good[8 : 8 + length]), good[8 + length :]
    ((key, tree),) = header["__metadata__"].items()

    def case(dice: Dice) -> None:
        content = dice.bytes_of([good])
        if dice.maybe(0.7):
            changed = dice.json_of([json.loads(tree)]) if dice.maybe(0.95) else dice.choice(crashers.TREES)
            text = json.dumps({**header, "__metadata__": {key: changed}}).encode("utf-8", "surrogatepass")
            content = struct.pack("<Q", len(text)) + text + body
        dice.note(content)
        path.write_bytes(content)
        found = load_state(path)
        fresh = torch.nn.Linear(3, 2)
        restore(fresh, torch.optim.AdamW(fresh.parameters()), found, path)

    return case


def recipe_files(folder: Path) -> Case:
    """recipe.json of a run to resume, and its log."""
    claim_folder(Recipe(output=folder / "run"), "fingerprint")
    seed = json.loads((folder / "run" / "recipe.json").read_text())
    log = "".join(json.dumps({"epoch": n, "val_macro_auc": 0.5, "bce": 0.1, "seconds": 1.0}) + "\n" for n in range(3))

    def case(dice: Dice) -> None:
        if dice.maybe(0.3):
            content = dice.bytes_of([log.encode()])
            dice.note(content)
            (folder / "log.jsonl").write_bytes(content)
            _read_log(folder / "log.jsonl")
            return
        text = dice.json_of([seed])
        if dice.maybe(0.01):
            text = dice.choice(crashers.JSON).decode("utf-8", "surrogatepass")
        dice.note(text)
        (folder / "run" / "recipe.json").write_bytes(text.encode("utf-8", "surrogatepass"))
        claim_folder(Recipe(output=folder / "run", resume=True), "fingerprint")

    return case


def recipes(folder: Path) -> Case:
    """Losses, transforms and fields of a recipe, as text and as JSON values."""
    terms = [
        "bce=1",
        "clt=0.8,critic=infonce",
        "mkd=1e-3,a=[1,2],b={}",
        "noise=0.05,share=0.5",
        "plugin::loss=2,x=null",
    ]
    values = json.loads(json.dumps(Recipe().to_dict()))

    def case(dice: Dice) -> None:
        if dice.maybe(0.6):
            text = dice.text_of(terms)
            dice.note(text)
            kind: Any = dice.choice((LossTerm, TransformTerm))
            parse_term(kind, text)
            if dice.maybe(0.3):
                parse_arguments([text])
            return
        text = dice.json_of([values])
        dice.note(text)
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            return
        if isinstance(fields, dict):
            known = {name: value for name, value in fields.items() if name in values}
            Recipe(**known).published()

    return case


def folds(folder: Path) -> Case:
    """Folds given as text."""

    def case(dice: Dice) -> None:
        text = dice.text_of(["1-8", "1,2,9-10", "10", "1-32767", *crashers.FOLDS])
        dice.note(text)
        found = parse_folds(text)
        expect(len(found) > 0 and all(0 <= fold < 32768 for fold in found), f"folds {found[:5]}")

    return case


def leads(folder: Path) -> Case:
    """Lead names in texts, lists and recordings."""
    names = ["I,II", "I", "aVR,V1,v6", "MLII", "ECG lead_ii", "12", "MDC_ECG_LEAD_I", *crashers.LEADS]

    def case(dice: Dice) -> None:
        text = dice.text_of(names)
        dice.note(text)
        if dice.maybe(0.5):
            given: Any = text if dice.maybe(0.5) else [text, dice.text_of(names)]
            expect(set(resolve_leads(given)) <= set(LEADS_12), "an unknown lead")
            return
        record = Record(np.zeros((1, 300), np.float32), (text,), 100.0, text)
        if known_lead(text) is None:
            record.select(text)
            raise LostError("selected an unknown lead")

    return case


# ------------------------------------------------------------------------------------------------------- the harness

# number of cases in the full run; the quick run has a hundredth
TARGETS: dict[str, tuple[Callable[[Path], Case], int]] = {
    "folds": (folds, 12_000),
    "lead names": (leads, 12_000),
    "losses, transforms, recipes": (recipes, 16_000),
    "PTB-XL tables": (ptbxl_tables, 16_000),
    "recipe.json, log.jsonl": (recipe_files, 12_000),
    "card that is pushed": (pushed_cards, 10_000),
    "store": (stores, 10_000),
    "checkpoint": (checkpoints, 12_000),
    "config.json": (configs, 12_000),
    "card that is rendered": (rendered_cards, 6_000),
    "calibration plot": (calibration_plots, 500),
    "safetensors": (safetensors_files, 12_000),
    "WFDB": (wfdb_records, 20_000),
    "text, numpy and devices": (strips, 20_000),
    "EDF, BDF": (recorder_files("edf", recorders.edf, partial(recorders.edf, bdf=True)), 4_000),
    "DICOM": (recorder_files("dicom", recorders.dicom), 2_000),
    "SCP-ECG": (recorder_files("scp", recorders.scp, partial(recorders.scp, differences=0, coded=False)), 4_000),
    "HL7 aECG": (recorder_files("aecg", recorders.aecg), 4_000),
    "Philips XML": (recorder_files("philips", recorders.philips, partial(recorders.philips, encoding="utf-8")), 2_000),
    "MUSE XML": (recorder_files("muse", recorders.muse), 4_000),
    "ISHNE": (recorder_files("ishne", recorders.ishne), 4_000),
}


def fuzz(folder: Path, deadline: Deadline, quick: bool) -> Iterator[Tally]:
    """Run all targets one after another, each within its share of the time."""
    harness = Harness(folder)
    for number, (name, (_, cases)) in enumerate(TARGETS.items()):
        share = Deadline(deadline.left / (len(TARGETS) - number) * 1.5)
        yield harness.run(name, range(cases // 100 if quick else cases), share, deadline)


class Harness:
    """Runs cases in `folder` and checks time, memory and the file system.

    Files are not synced, since nothing is killed here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outside: list[str] = []
        setattr(os, "fsync", lambda _: None)  # noqa: B010 # mypy: another signature
        warnings.simplefilter("ignore")
        sys.dont_write_bytecode = True
        setattr(weights_folder, "plot_calibration", lambda _: b"PNG")  # noqa: B010 # it takes a tenth of a second
        with suppress(OSError):
            self._clear = os.open("/proc/self/clear_refs", os.O_WRONLY)
            self._statm = os.open("/proc/self/statm", os.O_RDONLY)
            self._status = os.open("/proc/self/status", os.O_RDONLY)
        self.measures = hasattr(self, "_statm")
        signal.signal(signal.SIGALRM, self._hang)
        sys.addaudithook(self._audit)
        self._watching, self.successes = False, 0

    @staticmethod
    def _hang(*_: object) -> None:
        raise HangError

    def _audit(self, event: str, given: tuple[Any, ...]) -> None:
        """Record the name of everything that is changed outside the folder."""
        if not self._watching or event not in _CHANGES:
            return
        if event == "open" and not (isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            return
        links = event in ("os.link", "os.symlink")  # these create the second path
        for path in given[:2] if event == "os.rename" else given[1:2] if links else given[:1]:
            if isinstance(path, str | bytes | os.PathLike):
                within = [n for n in given[1:] if type(n) is int and n >= 0 and event != "open"]  # a dir_fd, or a mode
                name = os.fsdecode(path)
                if within and not os.path.isabs(name):
                    name = os.path.join(os.readlink(f"/proc/self/fd/{within[-1]}"), name)
                name = os.path.abspath(name)
                if not name.startswith((str(self.folder), "/dev/null")):
                    self.outside.append(f"{event} {name}")

    @contextmanager
    def _watched(self) -> Iterator[None]:
        self._watching = True
        signal.setitimer(signal.ITIMER_REAL, 5 * SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._watching = False

    def prepare(self, name: str) -> Case:
        """Set up a target in its own folder."""
        at = self.folder / name.replace(" ", "-").replace(",", "")
        shutil.rmtree(at, ignore_errors=True)
        at.mkdir()
        os.environ["ECGZOO_CACHE"] = str(at / "cache")
        return TARGETS[name][0](at)

    def run(self, name: str, numbers: range, *deadlines: Deadline) -> Tally:
        """Run the cases `numbers` of a target."""
        tally, case = Tally(f"wrong form: {name}"), self.prepare(name)
        for number in numbers:
            if any(deadline.over for deadline in deadlines):
                break
            dice = Dice(f"{name}:{number}")
            problem, seconds, growth = self._once(case, dice)
            if not problem and seconds > SECONDS:  # another process may have used the core: try again
                problem, seconds, growth = self._once(case, Dice(f"{name}:{number}"))
                problem = problem or (f"{seconds:.1f} s" if seconds > SECONDS else None)
            allowed = SPARE_MB + 2 * dice.size / 2**20
            if not problem and growth > allowed:  # an import or a memory pool may have grown once: try again
                problem, seconds, growth = self._once(case, Dice(f"{name}:{number}"))
                problem = problem or (f"{growth:.0f} MB, {allowed:.0f} allowed" if growth > allowed else None)
            if problem:
                problem = f"{problem}   --case '{name}:{number}'   {dice.said!r:.200}"
            tally.count(problem, seconds, growth)
        return tally

    def _once(self, case: Case, dice: Dice) -> tuple[str | None, float, float]:
        before, start = self._memory(), time.perf_counter()
        problem: str | None = None
        self.outside.clear()
        try:
            with self._watched():
                case(dice)
                self.successes += 1
        except EcgZooError as error:
            said = str(error)
            if not said.strip() or not is_line(said) or len(said) > LONGEST_LINE:
                problem = f"an error that is not one printable line: {said!r:.200}"
        except HangError:
            problem = f"hangs for {5 * SECONDS:g} s"
        except LostError as error:
            problem = str(error)
        except Exception as error:
            problem = f"{type(error).__name__}: {str(error)!r:.200} ({_place(error)})"
        seconds = time.perf_counter() - start
        if self.outside:
            problem = problem or f"changes a file outside its folder: {self.outside[0]}"
        growth = self._peak() - before if self.measures else 0.0
        return problem, seconds, growth

    def _peak(self) -> float:
        """Peak memory in MB since `_memory`; ru_maxrss would include the memory of the parent process."""
        status = os.pread(self._status, 4000, 0)
        return int(status.split(b"VmHWM:")[1].split()[0]) / 1024

    def _memory(self) -> float:
        """Current memory of this process in MB; resets the peak."""
        if not self.measures:
            return 0.0
        os.write(self._clear, b"5")
        pages = int(os.pread(self._statm, 200, 0).split()[1])
        return pages * resource.getpagesize() / 2**20


_CHANGES = {
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.truncate",
    "os.link",
    "os.symlink",
    "os.chmod",
}


def _place(error: BaseException) -> str:
    """The last position inside ecgzoo in the traceback."""
    found, trace = "", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "/ecgzoo/" in name:
            found = f"{Path(name).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
