"""Findings: all results of a conformance check, not only the first failure."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

Require = Callable[[bool, str], bool]  # (condition, sentence if it does not hold) -> condition


class Findings:
    """The clauses of a contract that were checked, and the failures of each.

    Attributes:
        name: name of what is checked.
        clauses: by clause, its failures, one sentence each; empty for a clause that holds.
        notes: by clause, information for the author: numbers for the spec, or why it was not checked.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.clauses: dict[str, list[str]] = {}
        self.notes: dict[str, str] = {}

    @contextmanager
    def clause(self, what: str) -> Iterator[Require]:
        """Check one clause with a fixed seed; an exception inside is a failure like the others."""
        broken = self.clauses.setdefault(what, [])

        def require(condition: bool, sentence: str) -> bool:
            if not condition and sentence not in broken:
                broken.append(sentence)
            return condition

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                yield require
            except Exception as error:  # third-party code may raise anything
                broken.append(f"raised {type(error).__name__}: {error}")

    @property
    def failures(self) -> list[str]:
        """A sentence for each failure, with the name and the clause."""
        return [f"{self.name}, {what}: {said}" for what, broken in self.clauses.items() for said in broken]

    def conclude(self) -> None:
        """Raise if there are failures.

        Raises:
            AssertionError: all failures, one per line, then the notes.
        """
        if failures := self.failures:
            notes = [f"{self.name}, {what}: {note}" for what, note in self.notes.items()]
            raise AssertionError("\n".join([*failures, *notes]))
