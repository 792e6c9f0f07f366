// The page: what the file does not say is asked for, nothing is guessed, and nothing leaves the browser.
import { loadModel, score } from "./model.js";
import { draw } from "./paper.js";
import { leadOf, perMillivolt, read } from "./read.js";
import { resample } from "./resample.js";

const LONGEST_S = 600; // all windows are in memory at once
const [SLOWEST_HZ, FASTEST_HZ] = [10, 100e3]; // as Record
const PIECE_S = 2; // contains a heartbeat
const [SMALLEST_MV, LARGEST_MV] = [0.03, 12]; // as Python's limits
const LOWEST_SHARE_OF_RATE = 0.75; // of the model's rate, as in Python: lower rates move the probabilities
const part = (id) => document.getElementById(id);
let model, drawn;

async function start() {
  model = await loadModel("model.onnx");
  const { tag, architecture, leads, rate_hz, window: samples, sha256 } = model.about;
  const weights = sha256 ? `, weights ${sha256.slice(0, 12)}` : "";
  part("model").textContent =
    `${tag ?? architecture}: lead ${leads.join(", ")}, ${rate_hz} Hz, windows of ${samples / rate_hz} s${weights}`;
  part("files").disabled = false;
}

async function open(list) {
  const files = [...list];
  reset();
  const recording = await read(files);
  const asked = questionsFor(recording);
  if (asked.length) ask(recording, asked);
  else await show(recording, {});
}

/** What must be known and the file does not say: [name, text, choices or null for a number]. */
function questionsFor({ name, rate, channels }) {
  const asked = [];
  const read = []; // what the model may read
  const known = channels.map((channel) => leadOf(channel.name ?? "")).filter(Boolean);
  const twice = known.find((lead, at) => known.indexOf(lead) < at);
  if (twice) throw new Error(`${name}: lead ${twice} occurs twice; rename or drop one of them`);
  for (const lead of model.about.leads) {
    const said = channels.find((channel) => leadOf(channel.name ?? "") === lead);
    if (said) {
      read.push(said);
      continue;
    }
    const isFree = ({ name, unit }) => !leadOf(name ?? "") && (unit === null || perMillivolt(unit));
    const free = channels.map((channel, at) => [at, channel]).filter(([, channel]) => isFree(channel));
    if (!free.length) {
      throw new Error(
        `${name}: has lead ${channels.map((channel) => channel.name).join(", ")}; the model reads ${lead}`,
      );
    }
    const choices = free.map(([at, channel]) => [at, channel.name ?? "the only column"]);
    read.push(...free.map(([, channel]) => channel));
    asked.push([`lead ${lead}`, `Which one is lead ${lead}?`, choices]);
  }
  if (rate === null) asked.push(["rate", "Samples per second (Hz)", null]);
  if (read.some((channel) => channel.unit === null)) {
    asked.push([
      "unit",
      "Unit of the samples",
      [
        ["mV", "mV"],
        ["uV", "µV"],
        ["V", "V"],
      ],
    ]);
  }
  return asked;
}

function ask(recording, asked) {
  const form = part("questions");
  const title = document.createElement("p");
  title.textContent = `${recording.name} does not say:`;
  const fields = asked.map(([name, text, choices]) => {
    const label = document.createElement("label");
    const field = document.createElement(choices ? "select" : "input");
    Object.assign(field, choices ? { name, required: true } : { name, required: true, inputMode: "decimal", size: 8 });
    if (choices) field.append(new Option("choose", ""), ...choices.map(([value, said]) => new Option(said, value)));
    label.append(`${text} `, field);
    return label;
  });
  const button = document.createElement("button");
  button.textContent = "Show";
  form.replaceChildren(title, ...fields, button);
  form.onsubmit = (event) => {
    event.preventDefault();
    part("error").hidden = true;
    const answers = Object.fromEntries(new FormData(form));
    show(recording, answers)
      .then(() => (form.hidden = true))
      .catch(fail);
  };
  form.hidden = false;
}

