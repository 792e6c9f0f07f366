"""PhysioNet/CinC Challenge 2021: 88,253 recordings of 12 leads in eight folders, 26 scored classes.

Reyna et al., "Will two do? Varying dimensions in electrocardiography", Computing in Cardiology 2021,
doi:10.23919/CinC53138.2021.9662687; files: https://physionet.org/content/challenge-2021/1.0.3/. The organisers score 30
SNOMED CT codes as 26 classes: complete and unspecified left bundle branch block count as the same, and so do complete
and unspecified right bundle branch block, premature atrial contractions and supraventricular premature beats, and the
two codes of premature ventricular contractions.
"""

import re
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgzoo.data._challenge import Challenge, load
from ecgzoo.data.cohort import Cohort
from ecgzoo.data.prepare import Layout
from ecgzoo.errors import EcgZooWarning

_DIAGNOSES = {  # class: plain name, SNOMED CT codes that count as it; the first is written into cards
    "AF": ("atrial fibrillation", ("164889003",)),
    "AFL": ("atrial flutter", ("164890007",)),
    "BBB": ("bundle branch block", ("6374002",)),
    "Brady": ("bradycardia", ("426627000",)),
    "IAVB": ("first-degree atrioventricular block", ("270492004",)),
    "IRBBB": ("incomplete right bundle branch block", ("713426002",)),
    "LAD": ("left axis deviation", ("39732003",)),
    "LAnFB": ("left anterior fascicular block", ("445118002",)),
    "LBBB": ("left bundle branch block", ("164909002", "733534002")),
    "LPR": ("prolonged PR interval", ("164947007",)),
    "LQRSV": ("low QRS voltages", ("251146004",)),
    "LQT": ("prolonged QT interval", ("111975006",)),
    "NSIVCB": ("nonspecific intraventricular conduction disorder", ("698252002",)),
    "NSR": ("sinus rhythm", ("426783006",)),
    "PAC": ("premature atrial contraction", ("284470004", "63593006")),
    "PR": ("pacing rhythm", ("10370003",)),
    "PRWP": ("poor R wave progression", ("365413008",)),
    "PVC": ("premature ventricular contraction", ("427172004", "17338001")),
    "QAb": ("abnormal Q wave", ("164917005",)),
    "RAD": ("right axis deviation", ("47665007",)),
    "RBBB": ("right bundle branch block", ("59118001", "713427006")),
    "SA": ("sinus arrhythmia", ("427393009",)),
    "SB": ("sinus bradycardia", ("426177001",)),
    "STach": ("sinus tachycardia", ("427084000",)),
    "TAb": ("abnormal T wave", ("164934002",)),
    "TInv": ("T wave inversion", ("59931005",)),
}

# by the letters of the names: PTB-XL has 21,837 recordings of 18,885 patients, PTB 549 of 290, INCART 75 of 32
_REPEATED = {"HR": "PTB-XL", "S": "PTB", "I": "INCART"}

CINC2021 = Challenge(
    name="cinc2021",
    task="scored",
    layout=Layout(),
    diagnoses=_DIAGNOSES,
    strict=False,
    where="Its folders, such as georgia or chapman_shaoxing, are at "
    "https://physionet.org/content/challenge-2021/1.0.3/; for the text codes of 2020 use cpsc2018.",
)


def load_cinc2021(root: Path | None, task: str = "scored") -> Cohort:
    """Recordings of the Challenge 2021 at 100 Hz: the first 10 s of each, with its own length if it is shorter.

    Codes that the organisers do not score are no labels, and a recording with no other code is left out. The data set
    has no folds and names no patients: folds are made from the names of the recordings, each of which counts as a
    patient. Several recordings of ptb-xl, ptb and st_petersburg_incart are of the same patient, who may then be in two
    folds: there is an `EcgZooWarning` and a note. Use the data set ``ptbxl``, which knows the patients.

    Args:
        root: the whole data set or any folder of it; everything below it is read.
        task: ``"scored"``, the only one.

    Raises:
        DataError: the folder is not there, holds no records, two have the same name, or a header has text codes.
    """
    cohort = load(CINC2021, root, task)
    letters = (re.match("[A-Z]+", np.base_repr(number, CINC2021.base)) for number in cohort.record_ids.tolist())
    counts = Counter(_REPEATED[found[0]] for found in letters if found and found[0] in _REPEATED)
    if not counts:
        return cohort
    of_sets = ", ".join(f"{count} of {name}" for name, count in counts.items())
    note = (
        f"{cohort.title}: several recordings may be of one patient, whom the files do not name ({of_sets}). A patient "
        "in two folds makes figures too high: leave these recordings out, and read PTB-XL as the data set ptbxl."
    )
    warnings.warn(note, EcgZooWarning, stacklevel=2)
    return replace(cohort, notes=(*cohort.notes, note))
