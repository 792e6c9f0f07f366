"""Export a trained model to a file that runs without Python: one file per format. Imports no torch."""

SPECS = {
    "onnx": "ecgzoo.exporting.onnx:Onnx",
}

__all__ = ["SPECS"]
