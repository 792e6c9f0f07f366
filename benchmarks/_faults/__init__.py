"""The parts of `faults.py`: kills, a full disk, and malformed files."""
