import csv
import os
import shutil

import numpy as np
import pytest
import wfdb

from ecgzoo.data.ptbxl import TASKS, load_ptbxl
from ecgzoo.errors import DataError
from ecgzoo.signal import LEADS_12

CLASS_COUNTS = {"all": 71, "diagnostic": 44, "subdiagnostic": 23, "superdiagnostic": 5, "form": 19, "rhythm": 12}
HEADER_LEADS = [name.upper() for name in LEADS_12]

# code, diagnostic, form, rhythm, class, subclass
STATEMENTS = [
    ("NORM", "1.0", "", "", "NORM", "NORM"),
    ("IMI", "1.0", "", "", "MI", "IMI"),
    ("AMI", "1.0", "", "", "MI", "AMI"),
    ("NDT", "1.0", "1.0", "", "STTC", "STTC"),  # diagnostic and form
    ("LVOLT", "", "1.0", "", "", ""),
    ("SR", "", "", "1.0", "", ""),
    ("AFIB", "", "", "1.0", "", ""),
]
RECORDS = [
    # ecg_id, patient, fold, codes
    (7, 30, 2, {"NDT": 100.0, "AFIB": 0.0}),
    (1, 10, 1, {"NORM": 100.0, "SR": 0.0}),
    (2, 10, 1, {"IMI": 0.0, "AMI": 15.0, "SR": 0.0}),
    (4, 20, 9, {"LVOLT": 0.0}),
    (5, 40, 2, {}),
]


