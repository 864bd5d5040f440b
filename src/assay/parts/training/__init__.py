"""Training: one loop for every model, with its recipe, checkpoints, precision and processes."""
