#!/usr/bin/env python3
"""agent.py SOCKET SECONDS WORD...: has vmtest's agent in a guest, behind a Unix socket, run the program WORD...
(shim/agent/protocol.md), prints what that wrote, and ends with its status. Asks until somebody answers."""
import os
import socket
import struct
import sys
import time

HELLO = b"\xf1vmtest\x0d\x9b\x5e\xc4\x27\xe8\x60\xb3\x1d"
WELCOME = b"\xf2vmtest\x0a\x44\xd9\x71\xae\x0b\x96\x3c\xe5"
MARK, VERSION, MOST = 0x764D, 1, 65536
EXEC, BYTES, EXIT, FAILED = 1, 4, 8, 9
CHANNEL = 1


class Gone(Exception):
    """The connection has ended, or not come about."""


class Agent:
    """A session with it, that is over by `end`."""

    def __init__(self, path, end):
        self.end, self.data, self.socket = end, b"", socket.socket(socket.AF_UNIX)
        nonce = os.urandom(16)
        self.tag = struct.pack(">I", struct.unpack(">I", nonce[:4])[0] | 1)
        try:
            self.socket.connect(path)
            self.socket.sendall(bytes(MOST + 16) + HELLO + struct.pack(">I", VERSION) + nonce)
            wanted = WELCOME + struct.pack(">I", VERSION) + nonce
            while wanted not in self.data:
                self.more()
        except OSError as why:
            self.socket.close()
            raise Gone(str(why)) from why
        except Gone:
            self.socket.close()
            raise
        self.data = self.data.partition(wanted)[2]

    def more(self):
        self.socket.settimeout(max(0.01, min(5, self.end - time.monotonic())))
        piece = self.socket.recv(MOST)
        if not piece:
            raise Gone("the connection was closed")
        self.data = self.data[-4 * MOST:] + piece

    def frame(self):
        """(type, payload) of the next."""
        while True:
            if len(self.data) >= 12:
                size, mark, kind = struct.unpack(">IHB", self.data[:7])
                if mark != MARK or size > MOST:
                    raise Gone("it sent what is no frame")
                if len(self.data) >= size + 16:
                    payload, self.data = self.data[12:12 + size], self.data[size + 16:]
                    return kind, payload
            self.more()

    def run(self, words):
        """(status, output)"""
        asked = struct.pack(">II", 0, len(words))
        for word in words:
            asked += struct.pack(">I", len(word)) + word
        asked += struct.pack(">II", 0, 0)
        head = struct.pack(">IHBBI", len(asked), MARK, EXEC, 0, CHANNEL)
        self.socket.sendall(head + asked + self.tag)
        output = b""
        while True:
            kind, payload = self.frame()
            if kind == BYTES:
                output += payload
            elif kind == EXIT:
                return struct.unpack(">I", payload[:4])[0], output
            elif kind == FAILED:
                raise Gone(f"it refused: {payload[4:].decode(errors='replace')}")


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    path, words = sys.argv[1], [os.fsencode(word) for word in sys.argv[3:]]
    end = time.monotonic() + float(sys.argv[2])
    while True:
        try:
            status, output = Agent(path, end).run(words)
            break
        except (Gone, OSError) as why:
            if time.monotonic() > end:
                sys.exit(f"agent.py: no agent answers at {path}: {why}")
            time.sleep(0.2)
    sys.stdout.buffer.write(output)
    sys.exit(status)


if __name__ == "__main__":
    main()
