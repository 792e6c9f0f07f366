"""Lead names: the twelve leads, common subsets, and the spellings that files use."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from ecgzoo.errors import SignalError, did_you_mean

LEADS_12 = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

LEAD_SETS: dict[int, tuple[str, ...]] = {
    1: ("I",),
    2: ("I", "II"),
    3: ("I", "II", "V2"),
    4: ("I", "II", "III", "V2"),
    6: ("I", "II", "III", "aVR", "aVL", "aVF"),
    8: ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"),  # the independent leads; the other four follow from I and II
    12: LEADS_12,
}
"""The subset for a number of leads: the five subsets of the PhysioNet/CinC Challenge 2021, lead I, and the eight
independent leads."""

# Keys are casefolded, without blanks and underscores. A hyphen is kept: "-aVR" is the inverted lead, not aVR.
_ALIASES = {
    **{f"{prefix}{lead.casefold()}": lead for prefix in ("", "lead", "ecg", "ekg", "ecglead") for lead in LEADS_12},
    **{f"d{lead.casefold()}": lead for lead in ("I", "II", "III")},  # derivación, derivação
    **{f"mdcecglead{lead.casefold()}": lead for lead in LEADS_12},  # ISO/IEEE 11073, in HL7 aECG files
    **{f"ml{lead.casefold()}": lead for lead in ("I", "II", "III")},  # modified limb leads of ambulatory recorders
    **{f"{prefix}{number}": f"V{number}" for prefix in ("mv", "mcl") for number in range(1, 7)},  # modified chest leads
}


@lru_cache(maxsize=1024)  # asked for every channel of every file
def known_lead(name: str) -> str | None:
    """The canonical spelling of a lead name, or None if it is not one of the twelve leads."""
    if name.lstrip().startswith("mV"):  # "mV 1" is a channel in millivolts, not the modified lead MV1
        return None
    return _ALIASES.get("".join(name.casefold().replace("_", " ").split()))


def is_ecg(name: str) -> bool:
    """Whether a channel is an ECG by its name: one of the twelve leads, or "ECG…" or "EKG…" in any case."""
    return known_lead(name) is not None or name.casefold().startswith(("ecg", "ekg"))


def canonical_lead(name: str) -> str:
    """The canonical spelling of a lead name; case, blanks and prefix do not matter: ``MLII`` and ``ECG ii`` are II.

    Raises:
        SignalError: the name is not one of the twelve leads.
    """
    lead = known_lead(name)
    if lead is None:
        raise SignalError(f"Unknown lead {name!r}. {did_you_mean(name, LEADS_12)}")
    return lead


def channel_to_rename(names: Sequence[str]) -> str | None:
    """The channel that a message proposes to call a lead: one that is none, if possible called ECG; None if all are."""
    others = [name for name in names if known_lead(name) is None]
    return min(others, key=lambda name: not re.search("e[ck]g", name, re.IGNORECASE), default=None)


def resolve_leads(leads: int | str | Sequence[str]) -> tuple[str, ...]:
    """Canonical lead names, in the order given.

    Args:
        leads: a number for a subset in `LEAD_SETS`, names in one string (``"I,II"``), or a sequence of names.

    Raises:
        SignalError: there is no subset for the number, a lead is unknown or named twice, or there are no leads.
    """
    if isinstance(leads, str):
        leads = int(leads) if leads.strip().isdecimal() and len(leads) < 10 else leads.split(",")
    if isinstance(leads, int):
        if leads not in LEAD_SETS:
            counts = ", ".join(map(str, LEAD_SETS))
            raise SignalError(f"There is no subset for {leads} leads, only for {counts}. Give the leads by name.")
        return LEAD_SETS[leads]
    if not isinstance(leads, Sequence) or not all(isinstance(name, str) for name in leads):
        raise SignalError(f"Expected lead names or their number, got {leads!r}. For example leads=('I', 'II').")
    names = tuple(canonical_lead(name) for name in leads)
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated or not names:
        found = f"{', '.join(repeated)} twice" if repeated else "none"
        raise SignalError(f"Expected different leads, got {found} in {list(leads[:20])}. Name each lead once.")
    return names
