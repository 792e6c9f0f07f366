"""ECG paper: 25 mm/s and 10 mm/mV, at its true size; beside it the signal quality and what a model says.

One pair of axes covers the sheet, in millimetres. A trace is centred on its lead's median.
"""

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ecgzoo.errors import EcgZooError, printable
from ecgzoo.files import write_atomic
from ecgzoo.model import EcgModel
from ecgzoo.show.explain import Explanation, explain_reading
from ecgzoo.show.reading import STRIP_S, Reading, look, said_s
from ecgzoo.signal import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MM_PER_S, MM_PER_MV = 25.0, 10.0
INCH_MM = 25.4
SHEET_MM, GRID_MM, EDGE_MM = 297.0, 270.0, 13.5  # A4 across; the grid, and what is left of it and right
COLUMN_MM = SHEET_MM / 2 - EDGE_MM - 5  # of the text below the strips
FIRST_MM = 15.0  # of the grid, where time begins: the pulse stands before
LOWEST_ROW_MM, HIGHEST_ROW_MM = 20.0, 60.0
COLUMNS, RHYTHM = 4, "II"
FORMATS = ("png", "svg", "pdf")
PNG_DPI = 150

INK, PAPER, MINOR, MAJOR, GREY, RED = "#1d2329", "#fffafa", "#f6d5d0", "#e8a39a", "#5b6670", "#b3261e"
FOR, AGAINST = (0.93, 0.50, 0.0), (0.10, 0.42, 0.85)
SMOOTHED_S = 0.02  # attributions, as they are shaded
COLOURS = {"present": RED, "uncertain": "#e09a2b", "absent": "#9aa4ad"}
MOST_LABELS, MOST_NOTES = 8, 9
LINE_MM = 4.4

METADATA = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


@dataclass(frozen=True)
class Piece:
    """A stretch of a lead, where it begins in the grid, and its row."""

    lead: str
    start_s: float
    end_s: float
    at_mm: float
    row: int


def plot(
    record: Record,
    path: str | Path | None = None,
    *,
    model: EcgModel | None = None,
    explain: str | None = None,
    start_s: float = 0.0,
) -> "Figure":
    """Draw a recording on ECG paper: see `Record.plot`."""
    if explain is not None and model is None:
        raise EcgZooError(f"To explain {explain}, give a model too: model=, --model")
    if path is not None:
        check_suffix(path)
    reading = look(record, model, start_s)
    explanation = None
    if explain is not None and model is not None:
        explanation = explain_reading(model, reading, explain, reading.start_s, reading.end_s)
    figure = draw(reading, explanation)
    if path is not None:
        write_atomic(Path(path), lambda temporary: save(figure, temporary, Path(path).suffix[1:].lower()))
    return figure


def check_suffix(path: str | Path, formats: Sequence[str] = FORMATS) -> None:
    """Refuse a name whose end is no format that is written.

    Raises:
        EcgZooError: it is none of `formats`.
    """
    if Path(path).suffix[1:].lower() not in formats:
        raise EcgZooError(f"{path}: expected a name that ends with {', '.join(f'.{name}' for name in formats)}")


def save(figure: "Figure", path: "Path | BinaryIO", kind: str) -> None:
    """Write `figure` in its true size."""
    from matplotlib import rc_context

    settings = rc_context(
        {
            "svg.fonttype": "none",  # text stays text
            "svg.hashsalt": "ecgzoo",  # the same picture, the same file
            "pdf.fonttype": 42,
            "path.simplify_threshold": 0.05,
        }
    )
    with settings, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # of names in letters that the font has not
        figure.savefig(path, format=kind, dpi=PNG_DPI, metadata=METADATA[kind], facecolor="white")


