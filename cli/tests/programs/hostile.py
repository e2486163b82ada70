"""A listener that means harm: `hostile.py MODE PATH`. It speaks the handshake of the crate by its bytes."""

import os
import socket
import sys
import threading
import time

CONTROLS = "\x1b[2J\x1b]0;owned\x07\r\n\x9b2J\u202e\x7f"


def number(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def text(words):
    words = words.encode()
    return number(len(words)) + words


def short(words):
    words = words.encode()[:255]
    return bytes([len(words)]) + words


def part(tag, content):
    return bytes([tag]) + len(content).to_bytes(2, "big") + content


def terms(framing="length-prefixed", codec="postcard", sends="", receives="", calls=True, refused=None):
    body = (1 << 20).to_bytes(8, "big") + short(framing) + short(codec) + short(sends) + short(receives)
    body += part(1, bytes([1]) + (7).to_bytes(8, "big") + bytes(8))
    if calls:
        body += part(3, bytes([1, 4, 0, 1]))
    if refused:
        body += part(5, refused.encode())
    return b"\xff\xff\xff\x02tpip\x01\x00" + len(body).to_bytes(2, "big") + body


def described(received, sent=b""):
    return len(received).to_bytes(4, "big") + received + len(sent).to_bytes(4, "big") + sent


def shape(*nodes):
    return b"\x01" + number(len(nodes)) + b"".join(nodes)


def enum(name, variants):
    variants = [text(called) + number(holds) for called, holds in variants]
    return b"\x0a" + text(name) + number(0) + number(len(variants)) + b"".join(variants)


def struct(name, fields):
    fields = [text(called) + number(holds) + number(0) for called, holds in fields]
    return b"\x08" + text(name) + number(len(fields)) + b"".join(fields)


NOTHING = b"\x02"
TEXT = b"\x1f"
# What each mode says its requests look like.
METHODS = shape(enum(CONTROLS, [("x", 1), (CONTROLS, 2), ("a\nMETHOD", 1)]), NOTHING, struct(CONTROLS, [(CONTROLS, 3)]), TEXT)
PLAIN = shape(enum("Plain", [("x", 1)]), NOTHING)
RECURSIVE = {
    "option": shape(b"\x03\x00"),
    "list": shape(b"\x04\x00"),
    "struct": shape(struct("S", [("s", 0), ("t", 0)])),
    "tuple": shape(b"\x06" + number(200) + b"\x00" * 200),
    "map": shape(b"\x05\x00\x00"),
    "array": shape(b"\x07" + number(0xFFFFFFFF) + b"\x00"),
}


def huge():
    """As many variants as fit, each a struct of structs."""
    nodes, used = [], 0
    count = 3000
    variants = [("v%d" % n, 1 + n % 500) for n in range(count)]
    nodes.append(enum("Huge", variants))
    for n in range(500):
        nodes.append(struct("S%d" % n, [("f%d" % f, (n * 7 + f) % 500) for f in range(4)]))
    description = shape(*nodes)
    assert len(description) < 1 << 16, len(description)
    return description


def frame(payload):
    return len(payload).to_bytes(4, "big") + payload


def told(description, body):
    return len(description).to_bytes(4, "big") + description + body


def read(client, many):
    got = b""
    while len(got) < many:
        more = client.recv(many - len(got))
        if not more:
            raise OSError("it has left")
        got += more
    return got


def hear_terms(client):
    head = read(client, 12)
    read(client, int.from_bytes(head[10:], "big"))
    for _ in range(2):
        read(client, int.from_bytes(read(client, 4), "big"))


def calls(client):
    """The number of each call that comes."""
    while True:
        payload = read(client, int.from_bytes(read(client, 4), "big"))
        if payload[0] == 1:
            yield payload[1:2]


def serve(client, mode):
    if mode == "silent":
        return time.sleep(3600)
    if mode == "half":
        client.sendall(terms()[:20])
        return time.sleep(3600)
    if mode == "slow":
        for byte in terms():
            client.sendall(bytes([byte]))
            time.sleep(0.5)
    if mode == "foreign":
        client.sendall(CONTROLS.encode() * 10)
        return None
    if mode == "wire":
        client.sendall(terms(framing=CONTROLS, codec=CONTROLS, sends=CONTROLS, receives=CONTROLS))
        return time.sleep(3600)
    if mode == "refused":
        client.sendall(terms(refused=CONTROLS))
        return time.sleep(3600)
    if mode == "undescribed":
        client.sendall(terms())
        return time.sleep(3600)
    if mode == "session":
        client.sendall(terms(codec="session", calls=False))
        hear_terms(client)
        client.sendall(described(b""))
        return None
    if mode == "messages":
        client.sendall(terms(calls=False, sends=CONTROLS, receives=CONTROLS))
        hear_terms(client)
        client.sendall(described(METHODS, shape(TEXT)))
        body = CONTROLS.encode()
        client.sendall(frame(number(len(body)) + body) + frame(b"\xff") + frame(body))
        return None
    requests = PLAIN
    if mode == "names":
        requests = METHODS
    elif mode == "huge":
        requests = huge()
    elif mode in RECURSIVE:
        requests = RECURSIVE[mode]
    client.sendall(terms(sends=CONTROLS, receives=CONTROLS))
    hear_terms(client)
    client.sendall(described(requests))
    body = CONTROLS.encode()
    word = number(len(body)) + body
    for call in calls(client):
        answer = {
            "error": b"\x83" + call + b"\x00" + body,
            "panic": b"\x83" + call + b"\x01" + body,
            "no method": b"\x83" + call + b"\x02" + body,
            "undecodable": b"\x83" + call + b"\x03" + body,
            "strange": b"\xc3" + call + body,
            "untold": b"\x82" + call + told(b"", body),
            "cut": b"\x82" + call + b"\xff\xff",
            "no shape": b"\x82" + call + told(b"\x01\xff" + body, body),
        }.get(mode)
        if mode == "never":
            continue
        if mode == "flood":
            try:
                while True:
                    client.sendall(frame(b"\x84" + call + told(shape(TEXT), word)))
            except OSError:
                return None
        if answer is None:
            named = shape(enum(CONTROLS, [(CONTROLS, 1)]), TEXT)
            client.sendall(frame(b"\x84" + call + told(shape(TEXT), word)))
            client.sendall(frame(b"\x84" + call + told(named, b"\x00" + word)))
            client.sendall(frame(b"\x84" + call + told(shape(TEXT), b"\xff")))
            for recursive in RECURSIVE.values():
                client.sendall(frame(b"\x84" + call + told(recursive, b"\x01" * 50)))
            answer = b"\x82" + call + told(shape(TEXT), word)
        client.sendall(frame(answer))
    return None


def main():
    mode, path = sys.argv[1:]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + ".new")
    listener.listen(8)
    os.rename(path + ".new", path)

    def one(client):
        try:
            serve(client, mode)
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
        except OSError:
            pass

    while True:
        client, _ = listener.accept()
        threading.Thread(target=one, args=(client,), daemon=True).start()


main()
