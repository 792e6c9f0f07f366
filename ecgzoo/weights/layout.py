"""What a folder of weights holds, by name. Imports nothing, so that fetching needs no torch."""

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
CALIBRATION_PLOT = "calibration.png"
NEXT_CONFIG = ".config.json.next"  # the config that is about to come, while a model is replaced by another
SHA256 = "weights_sha256"  # the config's field with the hash of the weights
MEANING = "meaning_sha256"  # with that of the fields which say what the weights mean; older folders have none
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")  # refused: they can run any code when they are read
