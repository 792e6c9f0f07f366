"""One script per question, run from the checkout: ``python -m benchmarks.NAME``."""
