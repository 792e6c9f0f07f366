"""The reader contract: how a file format becomes a `Record`."""

from abc import ABC, abstractmethod
from pathlib import Path

from ecgzoo.signal.record import Record


class Reader(ABC):
    """A file format, built by ``factory()`` without arguments."""

    @abstractmethod
    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether `path` has this format, by `head`, its first 4096 bytes, or by its name if there is no such file."""

    @abstractmethod
    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """Read the recording in millivolts, without guessing, in memory proportional to the file's size.

        Args:
            path: a path for which `sniff` returned True.
            leads: names of the channels, in order, if the file does not say, or to rename them.
            units: units of the samples, if the file does not say.
            rate_hz: samples per second, if the file does not say.

        Raises:
            SignalError: the file cannot be read; if information is missing, the message names the argument for it.
        """
