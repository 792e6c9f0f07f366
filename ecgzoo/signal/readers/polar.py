"""Reading the ECG files of Polar Sensor Logger, an app that records what a Polar H10 strap sends.

Semicolons between columns, a packet's samples with times that the app spreads over it::

    Phone timestamp;sensor timestamp [ns];timestamp [ms];ecg [uV]
    2026-07-16T21:34:53.930;599636646177065964;0.0;4

The header is that of the app's files as public readers and writers of them have it, word for word in six unrelated
projects; no file of a real strap was at hand. Polar's own export of a training holds no ECG.
"""

from pathlib import Path

from ecgzoo.signal.readers.common import fail, whole_file
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.signal.readers.given import names_of, rate_of, scale_of, to_millivolts
from ecgzoo.signal.readers.text import as_utf8, body, head_lines, table
from ecgzoo.signal.readers.times import rate_of_times
from ecgzoo.signal.record import Record

_HEADER = ["Phone timestamp", "sensor timestamp [ns]", "timestamp [ms]", "ecg [uV]"]


class PolarReader(Reader):
    """Polar Sensor Logger's ``*_ECG.txt``: microvolts; the rate by the strap's clock; which lead, the caller says.

    A strap around the chest is none of the twelve leads; what is closest to it depends on how it is worn.
    """

    def sniff(self, head: bytes, path: Path) -> bool:
        """By its first line."""
        text = as_utf8(head)
        return text is not None and _is_header(head_lines(text)[0])

    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """The strap's lead in millivolts.

        Raises:
            SignalError: a line is cut off or not of numbers; packets are missing; no lead is given; unit or rate are
                given otherwise than the file says them.
        """
        content = as_utf8(whole_file(path))
        if content is None or not _is_header(head_lines(content)[0]):
            fail(path, f"is no ECG of Polar Sensor Logger; expected the columns {'; '.join(_HEADER)}")
        numbers = table(path, body(content, 1), 2, ";", (1, 3))
        if len(numbers) < 2:
            fail(path, "has fewer than two samples; export it again")
        rate = rate_of_times(path, (numbers[:, 0] - numbers[0, 0]) * 1e-9)
        millivolts = to_millivolts([numbers[:, 1]], [scale_of(path, "uV", units)])
        return Record(millivolts, names_of(path, None, leads, 1), rate_of(path, rate, rate_hz), str(path))


def _is_header(line: str) -> bool:
    return [field.strip() for field in line.split(";")][: len(_HEADER)] == _HEADER
