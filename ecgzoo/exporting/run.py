"""export: write a model to a file that runs without Python, if the file gives the same probabilities."""

import warnings
from collections.abc import Iterable
from copy import deepcopy
from importlib import import_module
from pathlib import Path

from ecgzoo.data import Cohort
from ecgzoo.errors import DataError, EcgZooWarning, ExportError, SignalError, WeightsError, did_you_mean
from ecgzoo.exporting import SPECS, records
from ecgzoo.exporting.contract import Format
from ecgzoo.exporting.metadata import metadata
from ecgzoo.exporting.parity import Parity, ParityError, compare
from ecgzoo.exporting.scorer import Scorer
from ecgzoo.files import write_bytes, write_json
from ecgzoo.model import EcgModel
from ecgzoo.signal import Record
from ecgzoo.weights.folder import changed_since, weights_sha256


def export(
    model: EcgModel,
    path: str | Path,
    *,
    format: str = "onnx",
    data: Cohort | Iterable[Record] | None = None,
    folds: Iterable[int] = (),
    samples: int | None = None,
    overwrite: bool = False,
) -> Parity:
    """Write `model` to a file that takes millivolts and gives calibrated probabilities (docs/export.md).

    The file is run in its own runtime and compared with the model before it is written. If it is too far off, nothing
    is written. If the weights were changed since they were loaded, but not their thresholds, there is an
    `EcgZooWarning`.

    Args:
        model: a trained one.
        path: the file.
        format: ``onnx``, ``onnx-fp16``, ``onnx-int8``, ``torch-export``, ``executorch`` or ``litert``.
        data: recordings to compare on, and to calibrate int8 on: a cohort, of which `folds` are used, or recordings
            with the model's leads, resampled to its rate. Simulated hearts if not given, which int8 does not accept.
        folds: of a cohort.
        samples: length of the recordings that the file takes, where a format has a fixed length; one window if not
            given.
        overwrite: replace the file if it exists.

    Raises:
        ExportError: the format is unknown or not that of the file's name, a package is missing, the model cannot be
            exported in this format, the file exists, or (its subclass `ecgzoo.exporting.parity.ParityError`) its
            probabilities are not the model's.
        DataError: int8 without records, a fold has none, or folds without a cohort.
        SignalError: the records have other leads or another rate than the model, or are too short.
        WeightsError: the model was never trained.
        WriteError: the file cannot be written.
    """
    into = load_format(format)
    target, *beside = into.files(Path(path))
    suffix = target.suffix.lower()
    meant = next((name for name in SPECS if load_format(name).suffix == suffix), None)
    if meant and into.suffix != suffix:
        raise ExportError(f"{target}: is the name of a file in the format {meant}, not {format}; change one of them")
    for file in (target, *beside):
        if file.exists() and not overwrite:
            raise _exists(file)
    config = model.config
    if not config.classes:
        raise WeightsError(f"{config.architecture} names no classes: it was never trained; train it, then export it")
    if samples is not None and (into.any_length or samples < config.window):
        why = "takes any length" if into.any_length else f"needs at least a window of {config.window} samples"
        raise SignalError(f"samples is {samples}, but {format} {why}; leave it out")
    folds = tuple(folds)
    if folds and not isinstance(data, Cohort):
        raise DataError(f"folds {folds} are those of a cohort, and data is none; give a cohort, or leave out the folds")
    if data is None:
        if into.calibrated:
            raise DataError(
                f"{format} needs records to calibrate on; give folds of a data set, or recordings (on the command line "
                "--data, --root and --calibrate-folds, or --calibrate)"
            )
        on = records.simulated(config, samples or 0)
    elif isinstance(data, Cohort):
        on = records.from_cohort(data, folds, config)
    else:
        on = records.from_recordings(data, config)
    if before := changed_since(model, weights_sha256(model)):
        warnings.warn(
            f"{target}: the weights are not those of {before} any more, but the file has its temperature and "
            "thresholds. Measure them again, or call reset_classifier before training.",
            EcgZooWarning,
            stacklevel=2,
        )
    length = samples or config.window
    if not into.any_length:
        on = on.first(length)
    model = deepcopy(model).cpu().float().eval()
    described = metadata(model, None if into.any_length else length)
    content = into.convert(Scorer(model), described, length, on)
    lengths = (config.window, config.window + 1, config.window + config.stride) if into.any_length else ()
    found = compare(model, into.load(content), on, into.tolerance, size=len(content), lengths=lengths)
    if found.problems:
        raise ParityError(f"{target} was not written: {'; '.join(found.problems)}", found)
    try:
        for file in beside:
            write_json(file, described, new=not overwrite)
        write_bytes(target, content, new=not overwrite)
    except FileExistsError as error:
        raise _exists(target) from error
    return found


def load_format(name: str) -> Format:
    """The format that is called `name`.

    Raises:
        ExportError: there is none.
    """
    if name not in SPECS:
        raise ExportError(f"format {name!r} is unknown. {did_you_mean(name, SPECS)}")
    module, _, attribute = SPECS[name].partition(":")
    made: Format = getattr(import_module(module), attribute)()
    return made


def _exists(path: Path) -> ExportError:
    return ExportError(f"{path} exists; choose another name, or overwrite it (--overwrite, overwrite=True)")
