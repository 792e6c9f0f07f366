"""RunFolder: one run at a time works in a folder, and notices when it is no longer there."""

import os
import warnings
import weakref
from contextlib import suppress
from pathlib import Path

from ecgzoo.errors import EcgZooWarning, RecipeError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class RunFolder:
    """A run's folder, locked by the kernel on its file ``.lock``: the lock ends with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, -1

    def lock(self) -> None:
        """Take the folder, which is made if this is the first time.

        Raises:
            RecipeError: another run is at work in it, it cannot be written, or it is no longer that of the first time.
        """
        if self._lock < 0:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise RecipeError(f"{self.path} cannot be written ({error}); choose another --output") from error
            weakref.finalize(self, os.close, self._lock)
        try:
            if fcntl is None:
                raise OSError("this system has no locks")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecipeError(
                f"another run is at work in {self.path}; wait for it or choose another --output"
            ) from None
        except OSError as error:
            message = f"{self.path} cannot be locked ({error}); let no other run work in it"
            warnings.warn(message, EcgZooWarning, stacklevel=2)
        self.check()

    def unlock(self) -> None:
        """Give it back."""
        if fcntl is not None:
            with suppress(OSError):  # no locks on this file system
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    def check(self, arm: str = ".") -> None:
        """To be called before each write.

        Raises:
            RecipeError: the folder, or that of its `arm`, was deleted or replaced since it was taken.
        """
        with suppress(OSError):
            if os.path.samestat(os.fstat(self._lock), (self.path / ".lock").stat()) and (self.path / arm).is_dir():
                return
        raise RecipeError(
            f"{self.path / arm} was deleted or replaced while a run worked in it; begin anew, in another --output"
        )
