"""Changes valid files at random, the same for the same case: bytes, numbers, JSON values and words."""

import json
import random
import re
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, TypeVar

T = TypeVar("T")

TOKENS: tuple[str, ...] = (
    *(
        "nan",
        "inf",
        "-inf",
        "1e309",
        "1e-320",
        "-1",
        "0",
        "-0",
        "1.5",
        "1_0",
        "0x10",
        "٣",
        "³",
        "½",
        "9" * 30,
        "9" * 5000,
    ),
    *("2147483648", "-9223372036854775809", "4294967296", "1e9", "1e15", "+", "-", "--", ".", "..", "/", "\\", "~"),
    *(
        "",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\r",
        "\0",
        "\x0b",
        "\x0c",
        "\x1b[2J",
        "\x85",
        "\u2028",
        "\u202e",
        "\u200b",
        "\ufeff",
    ),
    *("é", "İ", "ß", "心", "\U0001f600", "%s", "{0}", "{", "}", "[", "]", "(", ")", "<", ">", '"', "'", "`", "#", "|"),
    *(",", ":", ";", "=", "!", "![", "](", "<img src=", "![x](y.png)", "../../x", "/etc/passwd", "a\0b", "x" * 300),
    *("[" * 2000, '{"a":' * 2000, "(" * 2000, "-" * 5000, "I," * 500, "null", "true", "None", "{}", "[]", "__class__"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e308, -1e308, 1e-320, 10**30, 2**31, 2**63, 10**400),
    *(float("nan"), float("inf"), float("-inf"), "", "x" * 2000, "\x1b[2J\u202e\n", "\ud800", "nan", "1", "I", "A"),
    *("../../x", "a\0b", "0" * 64, [], {}, [[]], [None], [""], {"": None}, ["I"], ["I", "I"], [0] * 1000, {"A": {}}),
    *({"A": {"f1": 2}}, {"A": None}, [1, 2, 3], [0.9, 1.0], {"a": {"a": {"a": {}}}}, {"list": []}, {"tensor": "0"}),
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


class Dice(random.Random):
    """The random choices of one case, and its input."""

    said: Any = ""
    size = 0

    def maybe(self, share: float) -> bool:
        """Return True with this probability."""
        return self.random() < share

    def note(self, *inputs: Any) -> None:
        """Record the inputs of the case, for the reproducer and the memory limit."""
        self.said = inputs
        self.size = sum(len(given) for given in inputs if isinstance(given, str | bytes))

    def token(self) -> bytes:
        """A word that often causes parser errors."""
        return self.choice(TOKENS).encode("utf-8", "surrogatepass")

    def bytes_of(self, seeds: Sequence[bytes]) -> bytes:
        """One of `seeds` after one to four changes."""
        data = bytearray(self.choice(seeds))
        for _ in range(min(4, 1 + int(self.expovariate(1)))):
            at, kind = self.randrange(len(data) + 1), self.randrange(10)
            span = slice(at, at + (self.randrange(9) if self.maybe(0.9) else self.randrange(len(data) + 1)))
            if kind == 0 and at < len(data):
                data[at] ^= 1 << self.randrange(8)
            elif kind == 1:
                data[span] = b""
            elif kind == 2:
                data[at:at] = self.token()
            elif kind == 3:
                data[span] = self.token()
            elif kind == 4:
                data[at:at] = data[span] * self.choice((1, 2, 100))
            elif kind == 5 and self.maybe(0.3):
                del data[at:]
            elif kind == 6:
                other = self.choice(seeds)
                data[at:] = other[self.randrange(len(other) + 1) :]
            elif kind == 7:
                data[at:at] = self.randbytes(self.randrange(9))
            elif numbers := list(_NUMBER.finditer(data)):
                found = self.choice(numbers)
                data[found.start() : found.end()] = self.token()
        return bytes(data)

    def text_of(self, seeds: Sequence[str]) -> str:
        """Like `bytes_of`, for text."""
        changed = self.bytes_of([seed.encode("utf-8", "surrogatepass") for seed in seeds])
        return changed.decode("utf-8", "surrogateescape" if self.maybe(0.1) else "replace")

    def json_of(self, seeds: Sequence[Any]) -> str:
        """One of the JSON values `seeds` with one to three changed nodes; sometimes its text is changed too."""
        value = json.loads(json.dumps(self.choice(seeds)))
        for _ in range(1 + self.randrange(3)):
            value = self._changed(value)
        text = json.dumps(value)
        return self.text_of([text]) if self.maybe(0.15) else text

    def _changed(self, value: Any) -> Any:
        if not isinstance(value, dict | list) or not value or self.maybe(0.1):
            return self._other(value)
        key = self.choice(list(value)) if isinstance(value, dict) else self.randrange(len(value))
        if self.maybe(0.7):
            value[key] = self._changed(value[key])
        elif self.maybe(0.5):
            del value[key]
        elif isinstance(value, dict):
            value[self.choice(("", "x", "name", "\x1b", "A", "_", "1", "f1", "tree"))] = deepcopy(value[key])
        else:
            value.insert(key, self._other(value[key]))
        return value

    def _other(self, value: Any) -> Any:
        if isinstance(value, str) and self.maybe(0.5):
            return self.text_of([value])
        if isinstance(value, int | float) and abs(value) < 1e15 and self.maybe(0.4):
            return self.choice((value * 1000, -value, value + 1, value / 1000, str(value), [value], int(value)))
        return deepcopy(self.choice(VALUES))
