// A lead on ECG paper: 25 mm/s and 10 mm/mV, a line each mm and a darker one each 5 mm.

const MM = 96 / 25.4; // CSS pixels
const [PER_S, PER_MV, BOX] = [25 * MM, 10 * MM, 5 * MM];
const LONGEST_S = 60;
const TALLEST = 6; // boxes above and below the middle of a row
const [PAPER, FINE, COARSE, INK] = ["#fff7f5", "#f8ddd8", "#efb5ac", "#1d2329"];

/** Draws as many rows as the width of the page needs; returns what the picture shows. */
export function draw(canvas, millivolts, rate) {
  const perRow = Math.max(1, Math.floor(canvas.parentElement.clientWidth / BOX)) * BOX;
  const shown = millivolts.subarray(0, Math.round(LONGEST_S * rate));
  const middle = Float32Array.from(shown).sort()[shown.length >> 1];
  const furthest = shown.reduce((most, value) => Math.max(most, Math.abs(value - middle)), 0);
  const boxes = Math.min(TALLEST, Math.max(2, Math.ceil((furthest * PER_MV) / BOX)));
  const width = Math.min(perRow, Math.ceil(((shown.length / rate) * PER_S) / BOX) * BOX);
  const rows = Math.ceil(((shown.length / rate) * PER_S) / width - 1e-9);
  const height = 2 * boxes * BOX;

  const scale = window.devicePixelRatio;
  canvas.width = Math.round((width + 1) * scale);
  canvas.height = Math.round((rows * (height + BOX) - BOX + 1) * scale);
  canvas.style.width = `${width + 1}px`;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.font = "11px system-ui, sans-serif";
  for (let row = 0; row < rows; row++) {
    context.save();
    context.translate(0, row * (height + BOX));
    context.beginPath();
    context.rect(0, 0, width + 1, height + 1);
    context.clip();
    grid(context, width, height);
    trace(context, shown, rate, (row * width) / PER_S, width, (value) => height / 2 - (value - middle) * PER_MV);
    context.fillStyle = INK;
    context.fillText(`${+((row * width) / PER_S).toFixed(1)} s`, 4, height - 5);
    context.restore();
  }
  const cut = furthest * PER_MV > boxes * BOX ? ` The trace is cut: it reaches ${furthest.toFixed(1)} mV.` : "";
  const part = shown.length < millivolts.length ? ` The first ${LONGEST_S} s are drawn.` : "";
  return `25 mm/s, 10 mm/mV.${part}${cut}`;
}

function grid(context, width, height) {
  context.fillStyle = PAPER;
  context.fillRect(0, 0, width + 1, height + 1);
  for (const [step, colour] of [
    [MM, FINE],
    [BOX, COARSE],
  ]) {
    context.beginPath();
    for (let x = 0; x < width + 0.5; x += step) line(context, x, 0, x, height);
    for (let y = 0; y < height + 0.5; y += step) line(context, 0, y, width, y);
    context.lineWidth = 1;
    context.strokeStyle = colour;
    context.stroke();
  }
}

function line(context, x0, y0, x1, y1) {
  context.moveTo(x0 + 0.5, y0 + 0.5);
  context.lineTo(x1 + 0.5, y1 + 0.5);
}

function trace(context, millivolts, rate, start, width, yOf) {
  context.beginPath();
  const end = Math.min(millivolts.length - 1, Math.ceil((start + width / PER_S) * rate));
  for (let at = Math.max(0, Math.floor(start * rate)); at <= end; at++) {
    context.lineTo((at / rate - start) * PER_S, yOf(millivolts[at]));
  }
  context.lineWidth = 1.3;
  context.lineJoin = "round";
  context.strokeStyle = INK;
  context.stroke();
}
