"""A chest strap that sends packets, and a prediction as soon as each window is complete.

    python examples/live.py [SECONDS]

The strap is simulated by a thread that sends to a socket of this machine, 73 samples of 130 Hz at a time, in
microvolts. It loses two seconds and sends a packet twice. Nothing waits: a minute takes a second. Research use only.
"""

import socket
import struct
import sys
import threading

import numpy as np

import ecgzoo

RATE_HZ, PACKET = 130, 73
HEADER = struct.Struct("<Ih")  # the number of its first sample, and how many follow


def strap(connection: socket.socket, seconds: float) -> None:
    """Send packets of int32 microvolts of a heart: the second one twice, and none of the middle two seconds."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    waves = ((0.12, 0.15, 0.04), (1.0, 0.3, 0.02), (-0.25, 0.34, 0.02), (0.3, 0.55, 0.06))  # mV, s, s
    beats = np.sum([size * np.exp(-(((time_s % 0.83 - at) / width) ** 2)) for size, at, width in waves], axis=0)
    with connection:
        for first in range(0, len(beats), PACKET):
            if abs(time_s[first] - seconds / 2) > 1:
                microvolts = np.round(1000 * beats[first : first + PACKET]).astype("<i4")
                packet = HEADER.pack(first, len(microvolts)) + microvolts.tobytes()
                connection.sendall(2 * packet if first == PACKET else packet)


def shown(predictions: list[ecgzoo.Prediction]) -> list[ecgzoo.Prediction]:
    """Print `predictions`, and return them."""
    for prediction in predictions:
        print(f"{prediction.start_s:5.1f} s to {prediction.end_s:5.1f} s  {prediction}")
    return predictions


def main(seconds: float = 60.0) -> list[ecgzoo.Prediction]:
    """Print a prediction for each window that the strap sent."""
    server = socket.create_server(("127.0.0.1", 0))
    sender = threading.Thread(target=lambda: strap(socket.create_connection(server.getsockname()), seconds))
    sender.start()
    stream = ecgzoo.load_pretrained("resnet1d18.ptbxl_super_i").stream(rate_hz=RATE_HZ, leads=("I",), source="strap")
    found, expected = [], 0
    with server.accept()[0].makefile("rb") as packets:
        while header := packets.read(HEADER.size):
            first, count = HEADER.unpack(header)
            millivolts = np.frombuffer(packets.read(4 * count), "<i4").reshape(1, -1) / 1000
            new = stream.gap((first - expected) / RATE_HZ) if first > expected else []
            found += shown(new + stream.push(millivolts[:, max(expected - first, 0) :]))  # without what came before
            expected = max(expected, first + count)
    return found + shown(stream.close())


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))
