"""File names in a folder of weights. Imports nothing, so that downloading needs no torch."""

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
CALIBRATION_PLOT = "calibration.png"
NEXT_CONFIG = ".config.json.next"  # the new config, while a model is being replaced
SHA256 = "weights_sha256"  # the config's field with the hash of the weights
MEANING = "meaning_sha256"  # the config's field with the hash of what the weights mean; older folders do not have it
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")  # refused: they can run any code when they are read
