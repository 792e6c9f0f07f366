"""CPSC 2018, CinC 2021 and LUDB from made-up headers; test_conformance.py reads real ones of the first two."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecgzoo import registry
from ecgzoo.data.cinc2021 import CINC2021, load_cinc2021
from ecgzoo.data.cohort import made_fold
from ecgzoo.data.cpsc2018 import CPSC2018, load_cpsc2018
from ecgzoo.data.ludb import LUDB, load_ludb
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import DataError, EcgZooWarning
from ecgzoo.signal.leads import LEADS_12
from ecgzoo.testing import assert_dataset_conforms

SIGNAL = load_synthetic(num_records=1, rate_hz=500).store[0]  # [12, 5000] at 500 Hz
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a record as the challenges ship it; return their folder."""

    def one(
        name: str, dx: str | None, seconds: float = 10, comments: str = "", leads: tuple[str, ...] = LEADS_12
    ) -> Path:
        samples = np.tile(SIGNAL, 13)[:, : int(seconds * 500)]
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".mat").write_bytes(bytes(24) + samples.T.astype("<i2").tobytes())
        lines = [f"{path.name} 12 500 {samples.shape[1]} 12-Mar-2020 11:00:00"]
        lines += [f"{path.name}.mat 16+24 1000/mV 16 0 0 0 0 {lead}" for lead in leads]
        lines += [comments, *([] if dx is None else [f"#Dx: {dx}"])]
        path.with_suffix(".hea").write_text("\n".join(lines) + "\n")
        return tmp_path / "set"

    return one


def test_lengths_labels_and_what_the_comments_say(write: Write) -> None:
    write("A0002", "STD", 61, "#Age: 74\n#Sex: Male")
    write("g1/A0001", "AF,RBBB", 6, "# Age: NaN\n# Sex: Female")
    root = write("A0003", "164884008", 15)
    cohort = load_cpsc2018(root)
    assert cohort.rate_hz == 100
    assert cohort.store.shape == (3, 12, 6000)
    assert cohort.lengths is not None
    assert cohort.lengths.tolist() == [600, 6000, 1500]
    found = [{name for name, one in zip(cohort.classes, row, strict=True) if one} for row in cohort.labels]
    assert found == [{"AFIB", "CRBBB"}, {"STD_"}, {"VPC"}]
    assert [np.base_repr(number, 36) for number in cohort.record_ids] == ["A0001", "A0002", "A0003"]
    assert cohort.folds.tolist() == [made_fold(name) for name in ("A0001", "A0002", "A0003")]
    assert cohort.sexes is not None
    assert cohort.ages is not None
    assert cohort.sexes.tolist() == [1, 0, -1]
    assert np.array_equal(cohort.ages, [np.nan, 74, np.nan], equal_nan=True)
    assert any(
        "longer than the cohort's, of which the beginning is kept: 1, namely A0002" in note for note in cohort.notes
    )
    # what is at 100 Hz was simulated at 500 Hz, and nothing follows the end of the shortest
    at_100 = load_synthetic(num_records=1, rate_hz=500).store[0][:, 500:2500:5]
    assert np.abs(cohort.store[0][:, 100:500].astype(int) - at_100).max() < 100
    assert not cohort.store[0][:, 600:].any()


def test_equivalent_codes_are_one_class_and_unscored_ones_none(write: Write) -> None:
    for number, code in enumerate(("713427006", "59118001", "284470004,63593006", "67741000119109", "17338001,1")):
        root = write(f"E{number}", code)
    cohort = load_cinc2021(root)
    found = [[name for name, one in zip(cohort.classes, row, strict=True) if one] for row in cohort.labels]
    assert found == [["RBBB"], ["RBBB"], ["PAC"], ["PVC"]]
    assert cohort.record_ids.tolist() == [int(name, 36) for name in ("E0", "E1", "E2", "E4")]
    assert any("no label of task scored: 1." in note for note in cohort.notes)


def test_recordings_of_one_patient_under_several_names_are_warned_of(write: Write) -> None:
    for name in ("E07500", "JS20000", "Q0001", "A0002"):
        root = write(name, "59118001")
    with warnings.catch_warnings():
        warnings.simplefilter("error", EcgZooWarning)
        load_cinc2021(root)
    for name in ("HR00001", "HR00002", "S0001", "I0001"):
        write(name, "59118001")
    with pytest.warns(EcgZooWarning, match=r"two folds") as said:
        cohort = load_cinc2021(root)
    assert "(1 of INCART, 1 of PTB, 2 of PTB-XL)" in str(said[0].message)
    assert cohort.notes[-1] == str(said[0].message)