def limb_consistent(seed, samples=1000):
    """Random int16 microvolts [12, samples] that obey Einthoven's law exactly."""
    rng = np.random.default_rng(seed)
    i, ii = 2 * rng.integers(-500, 500, (2, samples))
    chest = rng.integers(-1000, 1000, (6, samples))
    return np.concatenate([[i, ii, ii - i, -(i + ii) // 2, i - ii // 2, ii - i // 2], chest])


def write_record(root, name, signal, leads=HEADER_LEADS, fs=100, units="mV", gain=1000.0):
    folder = (root / name).parent
    folder.mkdir(parents=True, exist_ok=True)
    count = len(leads)
    wfdb.wrsamp(
        (root / name).name,
        fs=fs,
        d_signal=signal.T,
        fmt=["16"] * count,
        adc_gain=[gain] * count,
        baseline=[0] * count,
        units=[units] * count,
        sig_name=leads,
        write_dir=str(folder),
    )


def write_statements(root, rows=STATEMENTS):
    with open(root / "scp_statements.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [
                ("", "description", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass"),
                *((code, f"what {code} means", *rest) for code, *rest in rows),
            ]
        )


def write_database(root, records=RECORDS):
    with open(root / "ptbxl_database.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", "filename_lr"])
        for ecg_id, patient, fold, codes in records:
            age, sex = ("300.0", "1") if ecg_id == 1 else ("", "")
            writer.writerow([ecg_id, f"{patient}.0", age, sex, codes, fold, f"records100/00000/{ecg_id:05d}_lr"])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("ECGZOO_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    write_statements(folder)
    write_database(folder)
    for ecg_id, *_ in RECORDS:
        write_record(folder, f"records100/00000/{ecg_id:05d}_lr", limb_consistent(ecg_id))
    return folder


@pytest.fixture
def root(written, tmp_path, cache):
    return shutil.copytree(written, tmp_path / "ptbxl")


@pytest.mark.parametrize(
    ("task", "classes", "labels"),
    [
        ("superdiagnostic", ("MI", "NORM", "STTC"), {1: "010", 2: "100", 7: "001"}),
        ("subdiagnostic", ("AMI", "IMI", "NORM", "STTC"), {1: "0010", 2: "1100", 7: "0001"}),
        ("diagnostic", ("AMI", "IMI", "NDT", "NORM"), {1: "0001", 2: "1100", 7: "0010"}),
        ("form", ("LVOLT", "NDT"), {4: "10", 7: "01"}),
        ("rhythm", ("AFIB", "SR"), {1: "01", 2: "01", 7: "10"}),
        (
            "all",
            ("AFIB", "AMI", "IMI", "LVOLT", "NDT", "NORM", "SR"),
            {1: "0000011", 2: "0110001", 4: "0001000", 7: "1000100"},
        ),
    ],
)
def test_labels_by_hand(root, task, classes, labels):
    cohort = load_ptbxl(root, task)
    assert cohort.classes == classes
    assert cohort.record_ids.tolist() == sorted(labels)
    assert ["".join(map(str, row)) for row in cohort.labels] == [labels[k] for k in sorted(labels)]
    assert cohort.labels.dtype == np.uint8
    assert any("left out" in note and f"{5 - len(labels)} of 5" in note for note in cohort.notes)


def test_cohort_of_a_small_copy(root):
    cohort = load_ptbxl(root)
    assert (cohort.name, cohort.task, cohort.rate_hz, cohort.leads) == ("ptbxl", "superdiagnostic", 100, LEADS_12)
    assert not cohort.simulated
    assert cohort.folds.tolist() == [1, 1, 2]
    assert cohort.patients.tolist() == [10, 10, 30]
    assert (cohort.folds.dtype, cohort.patients.dtype, cohort.record_ids.dtype) == (np.int16, np.int64, np.int64)
    assert isinstance(cohort.store, np.memmap)
    np.testing.assert_array_equal(cohort.signals(), [limb_consistent(k) for k in (1, 2, 7)])
    assert cohort.sexes.tolist() == [1, -1, -1]
    np.testing.assert_array_equal(cohort.ages, [90, np.nan, np.nan])  # 300 years is PTB-XL's "older than 89"
    assert cohort.class_info["MI"] == {"name": "myocardial infarction", "scp": ["IMI", "AMI"], "snomed": "164865005"}


def test_leads_are_matched_by_name(root):
    order = np.random.default_rng(1).permutation(12)
    names = [HEADER_LEADS[k] for k in order]
    write_record(root, "records100/00000/00001_lr", limb_consistent(1)[order], leads=names)
    np.testing.assert_array_equal(load_ptbxl(root).signals()[0], limb_consistent(1))


def test_second_load_reads_no_record(root):
    first = load_ptbxl(root)
    for path in (root / "records100").rglob("*.dat"):
        status = path.stat()
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    second = load_ptbxl(root)
    assert second.fingerprint == first.fingerprint
    assert second.notes == first.notes
    np.testing.assert_array_equal(second.signals(), first.signals())


def test_all_tasks_share_one_store(root, cache):
    prints = {load_ptbxl(root, task).fingerprint for task in TASKS}
    assert len(prints) == 6
    assert len(list(cache.iterdir())) == 1


def test_fingerprint_follows_the_files(root):
    prints = [load_ptbxl(root).fingerprint]
    write_database(root, RECORDS[:-1])
    prints.append(load_ptbxl(root).fingerprint)
    write_statements(root, [*STATEMENTS, ("STACH", "", "", "1.0", "", "")])
    prints.append(load_ptbxl(root).fingerprint)
    write_record(root, "records100/00000/00001_lr", limb_consistent(99))
    cohort = load_ptbxl(root)
    prints.append(cohort.fingerprint)
    assert len(set(prints)) == 4
    np.testing.assert_array_equal(cohort.signals()[0], limb_consistent(99))


def test_a_store_with_rolled_folds_is_refused(root, cache):
    load_ptbxl(root)
    (store,) = cache.iterdir()
    np.save(store / "folds.npy", np.roll(np.load(store / "folds.npy"), 1))
    with pytest.raises(DataError, match=r"this store is damaged \(folds\.npy is not what was built\)"):
        load_ptbxl(root)


def test_oddities_are_reported(root):
    flat, breach, rounding, invalid = (limb_consistent(k) for k in (1, 2, 4, 7))
    flat[10] = -3
    breach[2, 500] += 4
    rounding[2, 500] += 3
    invalid[7, 100] = -(2**15)
    for ecg_id, signal in ((1, flat), (2, breach), (4, rounding), (7, invalid)):
        write_record(root, f"records100/00000/{ecg_id:05d}_lr", signal)
    cohort = load_ptbxl(root, "all")
    assert cohort.notes == (
        "Records with interpolated samples: 1, namely 7.",
        "Records with a flat lead, kept as it is: 1, namely 1 (V5).",
        "Records that break Einthoven's law by more than 3 µV, kept as they are: 1, namely 2.",
        "Records left out because they have no label of task all: 1 of 5.",
    )
    np.testing.assert_array_equal(cohort.signals()[:3], [flat, breach, rounding])
    expected = (invalid[7, 99] + invalid[7, 101]) / 2
    assert abs(cohort.signals()[3, 7, 100] - expected) <= 0.5


def test_notes_list_ten_records_at_most(root):
    records = [(k, k, 1, {"NORM": 0.0}) for k in range(1, 13)]
    write_database(root, records)
    for ecg_id, *_ in records:
        signal = limb_consistent(ecg_id)
        signal[6] = 0
        write_record(root, f"records100/00000/{ecg_id:05d}_lr", signal)
    (note,) = load_ptbxl(root).notes
    assert ": 12, namely 1 (V1), 2 (V1), " in note
    assert note.endswith("10 (V1), ….")


def damage_length(root):
    header = root / "records100/00000/00001_lr.hea"
    header.write_text(header.read_text().replace("12 100 1000", "12 100 990"))


def truncate(root):
    os.truncate(root / "records100/00000/00001_lr.dat", 5000)


def rename_column(root):
    path = root / "ptbxl_database.csv"
    path.write_text(path.read_text().replace("strat_fold", "fold"))


def cut_statements(root):
    path = root / "scp_statements.csv"
    path.write_text(path.read_text().rstrip()[:-4])


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "ptbxl_database.csv").unlink(), r"ptbxl_database\.csv: not found.*records100"),
        (lambda root: (root / "scp_statements.csv").unlink(), r"scp_statements\.csv: not found"),
        (lambda root: (root / "records100").rename(root / "records"), "records100: not found"),
        (rename_column, r"ptbxl_database\.csv: no column 'strat_fold'"),
        (lambda root: (root / "ptbxl_database.csv").write_bytes(b"\xff\xfe\x00"), "cannot be read"),
        (lambda root: (root / "records100/00000/00002_lr.dat").unlink(), r"record 2 .*00002_lr\.dat: cannot be read"),
        (lambda root: (root / "records100/00000/00002_lr.hea").unlink(), r"record 2 .*00002_lr\.hea: cannot be read"),
        (truncate, r"record 1 .*00001_lr\.dat: expected 24000 bytes.*found 5000"),
        (damage_length, r"record 1 .*00001_lr\.dat: expected 23760 bytes.*found 24000"),
        (
            lambda root: write_record(root, "records100/00000/00001_lr", limb_consistent(1), fs=500),
            "record 1 .*expected 10 s .1000 samples at 100 Hz., got 2 s .1000 samples at 500 Hz",
        ),
        (
            lambda root: write_record(root, "records100/00000/00001_lr", limb_consistent(1, 900)),
            "record 1 .*got 9 s .900 samples at 100 Hz.",
        ),
        (
            lambda root: write_record(root, "records100/00000/00001_lr", limb_consistent(1), units="mmHg"),
            "record 1 .*'mmHg' is not a voltage",
        ),
        (
            lambda root: write_record(root, "records100/00000/00001_lr", limb_consistent(1), gain=1.0),
            r"record 1 .*32\.767 mV",
        ),
        (
            lambda root: write_record(root, "records100/00000/00001_lr", limb_consistent(1)[:11], HEADER_LEADS[:11]),
            "record 1 .*no lead V6",
        ),
        (lambda root: write_database(root, [(1, 10, 1, {"XYZ": 0.0})]), r"XYZ are not in scp_statements\.csv"),
        (lambda root: write_database(root, [(1, 10, 1, "not a dict")]), "row of ecg_id '1' cannot be read"),
        (lambda root: write_database(root, [(1, "x", 1, {"SR": 0.0})]), "row of ecg_id '1' cannot be read"),
        (lambda root: write_database(root, [(1, 10, 1, "[" * 10_000)]), "row of ecg_id '1' cannot be read"),
        (lambda root: write_database(root, [(1, 10, 99_999, {"SR": 0.0})]), "row of ecg_id '1' cannot be read.*fold"),
        (lambda root: write_database(root, [(1, 10**19, 1, {"SR": 0.0})]), "row of ecg_id '1' .*too large"),
        (cut_statements, r"scp_statements\.csv: line 8 does not have 7 fields"),
        (lambda root: write_database(root, [RECORDS[1], RECORDS[1]]), "ecg_id 1 occurs twice"),
        (
            lambda root: write_database(root, [(1, 10, 1, {"NORM": 0.0}), (2, 10, 3, {"NORM": 0.0})]),
            "patient 10 is in folds 1 and 3",
        ),
        (lambda root: write_database(root, []), "no records"),
        (lambda root: write_statements(root, [("NORM", "1.0", "", "", "", "")]), "NORM is diagnostic but has no"),
    ],
)
def test_damage_is_named(root, cache, break_it, message):
    break_it(root)
    with pytest.raises(DataError, match=message):
        load_ptbxl(root)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_no_record_with_a_label(root):
    write_database(root, [RECORDS[4]])
    with pytest.raises(DataError, match="none of 1 records has a superdiagnostic label"):
        load_ptbxl(root)


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="give its folder"):
        load_ptbxl(None)
    with pytest.raises(DataError, match="not found"):
        load_ptbxl(tmp_path / "nowhere")


