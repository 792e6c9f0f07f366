"""The parts of `faults.py`: kills, a full disk, and files of every wrong form."""
