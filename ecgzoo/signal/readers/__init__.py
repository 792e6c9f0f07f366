"""One file per format; the contract is in ``contract.py``, what they share in ``given.py`` and ``text.py``.

Imports no wfdb.
"""

from ecgzoo.specs import ReaderSpec

_HERE = "ecgzoo.signal.readers"

SPECS = (
    ReaderSpec(
        name="wfdb",
        factory=f"{_HERE}.wfdb:WfdbReader",
        summary="WFDB records of PhysioNet: .hea beside .dat or .mat",
    ),
    ReaderSpec(name="apple", factory=f"{_HERE}.apple:AppleReader", summary="ECGs of an Apple Health export"),
    ReaderSpec(name="kardia", factory=f"{_HERE}.kardia:KardiaReader", summary="ATC files of AliveCor's Kardia devices"),
    ReaderSpec(name="npy", factory=f"{_HERE}.npy:NpyReader", summary="numpy's .npy and .npz"),
    ReaderSpec(name="polar", factory=f"{_HERE}.polar:PolarReader", summary="ECGs of Polar Sensor Logger"),
    ReaderSpec(
        name="csv", factory=f"{_HERE}.csv:CsvReader", summary="CSV, TSV and other text: a line a sample", generic=True
    ),
)

__all__ = ["SPECS"]