def test_the_statements_of_ludb(write: Write) -> None:
    leads = tuple(name.lower() for name in LEADS_12)
    said = {
        "1": ["Rhythm: Sinus bradycardia", "Electric axis of the heart: left axis deviation", "Ischemia: apical"],
        "10": ["Rhythm: Atrial flutter, typical", "Atrial extrasystole, type: bigemini", "Left atrial overload"],
        "9": ["Ventricular extrasystole, morphology: polymorphic", "Atrial extrasystole: undefined"],
        "200": [],
    }
    for name, statements in said.items():
        person = "#<age>: >89\n#<sex>: M" if name == "1" else "#<age>: 51\n#<sex>: F"
        below = "".join(f"\n#{one}." for one in statements)
        root = write(f"data/{name}", None, comments=f"{person}\n#<diagnoses>:{below}", leads=leads)
    cohort = load_ludb(root)
    found = [{name for name, one in zip(cohort.classes, row, strict=True) if one} for row in cohort.labels]
    assert found == [{"SBRAD", "LAD", "ISC"}, {"PVC", "PAC"}, {"AFLT", "PAC", "LAO/LAE"}]
    assert cohort.record_ids.tolist() == [1, 9, 10]
    assert cohort.folds.tolist() == [made_fold(name) for name in ("1", "9", "10")]
    assert cohort.sexes is not None
    assert cohort.ages is not None
    assert cohort.sexes.tolist() == [0, 1, 1]
    assert np.array_equal(cohort.ages, [np.nan, 51, 51], equal_nan=True)
    assert cohort.license == "ODC-By-1.0"
    assert cohort.class_info["LAD"] == {"name": "left axis deviation"}
    assert_dataset_conforms("ludb", root)


@pytest.mark.parametrize(
    ("name", "statement", "said"),
    [
        ("1", "Rhythm: Sinus rythm", "ludb has no diagnosis 'Rhythm: Sinus rythm'"),
        ("01", "Rhythm: Sinus rhythm", "expected a name of digits, such as 17"),
    ],
)
def test_what_ludb_does_not_have(write: Write, name: str, statement: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_ludb(write(name, None, comments=f"#<diagnoses>:\n#{statement}."))


def test_the_organisers_score_30_codes_as_26_classes() -> None:
    assert len(CINC2021.classes) == 26
    assert len(CINC2021.codes) == 30
    assert len(CPSC2018.classes) == 9


def test_ludb_has_82_statements_and_one_more_wall() -> None:
    assert len(LUDB.codes) == 83
    assert len(LUDB.codes) == sum(len(statements) for _, statements in LUDB.diagnoses.values())
    assert len(LUDB.classes) == 35


def test_folds_are_made_from_the_patient_alone() -> None:
    made = [made_fold(str(number)) for number in range(2000)]
    assert made[:5] == [1, 4, 7, 4, 5]  # of sha256: the same in every version
    assert set(made) == set(range(1, 11))
    assert np.bincount(made)[1:].min() > 150


def test_a_record_that_cannot_be_used_is_left_out_and_counted(write: Write) -> None:
    write("A0001", "AF")
    write("A0002", "AF", 2)
    write("A0003", "AF", leads=("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "X"))
    root = write("A0004", "AF")
    (root / "A0004.mat").write_bytes(bytes(100))
    cohort = load_cpsc2018(root)
    assert cohort.record_ids.tolist() == [int("A0001", 36)]
    note = next(note for note in cohort.notes if "cannot be used" in note)
    assert "3, namely A0002, A0003, A0004" in note
    assert "2 s (200 samples at 100 Hz) is shorter than 2.5 s" in note


@pytest.mark.parametrize(
    ("dx", "load", "said"),
    [
        ("426177001", load_cpsc2018, "cpsc2018 has no diagnosis '426177001'.*cinc2021"),
        ("AF", load_cinc2021, "cinc2021 has no diagnosis 'AF'.*use cpsc2018"),
        ("426177002", load_cinc2021, "none of 1 records has a label of task scored"),
    ],
)
def test_other_codes(write: Write, dx: str, load: Callable[[Path], object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        load(write("A0001", dx))


def test_other_folders(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load_cpsc2018(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no WFDB headers"):
        load_cinc2021(tmp_path)
    write("g1/A0001", "AF")
    with pytest.raises(DataError, match="has the same name. Keep one of them"):
        load_cpsc2018(write("g2/A0001", "AF"))
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "link").symlink_to(tmp_path / "set" / "g1")
    assert len(load_cpsc2018(tmp_path / "more")) == 1
    write("g3/a-b", "AF")
    with pytest.raises(DataError, match="expected a name of letters and digits"):
        load_cpsc2018(tmp_path / "set" / "g3")


@pytest.mark.parametrize("name", ["cpsc2018", "cinc2021", "ludb"])
def test_it_is_registered_with_its_task(name: str) -> None:
    challenge = {"cpsc2018": CPSC2018, "cinc2021": CINC2021, "ludb": LUDB}[name]
    assert registry.lookup("dataset", name).spec.tasks == (challenge.task,)
    with pytest.raises(DataError, match="has no task 'form'"):
        registry.factory(registry.lookup("dataset", name))(Path(), "form")
