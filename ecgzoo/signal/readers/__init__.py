"""One file per format; the contract is in ``contract.py``. Imports no wfdb."""

from ecgzoo.specs import ReaderSpec

SPECS = (
    ReaderSpec(
        name="wfdb",
        factory="ecgzoo.signal.readers.wfdb:WfdbReader",
        summary="WFDB records of PhysioNet: .hea next to .dat or .mat",
    ),
)

__all__ = ["SPECS"]
