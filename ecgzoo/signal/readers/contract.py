"""The reader contract: how a file format becomes a `Record`."""

from abc import ABC, abstractmethod
from pathlib import Path

from ecgzoo.signal.record import Record


class Reader(ABC):
    """A file format, built by ``factory()`` without arguments."""

    @abstractmethod
    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether `path` is of this format, by `head`, its first 4096 bytes, or by name if there is no such file."""

    @abstractmethod
    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """The recording in millivolts, within memory bounded by the file's size; nothing is guessed.

        Args:
            path: what `sniff` said yes to.
            leads: names of the channels, in order, where the file does not say, or says them otherwise.
            units: of the samples, where the file does not say.
            rate_hz: samples per second, where the file does not say.

        Raises:
            SignalError: whatever cannot be read; what is missing, with the argument that gives it.
        """
