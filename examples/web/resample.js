// The same filter as ecgzoo.signal.resample: a sinc under a Kaiser window of 5.0, each phase scaled to a sum of 1; the
// signal is continued at its ends by its reflection in the first and the last sample.

const ZERO_CROSSINGS = 10;
const FINEST = 10000;
const BETA = 5;

/** `samples` at another rate, in single precision. */
export function resample(samples, rate, newRate) {
  if (rate === newRate) return Float32Array.from(samples);
  const [up, down] = ratioOf(newRate / rate);
  const half = ZERO_CROSSINGS * Math.max(up, down);
  const taps = filterOf(up, down, half);
  const last = samples.length - 1;
  const out = new Float32Array(Math.ceil((samples.length * up) / down));
  for (let j = 0; j < out.length; j++) {
    const centre = j * down; // at `up` times the rate
    const end = Math.floor((centre + half) / up);
    let sum = 0;
    for (let k = Math.ceil((centre - half) / up); k <= end; k++) {
      const sample =
        k < 0 ? 2 * samples[0] - samples[-k] : k > last ? 2 * samples[last] - samples[2 * last - k] : samples[k];
      sum += sample * taps[centre - k * up + half];
    }
    out[j] = sum;
  }
  return out;
}

function filterOf(up, down, half) {
  const cutoff = 1 / Math.max(up, down);
  const taps = Float64Array.from({ length: 2 * half + 1 }, (_, at) => {
    const x = Math.PI * cutoff * (at - half);
    return (x ? Math.sin(x) / x : 1) * besselI0(BETA * Math.sqrt(1 - ((at - half) / half) ** 2));
  });
  for (let phase = 0; phase < up; phase++) {
    let sum = 0;
    for (let at = phase; at < taps.length; at += up) sum += taps[at];
    for (let at = phase; at < taps.length; at += up) taps[at] /= sum;
  }
  return taps;
}

function besselI0(x) {
  let sum = 1;
  for (let term = 1, k = 1; term > 1e-17 * sum; k++) {
    term *= (x / 2 / k) ** 2;
    sum += term;
  }
  return sum;
}

/** The nearest fraction with a denominator of FINEST at most, as Python's Fraction.limit_denominator. */
function ratioOf(value) {
  let [p0, q0, p1, q1] = [0, 1, 1, 0];
  for (let rest = value; ;) {
    const whole = Math.floor(rest);
    if (q0 + whole * q1 > FINEST) break;
    [p0, q0, p1, q1] = [p1, q1, p0 + whole * p1, q0 + whole * q1];
    if (Math.abs(p1 / q1 - value) <= 1e-15 * value) return [p1, q1];
    rest = 1 / (rest - whole);
  }
  const times = Math.floor((FINEST - q0) / q1);
  const [p, q] = [p0 + times * p1, q0 + times * q1];
  return Math.abs(p1 / q1 - value) <= Math.abs(p / q - value) ? [p1, q1] : [p, q];
}
