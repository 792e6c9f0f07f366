"""One script a question, run from the checkout: ``python -m benchmarks.NAME``."""
