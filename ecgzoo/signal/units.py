"""Units of voltage: every reader's way to millivolts."""

from functools import lru_cache

from ecgzoo.errors import SignalError

# Keys are casefolded; casefold() turns both micro signs into μ. "âμ" is UTF-8's µ in a header that is read as Latin-1.
_PER_MILLIVOLT = {
    **dict.fromkeys(("v", "volt", "volts", "в"), 1e-3),
    **dict.fromkeys(("mv", "мв", "mvolt", "mvolts", "millivolt", "millivolts"), 1.0),
    **dict.fromkeys(
        ("uv", "μv", "mcv", "мкв", "âμv", "uvolt", "uvolts", "μvolt", "μvolts", "microvolt", "microvolts"), 1e3
    ),
    **dict.fromkeys(("nv", "nanovolt", "nanovolts"), 1e6),
}


@lru_cache(maxsize=256)  # asked for every channel of every file
def per_millivolt(units: str) -> float | None:
    """How many of a unit make a millivolt (1000 for ``uV`` or ``µV``); None when it is no voltage."""
    return _PER_MILLIVOLT.get(units.strip().casefold())


def require_voltage(units: str, source: str) -> float:
    """As `per_millivolt`, for a unit that must be a voltage; `source` is named in the error.

    Raises:
        SignalError: it is none.
    """
    found = per_millivolt(units) if isinstance(units, str) else None
    if found is None:
        raise SignalError(
            f"{source}: {units!r} is no unit of voltage; pass units='mV', 'uV', 'nV' or 'V' (on the command line "
            "--units)"
        )
    return found
