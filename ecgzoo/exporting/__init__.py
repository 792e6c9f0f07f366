"""Export a trained model to a file that runs without Python: one file per format. Imports no torch."""

SPECS = {
    "onnx": "ecgzoo.exporting.onnx:Onnx",
    "onnx-fp16": "ecgzoo.exporting.onnx_fp16:OnnxFp16",
    "onnx-int8": "ecgzoo.exporting.onnx_int8:OnnxInt8",
    "torch-export": "ecgzoo.exporting.torch_export:TorchExport",
    "executorch": "ecgzoo.exporting.executorch:ExecuTorch",
    "litert": "ecgzoo.exporting.litert:LiteRT",
}
