"""Data sets and their cache. Each data set gives a `Cohort`. Imports no torch."""

from ecgzoo.data.cohort import Cohort, check_cohort, parse_folds
from ecgzoo.specs import DatasetSpec

SPECS = (
    DatasetSpec(
        name="synthetic",
        factory="ecgzoo.data.synthetic:load_synthetic",
        summary="simulated 12-lead cohort from a moving heart dipole; embedded, needs no files",
        tasks=("superdiagnostic", "diagnostic"),
        needs_root=False,
    ),
    DatasetSpec(
        name="ptbxl",
        factory="ecgzoo.data.ptbxl:load_ptbxl",
        summary="PTB-XL, 21,799 clinical 12-lead records of 10 s at 100 Hz (doi:10.13026/kfzx-aw45)",
        tasks=("superdiagnostic", "all", "diagnostic", "subdiagnostic", "form", "rhythm"),
    ),
    DatasetSpec(
        name="cpsc2018",
        factory="ecgzoo.data.cpsc2018:load_cpsc2018",
        summary="CPSC 2018 (ICBEB), 6,877 12-lead records of 6 to 144 s, nine classes (doi:10.1166/jmihi.2018.2442)",
        tasks=("diagnostic",),
    ),
    DatasetSpec(
        name="cinc2021",
        factory="ecgzoo.data.cinc2021:load_cinc2021",
        summary="PhysioNet/CinC Challenge 2021, any of its folders, 26 classes (doi:10.23919/CinC53138.2021.9662687)",
        tasks=("scored",),
    ),
    DatasetSpec(
        name="ludb",
        factory="ecgzoo.data.ludb:load_ludb",
        summary="LUDB, 200 12-lead records of 10 s at 500 Hz, 35 classes (doi:10.13026/eegm-h675)",
        tasks=("statements",),
    ),
    DatasetSpec(
        name="folder",
        factory="ecgzoo.data.folder:load_folder",
        summary="recordings of your own, imported with `ecgzoo data import`",
        tasks=("labels",),
    ),
)

__all__ = ["SPECS", "Cohort", "check_cohort", "parse_folds"]