def draw(reading: Reading, explanation: Explanation | None = None, panel: bool = True) -> "Figure":
    """The sheet: head, strips and, with `panel`, what stands below them. No pyplot: nothing stays open."""
    from matplotlib.figure import Figure

    pieces = list(_pieces(reading))
    scaled = None if explanation is None else _scaled(reading, explanation)
    centre = {lead: _median(_samples(reading, lead, reading.start_s, reading.end_s)) for lead in reading.leads}
    rows = [[piece for piece in pieces if piece.row == row] for row in range(pieces[-1].row + 1)]
    ranges = [_range(reading, row, centre) for row in rows]
    heights = [
        min(HIGHEST_ROW_MM, max(LOWEST_ROW_MM, 5 * ceil(MM_PER_MV * (high - low) / 5 + 1))) for low, high in ranges
    ]
    below = _below(reading, explanation) if panel else []
    lines = max((len(column) for column in below), default=0)
    head = 15.0 if panel else 1.0
    foot = 6 + LINE_MM * lines if panel else 1.0
    sheet_mm = head + sum(heights) + foot

    left, right = (0.0, SHEET_MM) if panel else (EDGE_MM - 1, EDGE_MM + GRID_MM + 1)
    figure = Figure(figsize=((right - left) / INCH_MM, sheet_mm / INCH_MM), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(left, right), ylim=(0, sheet_mm))
    axes.set_axis_off()
    _grid(axes, foot, sum(heights))
    top = foot + sum(heights)
    for number, (row, height, (low, high)) in enumerate(zip(rows, heights, ranges, strict=True)):
        bottom = top - height
        fits = height - 5  # beyond, a trace is cut: the row's neighbours stay legible
        zero = bottom + (height - MM_PER_MV * (low + high)) / 2
        if MM_PER_MV * (high - low) > fits:
            zero = min(max(zero, bottom + 5), top - 15)
        zero = foot + round(zero - foot)  # on a line of the grid
        _pulse(axes, zero, number)
        for piece in row:
            _piece(axes, reading, scaled, piece, zero, centre[piece.lead], (bottom, top))
        top = bottom
    if panel:
        _head(axes, reading, sheet_mm)
        for column, x in zip(below, (EDGE_MM, SHEET_MM / 2 + 5), strict=True):
            _column(axes, column, x, foot - 3)
    return figure


def _pieces(reading: Reading) -> Iterator[Piece]:
    """Where each stretch of each lead stands."""
    start, end = reading.start_s, reading.end_s
    if reading.twelve:
        of_column = (end - start) / COLUMNS
        for place, lead in enumerate(reading.leads):
            column, row = divmod(place, 3)
            at = start + column * of_column
            yield Piece(lead, at, at + of_column, FIRST_MM + MM_PER_S * (at - start), row)
        own = reading.config.leads if reading.config else ()
        rhythm = RHYTHM if RHYTHM in own or not own else own[0]  # a model's only lead in full
        yield Piece(rhythm, start, end, FIRST_MM, 3)
        return
    row = 0
    while start < end - 1e-9:
        for lead in reading.leads:
            yield Piece(lead, start, min(start + STRIP_S, end), FIRST_MM, row)
            row += 1
        start += STRIP_S


def _samples(reading: Reading, lead: str, start_s: float, end_s: float) -> np.ndarray:
    record = reading.record
    begin, end = (round(at * record.rate_hz) for at in (start_s, end_s))
    samples: np.ndarray = record.signal[record.leads.index(lead), begin : max(end, begin + 1)]
    return samples


def _median(samples: np.ndarray) -> float:
    valid = samples[~np.isnan(samples)]
    return float(np.median(valid)) if len(valid) else 0.0


def _range(reading: Reading, pieces: list[Piece], centre: dict[str, float]) -> tuple[float, float]:
    """Lowest and highest millivolts of a row around its centre, the pulse included."""
    low, high = 0.0, 1.0
    for piece in pieces:
        samples = _samples(reading, piece.lead, piece.start_s, piece.end_s).astype(np.float64) - centre[piece.lead]
        low = min(low, float(np.fmin.reduce(samples, initial=0.0)))
        high = max(high, float(np.fmax.reduce(samples, initial=0.0)))
    return low, high


