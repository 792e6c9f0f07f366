"""How long do preparing PTB-XL and opening it again take?

python -m benchmarks.ingest DIR    # PTB-XL's folder
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._report import report
from ecgzoo.data.ptbxl import load_ptbxl


def main(root: Path) -> None:
    """Print the table and write the JSON."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ECGZOO_CACHE"] = cache
        start = time.perf_counter()
        records = len(load_ptbxl(root, "all"))
        read = time.perf_counter() - start
        start = time.perf_counter()
        load_ptbxl(root, "all")
        again = time.perf_counter() - start
    row = {"records": records, "ingest s": read, "s per 1,000 records": read / records * 1e3, "open again s": again}
    row["limits met"] = read / records * 1e3 <= 6 and again <= 0.2
    report("ingest", "at most 6 s per 1,000 records, and 0.2 s to open again", [row])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
