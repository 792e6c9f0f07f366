"""write_report: a recording and what a model says of it, as one page of HTML that needs nothing else.

No script, no network: the strip is inline SVG, bars are boxes, and a content security policy refuses everything else.
Whatever a file says is escaped by `_text`.
"""

import io
import re
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

import numpy as np

from ecgzoo.errors import WeightsError, printable
from ecgzoo.files import write_text
from ecgzoo.model import EcgModel
from ecgzoo.show.explain import Explanation, explain_reading
from ecgzoo.show.paper import check_suffix, draw, save
from ecgzoo.show.reading import Reading, look, said_s
from ecgzoo.signal import Record
from ecgzoo.weights.folder import unchanged_sha256

DISCLAIMER = "Research use only. Not a medical device."
FORMATS = ("html", "htm")
MOST_WINDOWS = 200  # rows of the table

STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --page: #ffffff; --soft: #5b6670; --line: #d5dade; --track: #e9edf0;
  --present: #b3261e; --uncertain: #c77d12; --absent: #8a959e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaed; --page: #14181c; --soft: #9aa6b0; --line: #343c44;
  --track: #2a3138; --present: #ef6b61; --uncertain: #e5a13f; --absent: #77838d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; font: 16px/1.45 system-ui, sans-serif; color: var(--ink);
  background: var(--page); overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .5rem; }
p { margin: .3rem 0; } .soft { color: var(--soft); } .warn { border: 1px solid var(--present); border-radius: 6px;
  padding: .5rem .75rem; margin: .75rem 0; }
.strip { overflow-x: auto; background: #ffffff; border-radius: 6px; } .strip svg { display: block; width: 100%;
  min-width: 48rem; height: auto; }
.row { display: grid; grid-template-columns: minmax(8rem, 16rem) 1fr 9rem; gap: .25rem .75rem; align-items: center;
  margin: .35rem 0; }
