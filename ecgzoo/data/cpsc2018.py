"""CPSC 2018 (also called ICBEB 2018): 6,877 recordings of 12 leads, 6 to 144 s at 500 Hz, nine classes.

Liu et al., "An open access database for evaluating the algorithms of electrocardiogram rhythm and morphology
abnormality detection", J. Med. Imaging Health Inform. 8:1368 (2018), doi:10.1166/jmihi.2018.2442; the files are those
of the PhysioNet/CinC Challenges of 2020 (text codes or SNOMED CT) and 2021 (SNOMED CT). The classes have the names of
the benchmark of Strodthoff et al. 2021 (doi:10.1109/jbhi.2020.3022989).
"""

from pathlib import Path

from ecgzoo.data._challenge import Challenge, load
from ecgzoo.data.cohort import Cohort
from ecgzoo.data.prepare import Layout

_DIAGNOSES = {  # class: plain name, codes in ``Dx``; the first SNOMED CT concept is written into cards
    "1AVB": ("first-degree atrioventricular block", ("270492004", "I-AVB")),
    "AFIB": ("atrial fibrillation", ("164889003", "AF")),
    "CLBBB": ("left bundle branch block", ("164909002", "733534002", "LBBB")),
    "CRBBB": ("right bundle branch block", ("59118001", "713427006", "RBBB")),
    "NORM": ("normal sinus rhythm", ("426783006", "Normal")),
    "PAC": ("premature atrial contraction", ("284470004", "63593006", "PAC")),
    "STD_": ("ST depression", ("429622005", "STD")),
    "STE_": ("ST elevation", ("164931005", "STE")),
    "VPC": ("premature ventricular contraction", ("164884008", "427172004", "17338001", "PVC")),
}

CPSC2018 = Challenge(
    name="cpsc2018",
    task="diagnostic",
    layout=Layout(samples=6000),
    diagnoses=_DIAGNOSES,
    strict=True,
    where="Its folder is cpsc_2018 of https://physionet.org/content/challenge-2021/1.0.3/; for other folders of that "
    "data set use cinc2021.",
)


def load_cpsc2018(root: Path | None, task: str = "diagnostic") -> Cohort:
    """CPSC 2018 at 100 Hz: the first 60 s of each recording, with its own length (``Cohort.lengths``).

    The data set has no folds and names no patients: folds are made from the names of the recordings, each of which
    counts as a patient.

    Args:
        root: the folder with the recordings, or one above it.
        task: ``"diagnostic"``, the only one.

    Raises:
        DataError: the folder is not there, holds no records, or a header names another diagnosis.
    """
    return load(CPSC2018, root, task)
