"""Inputs that once crashed a reader (tests/*/test_hostile.py), used as seeds so that similar inputs are tried too."""

from typing import Any

MANY, DEEP = "9" * 5000, "[" * 100_000


def _nested(depth: int) -> str:
    return '{"list": [' * depth + "1" + "]}" * depth


WFDB_HEADERS: list[bytes] = [
    header.encode()
    for header in (
        f"rec {MANY} 100 10\nrec.dat 16\n",
        f"rec 1 100 {MANY}\nrec.dat 16\n",
        f"rec 1 100 10\nrec.dat 16x{MANY}\n",
        f"rec 1 {'1' * 9000} x\nrec.dat 16\n",
        "rec 1001 100 10\n" + "a 16\n" * 1001,
        *(f"rec 1 {rate} 600\nrec.dat 16 1000/mV 16 0 0 0 0 I\n" for rate in ("1e9", "1e-6", "1e-320")),
        *(f"rec 1 100 600\nrec.dat 16 {gain}/mV 16 0 0 0 0 I\n" for gain in ("1e-36", "-1e-30", "1e300")),
        *(f"rec 1 100 10\n{file} 16\n" for file in ("../rec.dat", "/etc/passwd", "..", "a\0b", "x" * 300, "é.dat")),
        *(f"rec 1 100 10\nrec.dat {f}:1000000000 1000/mV\n" for f in ("16", "212", "508", "24")),
        *(f"rec 1 100 {n}\nrec.dat 516 1000/mV\n" for n in ("1000000000", "")),
        "rec 1 100 10\nrec.dat 16 1000/\x1b[2Jm\u202e 16 0 0 0 0 \x1b]0;II\u202e\n",
    )
]
CELLS: tuple[str, ...] = (
    *("{" * 5000, "-" * 9000 + "1", "{1: 2}", "9" * 30, MANY, "1e300", "40000", "1000"),
    *("records100/../../secret", "records100/..", "/etc/passwd", "records100/a\0b", "records100/."),
)
CONFIG_CHANGES: tuple[dict[str, Any], ...] = (
    *({"rate_hz": value} for value in (1e9, 1e-6, 10**400)),
    *({"temperature": value} for value in (10**400, 1e300)),
    *({"normalization": {"std_mv": value}} for value in (1e-40, 1e7, 10**400)),
    *({"leads": ["I"] * 1000}, {"leads": ["x" * 9000]}, {"architecture": "x" * 9000}, {"window_s": 10**400}),
    *({"license": ["MIT"]}, {"task": 3}, {"calibrated_on": {}}, {"arguments": {"width": 10**9}}),
    {"classes": [], "num_classes": 10**9, "thresholds": {}, "class_info": {}},
    {"architecture": "mvkt_xresnet1d101"},
)
TENSORS: tuple[dict[str, Any], ...] = (
    {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]},
    {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
    {"dtype": "F32", "shape": "x", "data_offsets": [0, 4]},
    {"dtype": "F32", "shape": [3_000_000, 0], "data_offsets": [0, 0]},
)
TREES: tuple[str, ...] = (
    *(DEEP, _nested(900), _nested(400), "[]", "3", '{"dict": 3}', '{"dict": [[[], 1]]}', '{"dict": [["a"]]}'),
    *(
        '{"tensor": 0}',
        '{"tensor": "9"}',
        '{"list": 1}',
        '{"list": [{"tensor": "0"}, {"tensor": "0"}]}',
        MANY,
        "\x1b[2J",
    ),
)
JSON: tuple[bytes, ...] = tuple(
    text.encode("utf-8", "surrogatepass")
    for text in (DEEP, '{"a":' * 50_000, "[]", MANY, "", "x" * 9000, "\ud800", "[" + "[]," * 90_000 + "1]")
)
FOLDS = ("1-9999999999", MANY, "32768", ",".join(["1-32767"] * 20), "1\x1b[2J")
LEADS = (",".join(["I"] * 9000), MANY, "x" * 9000, "I\u202e")
CARDS: tuple[bytes, ...] = (b"![" * 9000, b"<img " * 9000, b"![a](../../x.png)", b'<img src="/etc/passwd">')
