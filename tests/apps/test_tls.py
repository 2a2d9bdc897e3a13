# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""TLS: many bytes both ways at once, and openssl's own server and clients."""
import contextlib
import hashlib
import re
import ssl

import pytest

from lib.peers import address_of, background, connect, digest, listen, stream_of
from programs import host_and_port, run

SERVER = "127.0.0.1:4433"
STREAM = 100 << 20
FILE = 10 << 20
PIECE = stream_of(1 << 20, 1)


@pytest.fixture(scope="module")
def listener(namespace):
    with contextlib.closing(listen()) as opened:
        yield opened


@pytest.fixture(scope="module")
def servers(programs, folder, certificate, listener):
    (folder / "file").write_bytes(stream_of(FILE, 0))
    command = ["openssl", "s_server", "-accept", SERVER, "-WWW", "-quiet"]
    programs.start(*command, "-cert", "cert.pem", "-key", "key.pem", address=SERVER)
    return {"openssl": SERVER, "python": address_of(listener)}


@pytest.fixture
def pair(listener, folder, certificate):
    """pair(way) -> client's and server's end of a TLS connection"""
    with contextlib.ExitStack() as ends:

        def open_pair(way):
            for_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            for_server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
            for_client = ssl.create_default_context(cafile=folder / "cert.pem")

            def accept():
                return for_server.wrap_socket(listener.accept()[0], server_side=True)

            accepting = background(accept)
            plain = connect(way["python"])
            client = for_client.wrap_socket(plain, server_hostname="localhost")
            server = accepting.result()
            ends.enter_context(client)
            ends.enter_context(server)
            return client, server

        yield open_pair


def send(end, n):
    """n bytes, each piece different; returns their hash."""
    seen = hashlib.sha256()
    for i in range(n // len(PIECE)):
        piece = i.to_bytes(8, "big") + PIECE[8:]
        seen.update(piece)
        end.sendall(piece)
    return seen.hexdigest()


def receive(end, n):
    seen, buffer = hashlib.sha256(), bytearray(1 << 18)
    while n > 0:
        got = end.recv_into(buffer, min(n, len(buffer)))
        assert got, f"the end, {n} bytes early"
        seen.update(memoryview(buffer)[:got])
        n -= got
    return seen.hexdigest()


def test_streams_one_after_the_other_are_what_was_sent(way, pair):
    client, server = pair(way)
    for a, b in ((client, server), (server, client)):
        sent = background(send, a, STREAM)
        assert receive(b, STREAM) == sent.result()


def test_turns_of_all_sizes_are_what_was_sent(way, pair):
    client, server = pair(way)
    for size in [*range(1, 200), 16383, 16384, 16385, 65536, 100000, 1 << 20]:
        data = stream_of(size, size)
        for a, b in ((client, server), (server, client)):
            sending = background(a.sendall, data)
            got = bytearray()
            while len(got) < size:
                part = b.recv(size - len(got))
                assert part
                got += part
            assert digest(bytes(got)) == digest(data)
            sending.result()


def test_curl_gets_the_file_from_openssl(way):
    place = f"https://{way['openssl']}/file"
    got = run("curl", "-sS", "-k", "--fail", "--http0.9", place, text=False)
    assert digest(got) == digest(stream_of(FILE, 0))


def test_s_client_gets_the_file_from_openssl(way):
    command = ["openssl", "s_client", "-quiet", "-connect", way["openssl"]]
    request = b"GET /file HTTP/1.0\r\n\r\n"
    answer = run(*command, input=request, text=False)
    assert digest(answer.partition(b"\r\n\r\n")[2]) == digest(stream_of(FILE, 0))


def test_openssl_has_no_failed_handshake(compare):
    def measure(way):
        said = run("openssl", "s_time", "-connect", way["openssl"], "-new", "-time", "1")
        n, seconds = re.search(r"(\d+) connections in (\d+) real seconds", said).groups()
        return {"openssl s_time, handshakes/s": int(n) / int(seconds)}

    compare(measure)