def _lines(axes: "Axes", x: np.ndarray, y: np.ndarray, colour: str, width: float, name: str) -> None:
    """Straight lines from ``[N, 2]`` to ``[N, 2]`` as one path."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    corners = np.stack([x, y], axis=-1).reshape(-1, 2)
    outline = Outline(corners, np.tile([Outline.MOVETO, Outline.LINETO], len(x)))
    outline.should_simplify = False
    axes.add_patch(PathPatch(outline, edgecolor=colour, linewidth=width, fill=False, gid=name, zorder=1))


def _grid(axes: "Axes", bottom: float, height: float) -> None:
    """A line each millimetre, a darker one each five."""
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((EDGE_MM, bottom), GRID_MM, height, facecolor=PAPER, zorder=0))
    for step, colour, width in ((1, MINOR, 0.3), (5, MAJOR, 0.6)):
        across, up = np.arange(0, GRID_MM + 0.5, step), np.arange(0, height + 0.5, step)
        x = np.concatenate([np.stack([across, across], 1), np.tile([0.0, GRID_MM], (len(up), 1))]) + EDGE_MM
        y = np.concatenate([np.tile([0.0, height], (len(across), 1)), np.stack([up, up], 1)]) + bottom
        _lines(axes, x, y, colour, width, f"grid-{step}mm")


def _pulse(axes: "Axes", zero: float, row: int) -> None:
    """1 mV for 0.2 s."""
    x = np.array([2.5, 5, 5, 10, 10, 12.5]) + EDGE_MM
    y = np.array([0, 0, 1, 1, 0, 0]) * MM_PER_MV + zero
    axes.plot(x, y, color=INK, linewidth=0.9, gid=f"pulse-{row}", zorder=4)


def _piece(
    axes: "Axes",
    reading: Reading,
    scaled: Explanation | None,
    piece: Piece,
    zero: float,
    centre: float,
    edges: tuple[float, float],
) -> None:
    """A stretch of a lead between the `edges` of its row: shades, trace, name."""
    from matplotlib.patches import Rectangle

    (bottom, top), left = edges, EDGE_MM + piece.at_mm
    width = MM_PER_S * (piece.end_s - piece.start_s)
    row = Rectangle((left, bottom), width, top - bottom, transform=axes.transData)

    def shade(begin_s: float, end_s: float, **look: object) -> None:
        begin, end = max(begin_s, piece.start_s), min(end_s, piece.end_s)
        if end > begin:
            at = left + MM_PER_S * (begin - piece.start_s), bottom
            axes.add_patch(Rectangle(at, MM_PER_S * (end - begin), top - bottom, **look))  # type: ignore[arg-type]

    if reading.config is None or piece.lead in reading.config.leads:  # others were not judged
        for begin_s, end_s in reading.left_out_s():
            shade(begin_s, end_s, facecolor=GREY, alpha=0.25, linewidth=0, zorder=2)
    samples = _samples(reading, piece.lead, piece.start_s, piece.end_s).astype(np.float64) - centre
    rate = reading.record.rate_hz
    edge = np.flatnonzero(np.diff(np.isnan(samples), prepend=False, append=False))
    for begin_s, end_s in (piece.start_s + edge.reshape(-1, 2) / rate).tolist():
        shade(begin_s, end_s, facecolor="none", edgecolor=GREY, hatch="/////", linewidth=0, zorder=2)
    if scaled is not None and piece.lead in scaled.leads:
        _attributions(axes, scaled, piece, (left, left + width, bottom, top))

    at_s = round(piece.start_s * rate) / rate + np.arange(len(samples)) / rate
    x = left + MM_PER_S * (at_s - piece.start_s)
    y = zero + MM_PER_MV * samples
    (trace,) = axes.plot(x, y, color=INK, linewidth=0.8, zorder=4)
    trace.set_clip_path(row)
    if piece.at_mm > FIRST_MM:  # another lead begins
        axes.plot([left] * 2, [zero - 2.5, zero + 2.5], color=INK, linewidth=0.8, zorder=4)
    _say(axes, left + 1, top - 1, piece.lead, 9, "bold", va="top", box=True, most_mm=40)
    if not reading.twelve and (piece.start_s > reading.start_s or reading.start_s > 0):
        _say(axes, EDGE_MM + 1, bottom + 1, f"{said_s(piece.start_s)} s", 6, colour=GREY, va="bottom", most_mm=14)
    peak = float(np.fmax.reduce(np.abs(samples), initial=0.0))
    if np.any(y > top) or np.any(y < bottom):
        _say(axes, left + 14, top - 1, f"cut: up to {peak:.4g} mV", 7, colour=RED, va="top", box=True, most_mm=60)


def _scaled(reading: Reading, found: Explanation) -> Explanation:
    """The attributions as they are drawn: smoothed, and from -1 to 1."""
    from scipy.ndimage import gaussian_filter1d

    smooth = gaussian_filter1d(found.attribution.astype(np.float64), SMOOTHED_S * found.rate_hz, axis=1)
    first, last = (round(at * found.rate_hz) for at in (reading.start_s, reading.end_s))
    drawn = smooth[:, first:last]  # the rest of a long recording was not explained: zeros
    most = float(np.quantile(np.abs(drawn), 0.995)) or 1.0 if drawn.size else 1.0
    return replace(found, attribution=np.clip(smooth / most, -1, 1))


def _attributions(axes: "Axes", scaled: Explanation, piece: Piece, extent: tuple[float, float, float, float]) -> None:
    """Shades behind a trace, the darker the more a sample speaks for the class or against it."""
    begin, end = (round(at * scaled.rate_hz) for at in (piece.start_s, piece.end_s))
    row = scaled.attribution[scaled.leads.index(piece.lead), begin:end]
    if not row.size:  # the piece is shorter than a sample of the model
        return
    colours = np.empty((1, len(row), 4))
    colours[0, :, :3] = np.where(row[:, None] > 0, FOR, AGAINST)
    colours[0, :, 3] = 0.75 * np.abs(row)
    limits = axes.get_xlim(), axes.get_ylim()
    axes.imshow(colours, extent=extent, aspect="auto", interpolation="nearest", zorder=3)
    axes.set(xlim=limits[0], ylim=limits[1])


def _say(
    axes: "Axes",
    x: float,
    y: float,
    text: str,
    size: float,
    weight: str = "normal",
    *,
    most_mm: float,
    colour: str = INK,
    va: str = "baseline",
    ha: str = "left",
    box: bool = False,
) -> None:
    """`text` as it is: one line, no mathematics, cut where there is no room."""
    behind = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.5, "alpha": 0.8} if box else None
    axes.text(
        x, y, cut(text, most_mm, size), size=size, weight=weight, color=colour, va=va, ha=ha, bbox=behind,
        parse_math=False, zorder=5,
    )  # fmt: skip


def letters(most_mm: float, size: float) -> int:
    """How many letters of `size` points about fit."""
    return max(1, int(most_mm / (0.21 * size)))


def cut(text: str, most_mm: float, size: float) -> str:
    """Printable `text`, both ends of it where it is too long."""
    said, most = printable(text), letters(most_mm, size)
    return said if len(said) <= most else f"{said[: most // 2 - 1]}…{said[len(said) - most // 2 :]}"


def _head(axes: "Axes", reading: Reading, top: float) -> None:
    record = reading.record
    half = SHEET_MM / 2 - EDGE_MM
    _say(axes, EDGE_MM, top - 6, record.source, 10, "bold", most_mm=1.4 * half)
    hidden = [lead for lead in record.leads if lead not in reading.leads]
    said = [
        f"{record.rate_hz:g} Hz",
        f"{said_s(reading.start_s)} to {said_s(reading.end_s)} s of {said_s(reading.seconds)} s",
    ]
    said += [f"not drawn: {', '.join(hidden)}"] if hidden else []
    _say(axes, EDGE_MM, top - 11.5, "  ·  ".join(said), 8, colour=GREY, most_mm=1.2 * half)
    right = SHEET_MM - EDGE_MM
    _say(axes, right, top - 6, "25 mm/s, 10 mm/mV", 8, ha="right", most_mm=half)
    disclaimer = "ecgzoo. Research use only. Not a medical device."
    _say(axes, right, top - 11.5, disclaimer, 8, ha="right", colour=GREY, most_mm=half)


@dataclass(frozen=True)
class Line:
    """A line below the strips: a text or, with a probability, a bar."""

    text: str
    colour: str = INK
    weight: str = "normal"
    probability: float | None = None
    finding: str = ""
    limits: tuple[float, ...] = ()


def _below(reading: Reading, explanation: Explanation | None) -> list[list[Line]]:
    """Left what a model says, right what the signal is like; without a model, both columns for the signal."""
    signal = list(_signal_lines(reading))
    if explanation:
        signal.append(
            Line(
                f"Shaded: orange speaks for {explanation.label}, blue against it; logit {explanation.logit:.2f}, of "
                f"flat lines {explanation.baseline_logit:.2f}"
            )
        )
    wrapped = [
        Line(text, line.colour, line.weight)
        for line in signal
        for text in textwrap.wrap(printable(line.text)[:400], letters(COLUMN_MM, 7.5))
    ]
    if reading.prediction is None:
        middle = ceil(len(wrapped) / 2) if len(wrapped) > 4 else len(wrapped)
        return [wrapped[:middle], wrapped[middle:]]
    return [list(_finding_lines(reading)), wrapped]


def _finding_lines(reading: Reading) -> Iterator[Line]:
    prediction, config = reading.prediction, reading.config
    assert prediction is not None
    assert config is not None
    leads = f"lead {', '.join(config.leads)}" if len(config.leads) < 7 else f"{len(config.leads)} leads"
    yield Line(f"{config.architecture}, {config.task or 'no task'}, {leads}", INK, "bold")
    if prediction.unreadable:
        for text in textwrap.wrap(f"Unreadable: {printable(prediction.unreadable)}", letters(COLUMN_MM, 7.5))[:6]:
            yield Line(text, RED)
        return
    ranked = sorted(zip(prediction.probabilities, prediction.classes, strict=True), reverse=True)
    for probability, label in ranked[:MOST_LABELS]:
        finding = prediction.findings.get(label)
        points = config.thresholds.get(label, {})
        limits = (points["lower"], points["upper"]) if points else ()
        name = config.class_info.get(label, {}).get("name", "")
        said = f"{label} {name}" if name else label
        colour = COLOURS[finding or "absent"]
        yield Line(said, colour, probability=probability, finding=finding or "no threshold", limits=limits)
    if len(ranked) > MOST_LABELS:
        yield Line(f"and {len(ranked) - MOST_LABELS} less probable labels", GREY)
    yield Line("Bar: probability. Between the two marks a finding is uncertain.", GREY)


def _signal_lines(reading: Reading) -> Iterator[Line]:
    quality, prediction = reading.quality, reading.prediction
    out = int((~quality.usable).sum())
    windows = len(quality.index)
    if windows:
        yield Line(
            f"Signal quality {np.median(quality.index):.2f} (0 to 1), {out} of {windows} windows of "
            f"{reading.window_s:g} s left out{', shaded grey' if out else ''}",
            INK,
            "bold",
        )
    rate = quality.heart_rate_bpm
    yield Line("Heart rate not sure" if rate is None else f"Heart rate {rate:.0f}/min")
    if quality.unreadable and prediction is None:
        yield Line(f"Unreadable: {quality.unreadable}", RED)
    notes = prediction.notes if prediction else (*reading.record.notes, *reading.record.problems(), *quality.notes)
    if np.isnan(reading.record.signal).any():
        yield Line("Hatched: missing samples", GREY)
    for note in notes[:MOST_NOTES]:
        yield Line(f"Note: {note}")
    if len(notes) > MOST_NOTES:
        yield Line(f"and {len(notes) - MOST_NOTES} more notes", GREY)


def _column(axes: "Axes", lines: list[Line], x: float, top: float) -> None:
    from matplotlib.patches import Rectangle

    for number, line in enumerate(lines):
        y = top - LINE_MM * (number + 0.8)
        if line.probability is None:
            _say(axes, x, y, line.text, 7.5, line.weight, colour=line.colour, most_mm=COLUMN_MM)
            continue
        bar, long = x + 48, 50.0
        _say(axes, x, y, line.text, 7.5, most_mm=46)
        axes.add_patch(Rectangle((bar, y - 0.6), long, 3, facecolor="#eceff1", zorder=2))
        axes.add_patch(Rectangle((bar, y - 0.6), long * line.probability, 3, facecolor=line.colour, zorder=3))
        for limit in line.limits:
            axes.plot([bar + long * limit] * 2, [y - 1.1, y + 2.9], color=INK, linewidth=0.8, zorder=4)
        said = f"{line.probability:.3f} {line.finding}"
        _say(axes, bar + long + 2, y, said, 7.5, colour=INK, most_mm=30)