.bar { position: relative; height: 1rem; background: var(--track); border-radius: 3px; }
.bar i { position: absolute; inset: 0 auto 0 0; border-radius: 3px; }
.bar b { position: absolute; top: -.2rem; bottom: -.2rem; width: 2px; background: var(--ink); }
.present { background: var(--present); } .uncertain { background: var(--uncertain); }
.absent { background: var(--absent); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); }
th, td:first-child { overflow-wrap: normal; }
footer { margin-top: 2rem; padding-top: .5rem; border-top: 1px solid var(--line); }
@media (max-width: 40rem) { .row { grid-template-columns: 1fr auto; } .row .bar { grid-column: 1 / -1; grid-row: 2; } }
@media print { .strip { overflow: visible; } .strip svg { width: 272mm; } }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write_report(
    record: Record, model: EcgModel, path: str | Path, *, explain: str | None = None, start_s: float = 0.0
) -> None:
    """Write one self-contained page: the recording, what the model says of it, its quality, what the model is.

    The page holds no script and asks no network. It shows in light and dark, and on a phone.

    Args:
        record: the recording.
        model: a trained one.
        path: where to write the page; ends with ``.html`` or ``.htm``.
        explain: one of the model's classes; what speaks for it is shaded (`ecgzoo.explain`).
        start_s: where the stretch that is drawn begins, in seconds.

    Raises:
        EcgZooError: another ending, the model cannot read the record or has no such class, or no page can be written.
        WeightsError: what the config says of the model's figures is of a wrong form.
    """
    check_suffix(path, FORMATS)
    reading = look(record, model, start_s)
    explanation = explain_reading(model, reading, explain, reading.start_s, reading.end_s) if explain else None
    strip = _svg(reading, explanation)
    try:
        about = list(_about(model))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise WeightsError(f"the config's metrics or training cannot be shown ({error!r})") from error
    said = "" if explanation is None else (
        f'<p class="soft">Orange speaks for {_text(explanation.label)}, blue against it: integrated gradients of its '
        f"logit {explanation.logit:.2f}, from a flat line with {explanation.baseline_logit:.2f}. It is what the model "
        "used, and no proof that the model is right.</p>"
    )  # fmt: skip
    title = _text(record.source)
    write_text(
        Path(path),
        f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p class="soft">{_text(", ".join(record.leads))} · {record.rate_hz:g} Hz · {said_s(reading.seconds)} s, of which
{said_s(reading.start_s)} to {said_s(reading.end_s)} s are shown · 25 mm/s, 10 mm/mV</p>
<p class="warn"><strong>{DISCLAIMER}</strong></p>
<div class="strip">{strip}</div>
{said}
<h2>Findings</h2>
{"".join(_findings(reading))}
<h2>Signal quality</h2>
{"".join(_quality(reading))}
<h2>Notes</h2>
{_list(reading.prediction.notes if reading.prediction else ())}
<h2>The model</h2>
{_table((), about)}
<footer class="soft">{DISCLAIMER} Written by ecgzoo.</footer>
</body>
</html>
""",
    )


def _text(said: object) -> str:
    """`said` in one line that HTML shows as it is."""
    return escape(printable(said), quote=True)


def _svg(reading: Reading, explanation: Explanation | None) -> str:
    """The strips as an element of the page."""
    drawn = io.BytesIO()
    save(draw(reading, explanation, panel=False), drawn, "svg")
    svg = drawn.getvalue().decode()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], count=1, flags=re.DOTALL)
    return svg.replace("<svg", '<svg role="img" aria-label="ECG strips"', 1)


def _findings(reading: Reading) -> Iterator[str]:
    """One bar per label, the most probable first."""
    prediction, config = reading.prediction, reading.config
    assert prediction is not None
    assert config is not None
    if prediction.unreadable:
        yield f'<p class="warn"><strong>Unreadable.</strong> {_text(prediction.unreadable)}</p>'
        return
    for probability, label in sorted(zip(prediction.probabilities, prediction.classes, strict=True), reverse=True):
        finding = prediction.findings.get(label)
        points = config.thresholds.get(label, {})
        found = finding or "no threshold"
        marks = "".join(f'<b style="left:{100 * points[name]:.1f}%"></b>' for name in ("lower", "upper") if points)
        name = config.class_info.get(label, {}).get("name", "")
        yield (
            f'<div class="row"><span>{_text(name or label)}{f" ({_text(label)})" if name else ""}</span>'
            f'<span class="bar"><i class="{finding or "absent"}" style="width:{100 * probability:.1f}%"></i>{marks}'
            f"</span><span>{probability:.3f} {found}</span></div>\n"
        )
    yield '<p class="soft">Calibrated probability of each label. Between the two marks a finding is uncertain.</p>'


def _quality(reading: Reading) -> Iterator[str]:
    """What was found in all windows, then a row a window."""
    quality = reading.quality
    out = int((~quality.usable).sum())
    rate = "not sure" if quality.heart_rate_bpm is None else f"{quality.heart_rate_bpm:.0f}/min"
    yield (
        f"<p>Median {np.median(quality.index):.2f} (0 to 1). {out} of {len(quality.index)} windows left out"
        f"{', grey in the strip' if out else ''}. Heart rate {rate}.</p>"
    )
    read = "usable" if reading.prediction and reading.prediction.unreadable else "read"
    chosen = sorted(np.lexsort([quality.starts_s, quality.usable])[:MOST_WINDOWS].tolist())
    rows = [
        (
            f"{said_s(quality.starts_s[w])} to {said_s(quality.starts_s[w] + reading.window_s)} s",
            f"{quality.index[w]:.2f}",
            f"left out: {'; '.join(quality.reasons[w])}" if quality.reasons[w] else read,
        )
        for w in chosen
    ]
    yield _table(("window", "quality", "result"), rows)
    if len(chosen) < len(quality.index):
        yield f'<p class="soft">{len(chosen)} of {len(quality.index)} windows, those left out first.</p>'


def _about(model: EcgModel) -> Iterator[tuple[str, str]]:
    """What it is, and on what it was measured, from its config."""
    config, source = model.config, model.weights_source
    yield "backbone", config.architecture
    if source:
        yield "weights", f"{source.origin}: {source.location}, sha256 {source.sha256}"
        changes = source.adapted or (() if unchanged_sha256(model) else ("the weights are not those of this file",))
        if changes:
            yield "changed since", "; ".join(changes)
    yield "task", str(config.task)
    yield "leads", ", ".join(config.leads)
    yield "windows", f"{config.window_s:g} s every {config.stride_s:g} s at {config.rate_hz:g} Hz, {config.aggregation}"
    training, metrics = config.training, config.metrics
    simulated = " (simulated)" if training.get("simulated") else ""
    yield (
        "trained on",
        f"{training['data']}{simulated}, folds {training['train_folds']}" if training else "not recorded",
    )
    yield "calibrated on", config.calibrated_on or "nothing"
    if not metrics:
        yield "measured on", "not recorded"
    else:
        simulated = " (simulated)" if metrics.get("simulated") else ""
        chosen = "; epoch and thresholds were chosen on these records" if metrics.get("chosen_on_these_folds") else ""
        folds = ", ".join(map(str, metrics["folds"]))
        yield "measured on", f"{metrics['records']} records of {metrics['data']}{simulated}, folds {folds}{chosen}"
        low, high = metrics["ci"]
        yield "macro AUC", f"{metrics['macro_auc']:.3f} (95 % interval {low:.3f} to {high:.3f})"
        for label, auc in metrics.get("per_class", {}).items():
            yield f"AUC of {label}", "not known" if auc is None else f"{auc:.3f}"
    yield "license", config.license
    yield "intended use", config.intended_use


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    top = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f'<div class="scroll"><table>{f"<tr>{top}</tr>" if top else ""}{body}</table></div>'


def _list(said: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(item)}</li>" for item in said)
    return f"<ul>{items}</ul>" if items else "<p>None.</p>"
