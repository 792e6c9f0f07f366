"""One file per format. The contract is in ``contract.py``; ``common.py``, ``given.py`` and ``text.py`` are shared.

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
    ReaderSpec(name="aecg", factory=f"{_HERE}.aecg:AecgReader", summary="HL7 aECG (AnnotatedECG XML): the rhythm"),
    ReaderSpec(name="dicom", factory=f"{_HERE}.dicom:DicomReader", summary="DICOM waveforms (ecgzoo[formats])"),
    ReaderSpec(name="edf", factory=f"{_HERE}.edf:EdfReader", summary="EDF, EDF+ and BDF (ecgzoo[formats])"),
    ReaderSpec(name="ishne", factory=f"{_HERE}.ishne:IshneReader", summary="ISHNE Holter recordings"),
    ReaderSpec(name="muse", factory=f"{_HERE}.muse:MuseReader", summary="GE MUSE XML (RestingECG)"),
    ReaderSpec(name="philips", factory=f"{_HERE}.philips:PhilipsReader", summary="Philips XML, XLI-compressed"),
    ReaderSpec(name="scp", factory=f"{_HERE}.scp:ScpReader", summary="SCP-ECG: the rhythm"),
    ReaderSpec(
        name="csv", factory=f"{_HERE}.csv:CsvReader", summary="CSV, TSV and other text: a line a sample", generic=True
    ),
)
