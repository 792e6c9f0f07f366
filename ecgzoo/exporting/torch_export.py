"""torch.export: a ``.pt2`` archive for PyTorch without ecgzoo, of a fixed length and any batch."""

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np
import torch

from ecgzoo.errors import ExportError
from ecgzoo.exporting.contract import Format, Score, Tolerance
from ecgzoo.exporting.records import Records
from ecgzoo.exporting.scorer import Scorer

METADATA = "ecgzoo.json"  # in the archive: torch.export.load(path, extra_files={METADATA: ""})


class TorchExport(Format):
    """``.pt2``: ``torch.export.load(path).module()(signal)``; the metadata is the archive's file ``ecgzoo.json``."""

    suffix = ".pt2"
    tolerance = Tolerance(probability=1e-5)

    def convert(self, scorer: Scorer, metadata: Mapping[str, Any], samples: int, records: Records) -> bytes:
        """See `Format.convert`."""
        program = exported(scorer, samples, {0: torch.export.Dim("batch")}, "torch.export")
        content = io.BytesIO()
        with quietly():
            torch.export.save(program, content, extra_files={METADATA: json.dumps(metadata)})
        return content.getvalue()

    def load(self, content: bytes) -> Score:
        """See `Format.load`."""
        network = torch.export.load(io.BytesIO(content)).module()

        def score(signal: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                probabilities: torch.Tensor = network(torch.from_numpy(signal))
            return probabilities.numpy()

        return score


def exported(
    scorer: Scorer, samples: int, dimensions: Mapping[int, Any], title: str, batch: int = 2
) -> torch.export.ExportedProgram:
    """The graph of `scorer` for recordings of `samples`, with free `dimensions` by position.

    Raises:
        ExportError: the network has a branch or an operation that cannot be captured; `title` is the format.
    """
    example = torch.zeros(batch, len(scorer.config.leads), samples)
    try:
        with quietly(), torch.no_grad():
            return torch.export.export(scorer, (example,), dynamic_shapes={"signal": dict(dimensions)})
    except Exception as error:  # whatever the capture raises for code that it cannot follow
        raise not_exportable(scorer, title, error) from error


@contextmanager
def quietly() -> Iterator[None]:
    """Without the progress, warnings and log messages of a converter."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def not_exportable(scorer: Scorer, title: str, error: Exception) -> ExportError:
    """The one sentence that is said of an `error` of a converter."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return ExportError(f"{scorer.config.architecture} cannot be exported to {title}: {reason[:300]}")
