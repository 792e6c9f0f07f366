"""The grid behind docs/results.md."""
