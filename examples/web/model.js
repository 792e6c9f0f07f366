// The exported model: its metadata (docs/export.md), its probabilities and its findings.
import * as ort from "./runtime/ort.wasm.bundle.min.mjs";

const CONTRACT = 1;

export async function loadModel(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`there is no ${url} beside the page; write it with ecgzoo export`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const about = metadataOf(bytes);
  if (about.contract !== CONTRACT) {
    throw new Error(
      `${url} is of contract ${about.contract ?? "none"}, and this page reads ${CONTRACT}; export it again`,
    );
  }
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: new URL("runtime/ort-wasm-simd-threaded.wasm", import.meta.url).href };
  return { about, session: await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] }) };
}

/** Rows of label, name, probability, finding and thresholds, for millivolts [leads][samples] at the model's rate. */
export async function score({ about, session }, millivolts) {
  const samples = millivolts[0].length;
  const signal = new Float32Array(millivolts.length * samples);
  millivolts.forEach((lead, row) => signal.set(lead, row * samples));
  const input = new ort.Tensor("float32", signal, [1, millivolts.length, samples]);
  const { probabilities } = await session.run({ signal: input });
  return about.labels.map((label, column) => {
    const probability = probabilities.data[column];
    const thresholds = about.thresholds[label] ?? null;
    return { label, name: about.names[label], probability, thresholds, finding: findingOf(probability, thresholds) };
  });
}

function findingOf(probability, thresholds) {
  if (!thresholds) return null;
  if (thresholds.lower <= probability && probability < thresholds.upper) return "uncertain";
  return probability >= thresholds.f1 ? "present" : "absent";
}

/** The metadata_props of an ONNX file, which the runtime does not show: field 14, with a key (1) and a value (2). */
function metadataOf(bytes) {
  const text = new TextDecoder();
  const found = {};
  for (const [field, entry] of fieldsOf(bytes)) {
    if (field !== 14) continue;
    const { 1: key, 2: value } = Object.fromEntries(fieldsOf(entry));
    found[text.decode(key)] = JSON.parse(text.decode(value));
  }
  return found;
}

/** Number and content of each field of a protobuf message that has a length. */
function* fieldsOf(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (!(byte & 128)) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const kind = key & 7;
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const end = varint() + at;
      yield [key >>> 3, bytes.subarray(at, end)];
      at = end;
    } else throw new Error("model.onnx is not an ONNX file; write it with ecgzoo export");
  }
}
