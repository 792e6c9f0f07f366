"""Training: recipe (what to train), loop (the epochs), distiller (the loss of a batch), run (the whole run)."""
