// Files to { name, rate, channels: [{ name, unit, samples }] }. What a file does not say is null: the page asks for it.

const LARGEST = 64e6; // bytes
const PER_MILLIVOLT = byUnit({
  "v volt volts в": 1e-3,
  "mv mvolt mvolts millivolt millivolts мв": 1,
  "uv µv μv mcv мкв âµv uvolt uvolts µvolt µvolts μvolt μvolts microvolt microvolts": 1e3, // âµv: UTF-8 as Latin-1
  "nv nanovolt nanovolts": 1e6,
});
const SECONDS = byUnit({
  "h hour hours": 3600,
  "min mins minute minutes": 60,
  "s sec secs second seconds": 1,
  "ms msec msecs millis millisecond milliseconds": 1e-3,
  "us µs μs usec micros microsecond microseconds": 1e-6,
  "ns nsec nanos nanosecond nanoseconds": 1e-9,
});
const OTHER_UNITS = new Set(["", "-", "%", "a.u.", "au", "bpm", "g", "mg", "mmhg", "nu", "ohm", "pm"]); // in a line of units
const MEASURED = new Set(["bpm", "1/min", "%", "ohm", "kohm", "ms", "s"]); // on an ECG, such as "ECG HR"
const TIME_WORDS = "time|times|time[ _]?stamps?|zeit|zeitstempel|temps|tiempo|tempo";
const TIMES = new RegExp(
  `^(?:t(?:_[^_]+|[ -](?:min|\\S*s))?|.*(?:^|[ _-])(?:${TIME_WORDS}|elapsed|epoch|unix|stamp)(?:[ _-].*)?)$`,
  "i",
);
const IS_TIME = new RegExp(`^elapsed$|${TIME_WORDS}`, "i"); // whether or not its numbers rise
const COUNTS = /^(?:#|n|unnamed: 0|index|row|samples?(?:[ _](?:#|no\.?|number|index))?)$/i;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
// 1,234 beside 20 may be 1234 or 1.234; with one of these commas, or without whole numbers, it is 1.234
const DECIMAL_COMMA = /(?<!\d),|,(?!\d{3}(?!\d))|,\d{3}e|(?<![\d,])0\d*,|\d{4},/i;
const WHOLE_NUMBER = /(?<![\d,])\d+(?![\d,])/;
const RATE_ABOVE =
  /(?:sampl\w*[ _-]?(?:rate|freq\w*)|\bfs\b)[^\d\n]{0,20}(?<![a-z\d])(\d{1,9}(?:\.\d{1,9})?)(?![.,]?\d)\s*(k?)/gi;
const UNIT_ABOVE = /\bunits?\b[^\p{L}\p{N}_]{1,5}([^\s,;"'\])]{1,20})/giu;
const HERTZ = /^(\d{1,6}(?:[.,]\d{1,6})?)\s*(?:hz|hertz|hertzios|hercios|герц|赫兹|赫茲|ヘルツ|헤르츠)$/i;
const NO_VALUE = /^(?:null|none|na|#?n\/a)$/i; // what some programs write where a sample is missing
const LOOKED_AT = 50; // rows, to tell a 0 that is a sample from one that is not
const INVALID = -32768; // a sample of WFDB's format 16 that was not recorded

function byUnit(values) {
  return new Map(Object.entries(values).flatMap(([units, value]) => units.split(" ").map((unit) => [unit, value])));
}

/** Units in a millivolt, or undefined if the unit is not a voltage. */
export const perMillivolt = (unit) => PER_MILLIVOLT.get(unit.trim().toLowerCase());

/** The lead that a channel's name means, such as II for `MLII` or `ECG ii`; undefined for none of the twelve. */
export function leadOf(name) {
  const key = name.toLowerCase().replace(/[\s_]/g, "");
  const found = /^(?:lead|ecg|ekg|ecglead|mdcecglead|d(?=i)|ml(?=i))?(i{1,3}|av[rlf]|v[1-6])$/.exec(key)?.[1];
  return found && (found.startsWith("av") ? `aV${found[2].toUpperCase()}` : found.toUpperCase());
}

/** The recording in one file, or in the two files of a WFDB record. */
export async function read(files) {
  const header = files.find((file) => file.name.endsWith(".hea"));
  if (files.length > (header ? 2 : 1)) throw new Error(`${files.length} files were given; give one recording`);
  const large = files.find((file) => file.size > LARGEST);
  if (large) throw new Error(`${large.name} has more than ${LARGEST / 1e6} MB; cut it into parts`);
  const contents = await Promise.all(files.map((file) => file.arrayBuffer()));
  const [{ name }] = files;
  try {
    if (header) {
      const samples = files.findIndex((file) => file !== header);
      const text = decoded(contents[files.indexOf(header)]);
      return { name: header.name, ...wfdb(text, files[samples]?.name, contents[samples]) };
    }
    const head = new TextDecoder("latin1").decode(contents[0].slice(0, 8));
    if (head === "0       ") return { name, ...edf(contents[0]) };
    const text = decoded(contents[0]);
    if (text.includes("\0")) throw new Error("is not text, EDF or a WFDB record (.hea and .dat together)");
    return { name, ...csv(text) };
  } catch (error) {
    throw new Error(`${(header ?? files[0]).name}: ${error.message}`, { cause: error });
  }
}

/** UTF-8, or else Latin-1, whose lone byte is the µ of µV. */
function decoded(content) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    return new TextDecoder("latin1").decode(content);
  }
}

/** Text: a line a sample; the line above names the columns: `I`, `I (mV)`, `time (ms)`; units may have their own. */
export function csv(text) {
  const lines = text.replace(/^\uFEFF/, "").split(/\r{1,2}\n|\n|\r/);
  while (lines.length && !lines.at(-1).trim()) lines.pop();
  if (isNumbered(lines)) lines[0] = "";
  let first = lines.findIndex((line) => {
    const fields = fieldsOf(line, delimiterOf(line));
    return fields.some(Boolean) && isRow(fields);
  });
  if (first < 0) throw new Error("has no line of numbers");
  const apple = appleHeader(lines.slice(0, first), lines[first]);
  const delimiter = apple ? /\s+/ : delimiterOf(lines[first]);
  const columns = fieldsOf(lines[first], delimiter).length;
  const isEmptyRow = (line) => line.trim() && fieldsOf(line, delimiter).join("|") === "|".repeat(columns - 1);
  while (first && isEmptyRow(lines[first - 1])) first--; // samples that are missing, as the first ones often are
  const { header, ...above } = apple ?? aboveOf(lines.slice(0, first), delimiter, columns);
  if (header && header.length !== columns) {
    throw new Error(`line ${first + 1} has ${columns} numbers; a line above it must name as many columns`);
  }
  if (!header && columns > 1) throw new Error(`has ${columns} columns; name them in a line above the numbers`);
  if (delimiter !== ",") checkCommas(lines.slice(first).join("\n"), header);
  const samples = Array.from({ length: columns }, () => new Float64Array(lines.length - first));
  for (let row = 0; row < lines.length - first; row++) {
    const fields = fieldsOf(lines[first + row], delimiter);
    if (fields.length !== columns || !isRow(fields) || !lines[first + row].trim()) {
      throw new Error(`line ${first + row + 1} is not a row of ${columns} numbers`);
    }
    fields.forEach((field, column) => (samples[column][row] = NUMBER.test(field) ? Number(field) : NaN));
  }
  const channels = [];
  let [rate, timed, unsaid] = [above.rate, false, null];
  samples.forEach((column, at) => {
    const [name, unit] = nameAndUnit(header?.[at] ?? "");
    if (header && !name && !unit && (column.every(Number.isNaN) || skipIn(column) < 0)) return;
    const voltage = leadOf(name) || (unit && perMillivolt(unit));
    if (!voltage && COUNTS.test(name) && isCount(name, column, first + 1)) return;
    const said = unit ?? /(?:^|[ _-])([^ _-]+)$/.exec(name)?.[1] ?? "";
    const seconds = SECONDS.get(said.toLowerCase());
    // as Python: by its name, or by its unit if it rises, for RR intervals are in ms, too
    if (
      voltage ||
      !(TIMES.test(name) || (seconds && (unit || said === name))) ||
      !(IS_TIME.test(name) || rises(column))
    ) {
      if (unit && above.unit && perMillivolt(unit) && perMillivolt(unit) !== perMillivolt(above.unit)) {
        throw new Error(`says ${above.unit} above the numbers, and column ${name} says ${unit}; correct one of them`);
      }
      channels.push({ name: name || null, unit: unit ?? above.unit, samples: column });
    } else if (!seconds) unsaid ??= name;
    else if (!timed) [rate, timed] = [rateOf(column, seconds, first + 1), true];
  });
  if (timed && above.rate && Math.abs(rate - above.rate) > 0.01 * above.rate) {
    throw new Error(
      `says ${above.rate} Hz above the numbers, and its times tell ${+rate.toFixed(3)} Hz; correct one of them`,
    );
  }
  const isLead = (name) => name === null || leadOf(name); // without a name, it will be asked for
  const rising = channels.find(({ name, samples }) => isLead(name) && samples.length >= 100 && allRise(samples));
  if (rising && channels.length === columns) {
    const what = rising.name === null ? "its column" : `what is named ${rising.name}`;
    throw new Error(`${what} rises with every sample, as times do; name each column`);
  }
  refuseALostEcg(channels);
  if (unsaid && !timed) throw new Error(`column ${unsaid} does not say its unit; name it time (s) or time (ms)`);
  if (!channels.length) throw new Error("has a column of times and no other");
  return { rate, channels };
}

/** As Python: refuses voltages that are no ECG by name, if an ECG has another unit: they would get its name. */
function refuseALostEcg(channels) {
  const ecg = channels.filter(({ name }) => leadOf(name ?? "") || /^e[ck]g/i.test(name));
  const isVoltage = ({ unit }) => unit === null || perMillivolt(unit);
  const lost = ecg.find((channel) => !isVoltage(channel) && !MEASURED.has(channel.unit.toLowerCase()));
  if (lost && !ecg.some(isVoltage))
    throw new Error(`has ${lost.name} in the unit "${lost.unit}", which is not a voltage`);
}

/** The first place where a column does not count on by one; -1 if it counts throughout. */
const skipIn = (column) => column.findIndex((value, at) => at && value !== column[at - 1] + 1);
const allRise = (column) => column.every((value, at) => !at || value > column[at - 1]);
const rises = (column) => column.filter((value, at) => value > column[at - 1]).length > 0.9 * (column.length - 1);

/** As Python: whether line 1 is a 0 above decimals, which is a column's number as pandas writes it, and no sample. */
function isNumbered([head, ...rows]) {
  const some = rows.slice(0, LOOKED_AT - 1).filter((row) => /\d/.test(row));
  return /^\s*"?0"?\s*$/.test(head) && some.length > 0 && some.every((row) => row.includes(".") && !row.includes(","));
}

/** Whether a column so named numbers the samples; what is called samples may be the ECG. */
function isCount(name, column, line) {
  const at = skipIn(column);
  if (at < 0) return true;
  if (!column.every(Number.isInteger) || (!rises(column) && new Set(column).size < column.length)) return false;
  throw new Error(
    `column ${name} goes from ${column[at - 1]} to ${column[at]} in line ${line + at}; samples are missing, or it ` +
      "does not count them: remove it",
  );
}

/** As Python: refuses commas that may separate thousands or, without names, columns; and points beside commas. */
function checkCommas(rows, header) {
  if (!rows.includes(",")) return;
  if (!header)
    throw new Error("has decimal commas, or two numbers in a line; name its columns in a line above the numbers");
  if ((!DECIMAL_COMMA.test(rows) && WHOLE_NUMBER.test(rows)) || rows.includes(".")) {
    throw new Error("has commas that may separate thousands, as in 1,234; write one decimal sign and no other");
  }
}

/** As Python: a comma is a decimal sign where blanks are between columns. */
function delimiterOf(line) {
  const found = ["\t", ";", "|", ","].find((sign) => line.trim().includes(sign)) ?? /\s+/;
  return found === "," && line.split(",").some((field) => /\S\s+\S/.test(field.replace(/"[^"]*"/g, "0")))
    ? /\s+/
    : found;
}

/** Whether fields are numbers, some or all of which may be missing. */
const isRow = (fields) => fields.every((field) => !field || /^nan$/i.test(field) || NUMBER.test(field));

function fieldsOf(line, delimiter) {
  const fields = line
    .trim()
    .split(delimiter)
    .map((field) =>
      field
        .trim()
        .replace(/^["']|["']$/g, "")
        .trim(),
    );
  if (delimiter === "," || fields.some((field) => field.includes("."))) return fields;
  return fields.map((field) => (/^[+-]?\d*,\d+$/.test(field) ? field.replace(",", ".") : field));
}

/** As Python: what the lines above the numbers say: texts that name the columns (or null), the rate and the unit. */
function aboveOf(lines, delimiter, columns) {
  const { rate, unit } = rateAndUnit(lines);
  const over = lines
    .filter((line) => /[^\s#%;,]/.test(line))
    .filter((line) => {
      const said = rateAndUnit([line]);
      return said.rate === null && said.unit === null;
    });
  if (!over.length) return { header: null, rate, unit };
  const [above, last] = [over.at(-2) ?? "", over.at(-1)].map((line) => namesIn(line, delimiter, columns));
  const words = last.filter((name) => !NUMBER.test(name));
  if (words.length && words.every((name) => NO_VALUE.test(name))) {
    throw new Error(`has the line "${over.at(-1).trim()}" above its numbers; write nan where a sample is missing`);
  }
  const units = unitsIn(over.at(-1), delimiter); // of the names above them, as in the exports of PhysioNet
  const fit = units && units.length === columns && above.length === columns && above.some(Boolean);
  const header = fit ? above.map((name, at) => (units[at] ? `${name} (${units[at]})` : name)) : last;
  return { header, rate, unit };
}

/** The rate in Hz and the unit that lines such as `Sampling rate: 500 Hz` and `Unit: uV` say; null for none or several. */
function rateAndUnit(lines) {
  const found = (pattern) => lines.flatMap((line) => [...line.matchAll(pattern)]);
  const rates = new Set(found(RATE_ABOVE).map(([, number, kilo]) => Number(number) * (kilo ? 1000 : 1)));
  const units = new Set(found(UNIT_ABOVE).flatMap(([, unit]) => (perMillivolt(unit) ? [unit] : [])));
  const [[rate], [unit]] = [rates, units];
  const isRate = rates.size === 1 && rate >= 10 && rate <= 100e3;
  return { rate: isRate ? rate : null, unit: units.size === 1 ? unit : null };
}

/** As Python: the header of an ECG in an Apple Health export, lines of key and value in any language; else null. */
function appleHeader(lines, row) {
  const clean = (text) => text.trim().replace(/^"|"$/g, "");
  const pairs = lines.flatMap((line) => {
    const [, key, value] = /^([^,]*),(.*)$/.exec(line) ?? [];
    return value?.trim() ? [[clean(key), clean(value)]] : [];
  });
  const at = pairs.findIndex(([, value]) => perMillivolt(value));
  const rate = pairs.map(([, value]) => HERTZ.exec(value)?.[1]).find(Boolean);
  if (at < 1 || !(rate || pairs.some(([, value]) => /^Watch\d{1,3},\d{1,3}$/.test(value)))) return null;
  if (row.includes(",") && at < pairs.length - 1) return null; // names of two columns
  const [key, lead] = pairs[at - 1];
  const name = (lead.startsWith(key) && leadOf(lead.slice(key.length))) || lead;
  return { header: [name], rate: rate ? Number(rate.replace(",", ".")) : null, unit: pairs[at][1] };
}

function nameAndUnit(text) {
  const [, name, bracketed] = /^(.*?)\s*(?:[([]([^()[\]]*)[)\]])?$/.exec(text);
  const unit = bracketed?.trim();
  const [, before, behind] = (!unit && /^(.*[^\s_/])(?:_|\s*\/\s*|\s(?![vV]$))([^\s_/]+)$/.exec(name)) || [];
  return behind && perMillivolt(behind) && !NUMBER.test(before) ? [before, behind] : [name, unit || undefined];
}

/** The units in a line that has one for each column, such as `s,mV,mmHg` or `(s) (mV)`; null for another line. */
function unitsIn(line, delimiter) {
  const units = fieldsOf(line.trim().replace(/^[#%]+ */, ""), delimiter).map((unit) =>
    unit.replace(/^[([]|[)\]]$/g, ""),
  );
  const isUnit = (unit) => perMillivolt(unit) || SECONDS.has(unit.toLowerCase()) || OTHER_UNITS.has(unit.toLowerCase());
  return units.some(perMillivolt) && units.every(isUnit) ? units : null;
}

function namesIn(text, delimiter, columns) {
  const line = text.trim().replace(/^[#%]+ *(?=[^\s,;|])/, ""); // of a comment, not the column #
  if (columns === 1) return fieldsOf(line, "\n");
  return fieldsOf(delimiter instanceof RegExp ? line.replace(/\s+(?=[([])/g, "") : line, delimiter);
}

/** The rate of evenly spaced times: a whole number of Hz where it is within half a sample of each of them. */
function rateOf(times, seconds, line) {
  const steps = Float64Array.from(times.subarray(1), (time, at) => (time - times[at]) * seconds);
  const usual = Float64Array.from(steps).sort()[steps.length >> 1];
  if (!(usual > 0)) throw new Error("its times do not tell a rate; leave out their column");
  const odd = steps.findIndex((step) => !(step > 0.499 * usual && step < 1.501 * usual));
  if (odd >= 0) throw new Error(`the time in line ${line + odd + 1} does not fit; a sample is missing or doubled`);
  const elapsed = Float64Array.from(times, (time) => (time - times[0]) * seconds);
  const rate = steps.length / elapsed.at(-1);
  refuseAChange(elapsed, rate, line);
  const whole = Math.round(rate);
  return elapsed.every((time, at) => Math.abs(time - at / whole) < 0.5 / whole) ? whole : rate;
}

/** As Python: times that gain or lose more than 0.12 s within 4 s are of two rates; stamps that are rounded do not. */
function refuseAChange(elapsed, rate, line) {
  const late = elapsed.map((time, at) => time - at / rate);
  const stretch = Math.round(4 * rate);
  const drift = stretch < late.length - 1 ? late.subarray(stretch).map((value, at) => value - late[at]) : late;
  if (drift.every((value) => Math.abs(value) <= 0.12)) return;
  const at = late.reduce((most, value, here) => (Math.abs(value) > Math.abs(late[most]) ? here : most), 0);
  throw new Error(`the rate changes at line ${line + at}; cut the file there and read the parts`);
}

const decimal = (text) => (NUMBER.test(text) ? Number(text) : NaN);

/** As Python: refuses the gain of no recorder. */
function checkGain(name, perMillivolt) {
  if (!perMillivolt) throw new Error(`gives no gain for ${name}`);
  if (!(Math.abs(perMillivolt) >= 1e-3 && Math.abs(perMillivolt) <= 1e12)) {
    throw new Error(`has ${perMillivolt} steps per mV for ${name}; expected 0.001 to 1e12`);
  }
}

/** A WFDB record whose samples are 16-bit integers in one file. */
export function wfdb(text, given, content) {
  const lines = text.split(/\r?\n/).filter((line) => !/^\s*(?:#|$)/.test(line));
  const [, count, said, length] = /^\S+\s+(\d+)\s+([^\s/(]+)\S*(?:\s+(\d+))?/.exec(lines[0] ?? "") ?? [];
  const rate = decimal(said);
  if (!(rate > 0)) throw new Error("is not the header of a WFDB record with a rate");
  const signals = lines.slice(1).map((line) => {
    const [file, format, scale, , zero, , sum, , ...name] = line.trim().split(/\s+/);
    const offset = /^16(?:x1)?(?:\+(\d+))?$/.exec(format);
    const found = /^([^(/]+)(?:\(([+-]?\d+)\))?(?:\/(.+))?$/.exec(scale);
    if (!offset || !found || !/^[+-]?\d+$/.test(sum)) {
      throw new Error(`cannot be read by this page: ${line.slice(0, 60)}; expected format 16, with gain and checksum`);
    }
    const [, gain, baseline = zero, unit = "mV"] = found;
    return {
      file,
      offset: +(offset[1] ?? 0),
      gain: decimal(gain),
      baseline: +baseline,
      unit,
      sum: +sum,
      name: name.join(" "),
    };
  });
  if (signals.length !== +count || !signals.length) throw new Error(`describes ${signals.length} of ${count} signals`);
  const { file, offset } = signals[0];
  if (signals.some((signal) => signal.file !== file))
    throw new Error("names several files of samples; this page reads one");
  if (given !== file) throw new Error(`has its samples in ${file}; give both files together`);
  const frames = (content.byteLength - offset) / (2 * signals.length);
  if (!Number.isInteger(frames))
    throw new Error(`has ${signals.length} signals, and ${file} ends within their samples`);
  if (length && +length !== frames) throw new Error(`announces ${length} samples, and ${file} has ${frames}`);
  const view = new DataView(content, offset);
  const verified = signals.some((signal) => signal.sum); // where all are zero, they were not computed
  const channels = signals.map(({ gain, baseline, unit, sum, name }, at) => {
    let found = 0;
    const samples = Float64Array.from({ length: frames }, (_, frame) => {
      const value = view.getInt16(2 * (frame * signals.length + at), true);
      found += value;
      return value === INVALID ? NaN : (value - baseline) / gain;
    });
    if (verified && (found - sum) % 65536) throw new Error(`the checksum of ${name} fails; fetch ${file} again`);
    checkGain(name, gain * (perMillivolt(unit) ?? 1));
    return { name, unit, samples };
  });
  refuseALostEcg(channels);
  return { rate, channels };
}

/** As Python: refuses data records that do not follow one another, by the annotation with which each begins. */
function refuseGaps(text, bytes, length, start, seconds) {
  let expected;
  for (let at = bytes + start; at < text.length; at += length) {
    const onset = /^[+-]\d+(?:\.\d+)?/.exec(text.slice(at, at + 32));
    if (onset && Math.abs(+onset[0] - expected) > 0.12) {
      throw new Error(`has a gap: a data record begins at ${+onset[0]} s, expected ${expected} s`);
    }
    expected = onset ? +onset[0] + seconds : undefined;
  }
}

/** EDF and continuous EDF+. */
export function edf(content) {
  const text = new TextDecoder("latin1").decode(content);
  // some recorders end a field with zeros
  const field = (at, length) =>
    text
      .slice(at, at + length)
      .replace(/\0.*/s, "")
      .trim();
  const number = (at, length) => decimal(field(at, length));
  if (field(192, 44).startsWith("EDF+D")) throw new Error("has interruptions (EDF+D); this page reads continuous EDF");
  const [bytes, records, seconds, count] = [number(184, 8), number(236, 8), number(244, 8), number(252, 4)];
  let at = 256;
  const column = (length) => {
    const found = Array.from({ length: count }, (_, signal) => field(at + signal * length, length));
    at += count * length;
    return found;
  };
  const [labels, , units] = [column(16), column(80), column(8)];
  const [low, high, lowest, highest] = [column(8), column(8), column(8), column(8)].map((found) => found.map(decimal));
  column(80);
  const lengths = column(8).map(decimal);
  const starts = lengths.map((_, signal) => lengths.slice(0, signal).reduce((sum, length) => sum + length, 0));
  const perRecord = lengths.reduce((sum, length) => sum + length, 0);
  if (!(seconds > 0 && records > 0 && count > 0) || content.byteLength !== bytes + 2 * records * perRecord) {
    throw new Error("is shorter or longer than its header says, or its header is damaged");
  }
  refuseGaps(text, bytes, 2 * perRecord, 2 * starts[labels.indexOf("EDF Annotations")], seconds);
  const isEcg = (label, unit) => leadOf(label) || (!unit && /^e[ck]g/i.test(label));
  const odd = labels.findIndex((label, signal) => isEcg(label, units[signal]) && !perMillivolt(units[signal]));
  if (odd >= 0) throw new Error(`has ${labels[odd]} in the unit "${units[odd]}", which is not a voltage`);
  refuseALostEcg(labels.map((name, signal) => ({ name, unit: units[signal] })));
  const kept = labels.map((_, signal) => signal).filter((signal) => perMillivolt(units[signal]));
  if (!kept.length) throw new Error("has no signal whose unit is a voltage");
  const leads = kept.filter((signal) => leadOf(labels[signal]));
  const named = kept.filter((signal) => /^e[ck]g/i.test(labels[signal]));
  const [ecg, ...others] = [leads, named, kept].find((found) => found.length);
  const slower = others.find((signal) => lengths[signal] !== lengths[ecg]);
  if (slower) throw new Error(`has ECGs of several rates: ${labels[ecg]} and ${labels[slower]}; export one of them`);
  const view = new DataView(content, bytes);
  const channels = kept
    .filter((signal) => lengths[signal] === lengths[ecg])
    .map((signal) => {
      const gain = (high[signal] - low[signal]) / (highest[signal] - lowest[signal]);
      if (!gain || !Number.isFinite(gain) || highest[signal] <= lowest[signal]) {
        throw new Error(`gives no range for ${labels[signal]}`);
      }
      checkGain(labels[signal], perMillivolt(units[signal]) / gain);
      const samples = Float64Array.from({ length: records * lengths[signal] }, (_, sample) => {
        const record = Math.floor(sample / lengths[signal]);
        const value = view.getInt16(2 * (record * perRecord + starts[signal] + (sample % lengths[signal])), true);
        return low[signal] + (value - lowest[signal]) * gain;
      });
      return { name: labels[signal], unit: units[signal], samples };
    });
  return { rate: lengths[ecg] / seconds, channels };
}