async function show(recording, answers) {
  const { leads, rate_hz: needed, window: samples } = model.about;
  const rate = recording.rate ?? Number(answers.rate);
  if (!(rate >= SLOWEST_HZ && rate <= FASTEST_HZ)) {
    throw new Error(
      `${recording.name}: ${recording.rate ?? answers.rate} is not a rate in Hz that the model can be given`,
    );
  }
  if (rate < LOWEST_SHARE_OF_RATE * needed) {
    const least = `which needs at least ${LOWEST_SHARE_OF_RATE * needed} Hz`;
    throw new Error(`${recording.name}: ${+rate.toFixed(3)} Hz is too low for a model of ${needed} Hz, ${least}`);
  }
  const columns = leads.map((lead) => answers[`lead ${lead}`]).filter(Boolean);
  if (new Set(columns).size < columns.length) {
    throw new Error(`${recording.name}: one column was chosen for two leads; choose another one for each`);
  }
  const millivolts = leads.map((lead) => {
    const chosen = recording.channels[answers[`lead ${lead}`]];
    const channel = chosen ?? recording.channels.find(({ name }) => leadOf(name ?? "") === lead);
    const scale = perMillivolt(channel.unit ?? answers.unit);
    const what = `${recording.name}: ${channel.name ?? "its column"}`;
    if (!scale) throw new Error(`${what} is in ${channel.unit}, which is not a voltage`);
    const missing = channel.samples.findIndex((value) => !Number.isFinite(value));
    if (missing >= 0)
      throw new Error(`${what} has no sample at ${(missing / rate).toFixed(2)} s; fill the gap or cut there`);
    return Float32Array.from(channel.samples, (value) => value / scale);
  });
  const seconds = millivolts[0].length / rate;
  if (seconds > LONGEST_S)
    throw new Error(`${recording.name}: is longer than ${LONGEST_S / 60} minutes; cut it into parts`);
  if (Math.ceil(seconds * needed - 1e-9) < samples) {
    throw new Error(`${recording.name}: has ${+seconds.toFixed(3)} s; the model needs ${samples / needed} s at least`);
  }
  for (const [at, lead] of millivolts.entries()) {
    const problem = wrongSize(lead, Math.round(PIECE_S * rate));
    if (problem) throw new Error(`${recording.name}: lead ${leads[at]} ${problem}`);
  }
  const rows = await score(
    model,
    millivolts.map((lead) => resample(lead, rate, needed)),
  );
  if (!rows.every(({ probability }) => Number.isFinite(probability))) {
    throw new Error(`${recording.name}: the model gives no probabilities for it; are its samples in the right unit?`);
  }
  const resampled = rate === needed ? "" : `, resampled to ${needed} Hz`;
  part("recording").textContent =
    `${recording.name}: lead ${leads.join(", ")}, ${+rate.toFixed(3)} Hz${resampled}, ${seconds.toFixed(1)} s`;
  part("findings").replaceChildren(...rows.sort((a, b) => b.probability - a.probability).map(rowOf));
  part("result").hidden = false;
  drawn = [millivolts[0], rate];
  redraw();
}

/** What is wrong if most pieces do not range over as much as heartbeats do: the numbers are in another unit. */
function wrongSize(millivolts, piece) {
  const pieces = Math.max(1, Math.floor(millivolts.length / piece));
  const ranges = Array.from({ length: pieces }, (_, at) => {
    const part = millivolts.subarray(at * piece, (at + 1) * piece);
    return part.reduce((a, b) => Math.max(a, b)) - part.reduce((a, b) => Math.min(a, b));
  });
  const most = (isSo) => 2 * ranges.filter(isSo).length > pieces;
  const beats = `in ${PIECE_S} s, and heartbeats over about 1 mV`;
  if (most((range) => range > LARGEST_MV))
    return `ranges over more than ${LARGEST_MV} mV ${beats}: are its samples microvolts? Correct the unit`;
  if (most((range) => range < SMALLEST_MV))
    return `ranges over less than ${SMALLEST_MV} mV ${beats}: are its samples volts, or was an electrode off?`;
  return null;
}

function rowOf({ label, name, probability, thresholds, finding }) {
  const row = document.createElement("tr");
  const between = thresholds ? `${thresholds.lower.toFixed(3)} to ${thresholds.upper.toFixed(3)}` : "no thresholds";
  const texts = [name === label ? label : `${name} (${label})`, probability.toFixed(3), finding ?? "", between];
  row.dataset.label = label;
  row.dataset.probability = probability;
  row.append(...texts.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
  row.children[1].className = "number";
  row.children[2].className = finding ?? "";
  return row;
}

function redraw() {
  if (drawn) part("scale").textContent = draw(part("paper"), ...drawn);
}

function reset() {
  drawn = undefined;
  for (const id of ["error", "questions", "result"]) part(id).hidden = true;
}

function fail(error) {
  part("error").textContent = error.message;
  part("error").hidden = false;
}

part("files").addEventListener("change", ({ target }) => {
  if (target.files.length) open(target.files).catch(fail);
  target.value = ""; // so that the same file can be chosen again
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    part("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && model && event.dataTransfer.files.length) open(event.dataTransfer.files).catch(fail);
  });
}
window.addEventListener("resize", redraw);
start().catch((error) => {
  part("model").textContent = `The model cannot be loaded: ${error.message}.`;
});
