// npm run runtime: fetches ONNX Runtime from npm's registry, and keeps the two files of it that the page loads.
import { execSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";

const version = process.env.npm_package_config_onnxruntime;
const packed = `runtime/onnxruntime-web-${version}.tgz`;
const files = ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"].map((name) => `package/dist/${name}`);

mkdirSync("runtime", { recursive: true });
execSync(`npm pack onnxruntime-web@${version} --pack-destination runtime`, { stdio: ["ignore", "ignore", "inherit"] });
execSync(`tar -xzf ${packed} -C runtime --strip-components 2 ${files.join(" ")}`);
rmSync(packed);
