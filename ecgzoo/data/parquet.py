"""Any cohort as a folder of Parquet files, which the Hub shows and the library ``datasets`` reads."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ecgzoo.data.cohort import Cohort
from ecgzoo.errors import DataError, printable
from ecgzoo.files import write_atomic, write_text

FILE_BYTES = 1 << 29  # of samples, before they are compressed
_AT_ONCE = 256  # records of a row group


def write_parquet(cohort: Cohort, folder: Path, advance: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Write the records of `cohort` as ``data/*.parquet``, and a ``README.md`` that describes the columns.

    A row is a record: ``record_id``, ``patient``, ``fold``, ``labels`` (a list of names, or null in a record without
    labels), and for each lead a list of its samples in microvolts, as long as the record.

    Args:
        cohort: any.
        folder: a new or empty folder.
        advance: called with the number of records that are written, and of all.

    Returns:
        How many Parquet files were written.

    Raises:
        DataError: `folder` holds files, or pyarrow is missing.
        WriteError: the disk is full, for example.
    """
    if find_spec("pyarrow") is None:
        raise DataError("Parquet needs pyarrow; pip install 'ecgzoo[parquet]'")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: is a file or holds files; choose another --output")
    import pyarrow as pa
    import pyarrow.parquet as pq

    sample = pa.int16() if cohort.unit_uv is None else pa.int32()
    schema = pa.schema(
        [
            *(("record_id", pa.int64()), ("patient", pa.int64()), ("fold", pa.int16())),
            ("labels", pa.list_(pa.string())),
            *((lead, pa.list_(sample)) for lead in cohort.leads),
        ]
    )

    def lists(values: np.ndarray, lengths: np.ndarray, kind: pa.DataType, null: pa.Array | None = None) -> pa.Array:
        ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(values, kind), mask=null)

    def group(rows: np.ndarray) -> pa.RecordBatch:
        signals, samples, labels = cohort.signals(rows), cohort.samples(rows), cohort.labels[rows] > 0
        if cohort.unit_uv is not None:
            signals = np.rint(signals * cohort.units(rows)).astype(np.int32)
        without = pa.array(~cohort.has_labels(rows))
        there = np.arange(signals.shape[2]) < samples[:, None]
        numbers = (cohort.record_ids[rows], cohort.patients[rows], cohort.folds[rows])
        return pa.record_batch(
            [
                *(pa.array(column, schema.types[at]) for at, column in enumerate(numbers)),
                lists(
                    np.array(cohort.classes, object)[np.nonzero(labels)[1]], labels.sum(axis=1), pa.string(), without
                ),
                *(lists(signals[:, at][there], samples, sample) for at in range(len(cohort.leads))),
            ],
            schema=schema,
        )

    per_file = max(1, FILE_BYTES // (cohort.store.itemsize * cohort.store.shape[1] * cohort.store.shape[2]))
    files = np.split(np.arange(len(cohort)), range(per_file, len(cohort), per_file))
    for number, its in enumerate(files):

        def write(path: Path, its: np.ndarray = its) -> None:
            with pq.ParquetWriter(path, schema, compression="zstd") as file:
                for start in range(0, len(its), _AT_ONCE):
                    rows = its[start : start + _AT_ONCE]
                    file.write_batch(group(rows))
                    advance(int(rows[-1]) + 1, len(cohort))

        write_atomic(folder / "data" / f"records-{number:05}-of-{len(files):05}.parquet", write)
    write_text(folder / "README.md", _card(cohort))
    return len(files)


def _card(cohort: Cohort) -> str:
    license_ = f"license: {cohort.license.lower()}\n" if cohort.license else ""
    notes = "".join(f"- {printable(note)}\n" for note in cohort.notes)
    null = "" if cohort.labelled is None else "; null if the record has no labels, empty if it has none of these"
    return f"""---
{license_}tags:
- ecg
configs:
- config_name: default
  data_files: data/*.parquet
---

# {printable(cohort.title)}

{len(cohort):,} records of {len(cohort.leads)} leads at {cohort.rate_hz:g} Hz. Each row is a record:

| column | |
|---|---|
| `record_id`, `patient`, `fold` | numbers; all records of a patient are in one fold |
| `labels` | some of {", ".join(f"`{printable(name)}`" for name in cohort.classes)}{null} |
| {", ".join(f"`{lead}`" for lead in cohort.leads)} | samples in microvolts |

{notes}"""