def test_unknown_task(root):
    with pytest.raises(DataError, match=r"no task 'super'.*superdiagnostic"):
        load_ptbxl(root, "super")


@pytest.mark.parametrize("task", TASKS)
def test_real_class_counts(test_data, task):
    cohort = load_ptbxl(test_data / "ptbxl-small", task)
    assert len(cohort.classes) == CLASS_COUNTS[task]
    assert list(cohort.classes) == sorted(cohort.classes)
    assert cohort.labels.shape == (len(cohort), CLASS_COUNTS[task])
    assert cohort.labels.any(axis=1).all()
    assert len(cohort) == {"all": 954, "form": 325, "rhythm": 895}.get(task, 944)
    assert (np.diff(cohort.record_ids) > 0).all()
    assert set(cohort.folds) == set(range(1, 10))


def test_real_records_bit_for_bit(test_data):
    root = test_data / "ptbxl-small"
    cohort = load_ptbxl(root, "all")
    assert cohort.signals().shape == (954, 12, 1000)
    for row in range(0, 954, 97):
        name = f"records100/{cohort.record_ids[row] // 1000:02d}000/{cohort.record_ids[row]:05d}_lr"
        digital = wfdb.rdrecord(str(root / name), physical=False).d_signal
        np.testing.assert_array_equal(cohort.signals()[row], digital.T)


def test_real_labels_against_the_csv(test_data):
    root = test_data / "ptbxl-small"
    cohort = load_ptbxl(root, "superdiagnostic")
    with open(root / "scp_statements.csv", newline="") as file:
        superclass = {row[""]: row["diagnostic_class"] for row in csv.DictReader(file) if row["diagnostic"] == "1.0"}
    with open(root / "ptbxl_database.csv", newline="") as file:
        for row in csv.DictReader(file):
            expected = {superclass[code] for code in superclass if f"'{code}'" in row["scp_codes"]}
            found = cohort.labels[cohort.record_ids == int(row["ecg_id"])]
            assert len(found) == bool(expected)
            if expected:
                assert {cohort.classes[k] for k in np.flatnonzero(found[0])} == expected
                assert cohort.folds[cohort.record_ids == int(row["ecg_id"])] == int(row["strat_fold"])
