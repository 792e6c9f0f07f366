"""LUDB, the Lobachevsky University database: 200 recordings of 12 leads, 10 s at 500 Hz, and what cardiologists saw.

Kalyakulina et al., "LUDB: a new open-access validation tool for electrocardiogram delineation algorithms", IEEE Access
8:186181 (2020), doi:10.1109/access.2020.3029211; files: doi:10.13026/eegm-h675. The 82 statements of its page are 35
classes, because 200 recordings are too few to tell walls of the heart or kinds of extrasystoles apart. A class that
PTB-XL or the Challenge 2021 has too has the same name. The delineation of the waves is not read.
"""

from collections.abc import Sequence
from pathlib import Path

from ecgzoo.data._challenge import Challenge, load
from ecgzoo.data.cohort import Cohort
from ecgzoo.data.prepare import Layout


def _walls(finding: str) -> tuple[str, ...]:
    walls = ("anterior wall", "apical", "inferior wall", "lateral wall", "posterior wall", "septal")
    return tuple(f"{finding}: {wall}" for wall in walls)


_PAC = (
    *("type: allorhythmic pattern", "type: bigemini", "type: quadrigemini", "type: single PAC"),
    *("SA-nodal extrasystole", "left atrial", "low atrial", "undefined"),
)
_PVC = (
    *("localisation: IVS, middle part", "localisation: LV, undefined", "localisation: LVOT, LVS"),
    *("localisation: RVOT, anterior wall", "localisation: RVOT, antero-septal part", "morphology: polymorphic"),
    *("type: couplet", "type: intercalary PVC", "type: single PVC"),
)
_DIAGNOSES = {  # class: plain name, the statements that count as it
    "1AVB": ("first-degree atrioventricular block", ("I degree AV block",)),
    "3AVB": ("third-degree atrioventricular block", ("III degree AV-block",)),
    "ABERR": ("aberrant conduction", ("Aberrant conduction",)),
    "AFIB": ("atrial fibrillation", ("Rhythm: Atrial fibrillation",)),
    "AFLT": ("atrial flutter", ("Rhythm: Atrial flutter, typical",)),
    "AXIS_H": ("horizontal electric axis", ("Electric axis of the heart: horizontal",)),
    "AXIS_N": ("normal electric axis", ("Electric axis of the heart: normal",)),
    "AXIS_V": ("vertical electric axis", ("Electric axis of the heart: vertical",)),
    "CLBBB": ("complete left bundle branch block", ("Complete left bundle branch block",)),
    "CRBBB": ("complete right bundle branch block", ("Complete right bundle branch block",)),
    "ERS": ("early repolarization", ("Early repolarization syndrome",)),
    "ILBBB": ("incomplete left bundle branch block", ("Incomplete left bundle branch block",)),
    "IRBBB": ("incomplete right bundle branch block", ("Incomplete right bundle branch block",)),
    "ISC": ("ischemia", _walls("Ischemia")),
    "ISC_OR_MI": ("ischemia, scar or NSTEMI, undecided", _walls("Undefined ischemia/scar/supp.NSTEMI")),
    "IVCD": ("nonspecific intraventricular conduction delay", ("Non-specific intravintricular conduction delay",)),
    "LAD": ("left axis deviation", ("Electric axis of the heart: left axis deviation",)),
    "LAFB": ("left anterior fascicular block", ("Left anterior hemiblock",)),
    "LAO/LAE": ("left atrial overload or enlargement", ("Left atrial hypertrophy", "Left atrial overload")),
    "LVH": ("left ventricular hypertrophy", ("Left ventricular hypertrophy", "Left ventricular overload")),
    "PAC": (
        "premature atrial contraction",
        tuple(f"Atrial extrasystole{', ' if kind.startswith('type') else ': '}{kind}" for kind in _PAC),
    ),
    "PACE": (
        "pacing rhythm",
        (
            *("UNIpolar atrial pacing", "UNIpolar ventricular pacing", "BIpolar ventricular pacing"),
            *("Biventricular pacing", "P-synchrony"),
        ),
    ),
    "PVC": ("premature ventricular contraction", tuple(f"Ventricular extrasystole, {kind}" for kind in _PVC)),
    "RAD": ("right axis deviation", ("Electric axis of the heart: right axis deviation",)),
    "RAO/RAE": ("right atrial overload or enlargement", ("Right atrial hypertrophy", "Right atrial overload")),
    "REPOL": ("nonspecific repolarization abnormality", _walls("Non-specific repolarization abnormalities")),
    "RVH": ("right ventricular hypertrophy", ("Right ventricular hypertrophy",)),
    "SABLOCK": ("sinoatrial block", ("Sinoatrial blockade, undefined",)),
    "SARRH": ("sinus arrhythmia", ("Rhythm: Sinus arrhythmia", "Rhythm: Irregular sinus rhythm")),
    "SBRAD": ("sinus bradycardia", ("Rhythm: Sinus bradycardia",)),
    "SCAR": ("scar of an infarction", _walls("Scar formation")),
    "SR": ("sinus rhythm", ("Rhythm: Sinus rhythm",)),
    "STACH": ("sinus tachycardia", ("Rhythm: Sinus tachycardia",)),
    "STEMI": ("ST-elevation infarction", _walls("STEMI")),
    "WAP": ("wandering atrial pacemaker", ("Wandering atrial pacemaker",)),
}


def _statements(comments: Sequence[str]) -> tuple[str, ...]:
    """What follows the comment ``<diagnoses>:``, a statement a line."""
    names = [line.partition(":")[0].strip() for line in comments]
    below = comments[names.index("<diagnoses>") + 1 :] if "<diagnoses>" in names else ()
    return tuple(line.rstrip(". ") for line in below if line.strip())


LUDB = Challenge(
    name="ludb",
    task="statements",
    layout=Layout(),
    diagnoses=_DIAGNOSES,
    strict=True,
    where="Its folder data is at https://physionet.org/content/ludb/1.0.1/.",
    license="ODC-By-1.0",
    codes_of=_statements,
    base=10,
)


def load_ludb(root: Path | None, task: str = "statements") -> Cohort:
    """LUDB at 100 Hz.

    The data set has no folds and names no patients: folds are made from the names of the recordings, each of which
    counts as a patient.

    Args:
        root: the folder with the recordings, or one above it.
        task: ``"statements"``, the only one.

    Raises:
        DataError: the folder is not there, holds no records, or a header has a statement that is not known.
    """
    return load(LUDB, root, task)
