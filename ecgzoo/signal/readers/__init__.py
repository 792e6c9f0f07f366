"""One file per format; the contract is in ``contract.py``. Imports no wfdb."""

from ecgzoo.specs import ReaderSpec

SPECS = (
    ReaderSpec(
        name="wfdb",
        factory="ecgzoo.signal.readers.wfdb:WfdbReader",
        summary="WFDB records of PhysioNet: .hea beside .dat or .mat",
    ),
    ReaderSpec(
        name="aecg", factory="ecgzoo.signal.readers.aecg:AecgReader", summary="HL7 aECG (AnnotatedECG XML): the rhythm"
    ),
    ReaderSpec(
        name="dicom", factory="ecgzoo.signal.readers.dicom:DicomReader", summary="DICOM waveforms (ecgzoo[formats])"
    ),
    ReaderSpec(
        name="edf", factory="ecgzoo.signal.readers.edf:EdfReader", summary="EDF, EDF+ and BDF (ecgzoo[formats])"
    ),
    ReaderSpec(name="ishne", factory="ecgzoo.signal.readers.ishne:IshneReader", summary="ISHNE Holter recordings"),
    ReaderSpec(name="muse", factory="ecgzoo.signal.readers.muse:MuseReader", summary="GE MUSE XML (RestingECG)"),
    ReaderSpec(
        name="philips", factory="ecgzoo.signal.readers.philips:PhilipsReader", summary="Philips XML, XLI-compressed"
    ),
    ReaderSpec(name="scp", factory="ecgzoo.signal.readers.scp:ScpReader", summary="SCP-ECG: the rhythm"),
)

__all__ = ["SPECS"]
