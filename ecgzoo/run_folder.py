"""RunFolder: only one run at a time uses a folder, and it notices if the folder is deleted."""

import os
import warnings
import weakref
from contextlib import suppress
from pathlib import Path

from ecgzoo.errors import EcgZooWarning, RecipeError
from ecgzoo.files import lock, unlock


class RunFolder:
    """A run's folder, with a kernel lock on its file ``.lock``: the lock always ends when the process ends."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, -1

    def lock(self) -> None:
        """Lock the folder; create it the first time.

        Raises:
            RecipeError: another run uses the folder, it cannot be written, or it was replaced since the first time.
        """
        if self._lock < 0:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise RecipeError(f"{self.path} cannot be written ({error}); choose another --output") from error
            weakref.finalize(self, os.close, self._lock)
        try:
            lock(self._lock)
        except BlockingIOError:
            raise RecipeError(f"another run uses {self.path}; wait for it or choose another --output") from None
        except OSError as error:
            message = f"{self.path} cannot be locked ({error}); do not start another run in it"
            warnings.warn(message, EcgZooWarning, stacklevel=2)
        self.check()

    def unlock(self) -> None:
        """Unlock the folder."""
        unlock(self._lock)

    def check(self, arm: str = ".") -> None:
        """Call this before each write.

        Raises:
            RecipeError: the folder, or that of its `arm`, was deleted or replaced since it was locked.
        """
        with suppress(OSError):
            if os.path.samestat(os.fstat(self._lock), (self.path / ".lock").stat()) and (self.path / arm).is_dir():
                return
        raise RecipeError(
            f"{self.path / arm} was deleted or replaced while a run used it; start again in another --output"
        )
