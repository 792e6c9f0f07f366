"""prepare: from a recording of any rate and length to the int16 samples of a store."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ecgzoo.data.cohort import MICROVOLTS_PER_MILLIVOLT
from ecgzoo.errors import DataError, SignalError
from ecgzoo.signal import LEADS_12, Record
from ecgzoo.signal.resample import LOWEST_SHARE_OF_RATE
from ecgzoo.signal.windows import duration

COARSEST_UV = 10  # ±327 mV: raw recordings still have the offset of the electrodes, up to 300 mV (IEC 60601-2-25)
LEAST_SPAN_MV = 0.02  # lead I of every record of PTB-XL spans .18 mV or more
MOST_MISSING = 0.2  # of a lead's samples; a line through more than that is no recording
_MOST_UNITS = 2**15 - 1
_MARGIN_S = 2.0  # read behind the part that is kept, for the resampling filter; it reaches 1 s at the slowest rate


@dataclass(frozen=True)
class Layout:
    """The form of the records in a store.

    Attributes:
        leads: in channel order.
        rate_hz: samples per second.
        samples: of the longest record; of a longer one, the first are kept.
        shortest: samples of the shortest record.
    """

    leads: tuple[str, ...] = LEADS_12
    rate_hz: float = 100.0
    samples: int = 1000
    shortest: int = 250


class Prepared(NamedTuple):
    """A record in the layout of a store.

    Attributes:
        samples: int16 ``[leads, at most layout.samples]``.
        unit_uv: microvolts of one unit of the samples: 1, or more if the record is beyond ±32.767 mV.
        changes: what was changed or is odd: a sum of the numbers in `CHANGES`.
    """

    samples: np.ndarray
    unit_uv: int
    changes: int


CHANGES = {
    1: "longer than the cohort's, of which the beginning is kept",
    2: "with interpolated samples",
    4: "with a flat lead, kept as it is",
    8: "beyond ±32.767 mV, kept in coarser steps",
}


def prepare(record: Record, layout: Layout) -> Prepared:
    """The first samples of a record in the layout of a store.

    Leads are selected by name, invalid samples are interpolated, and the rate is changed after an anti-alias filter.

    Raises:
        MissingLeadError: a lead is missing.
        SignalError: it is shorter than ``layout.shortest``, its rate is far below ``layout.rate_hz``, all leads are
            flat, or a fifth of a lead's samples are invalid.
        DataError: a sample is outside ±327.67 mV, or no lead spans 0.02 mV.
    """
    if record.leads != layout.leads:
        record = record.select(layout.leads)
    if record.rate_hz < LOWEST_SHARE_OF_RATE * layout.rate_hz:
        raise SignalError(
            f"{record.source}: expected at least {LOWEST_SHARE_OF_RATE * layout.rate_hz:g} Hz for a cohort of "
            f"{layout.rate_hz:g} Hz, got {record.rate_hz:g} Hz. Check the rate, or import with a lower --store-rate"
        )
    changes = int(record.samples_at(layout.rate_hz) > layout.samples)
    kept = int((layout.samples / layout.rate_hz + _MARGIN_S) * record.rate_hz)
    if record.signal.shape[1] > kept:
        record = Record(record.signal[:, :kept], record.leads, record.rate_hz, record.source, record.notes)
    missing = np.isnan(record.signal)
    if missing.any():
        share = missing.mean(axis=1)
        if (most := float(share.max())) > MOST_MISSING:
            raise SignalError(
                f"{record.source}: {most:.0%} of the samples of lead {record.leads[share.argmax()]} are invalid, at "
                f"most {MOST_MISSING:.0%} are interpolated; leave the lead out with --store-leads"
            )
        changes += 2
        record = record.interpolate_invalid()
    samples = record.samples_at(layout.rate_hz)
    if samples < layout.shortest:
        raise SignalError(
            f"{record.source}: {duration(samples, layout.rate_hz)} is shorter than "
            f"{duration(layout.shortest, layout.rate_hz)}, the shortest record of this cohort"
        )
    signal = record.resample(layout.rate_hz).signal[:, : layout.samples]
    low, high = signal.min(axis=1), signal.max(axis=1)
    flat = low == high
    if flat.all():
        raise SignalError(f"{record.source}: every lead is flat, so nothing was recorded")
    if (span := float((high - low).max())) < LEAST_SPAN_MV:
        raise DataError(
            f"{record.source}: no lead spans {LEAST_SPAN_MV:g} mV, the largest {span:.2g} mV; a heartbeat spans more. "
            "Check the units."
        )
    peak_uv = round(MICROVOLTS_PER_MILLIVOLT * float(max(-low.min(), high.max())))
    unit_uv = max(1, -(-peak_uv // _MOST_UNITS))
    if unit_uv > COARSEST_UV:
        most_mv, peak_mv = COARSEST_UV * _MOST_UNITS / MICROVOLTS_PER_MILLIVOLT, peak_uv / MICROVOLTS_PER_MILLIVOLT
        raise DataError(
            f"{record.source}: expected samples within ±{most_mv:g} mV, got {peak_mv:g} mV. Check the units."
        )
    stored = np.rint(signal * (MICROVOLTS_PER_MILLIVOLT / unit_uv)).astype(np.int16)
    return Prepared(stored, unit_uv, changes + 4 * int(flat.any()) + 8 * int(unit_uv > 1))
