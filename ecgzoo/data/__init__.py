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
)

__all__ = ["SPECS", "Cohort", "check_cohort", "parse_folds"]
