"""Training: recipe (what), loop (the epochs), distiller (the loss of a batch), run (the whole)."""
