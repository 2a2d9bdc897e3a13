# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Clients and servers: small functions on blocking sockets, and a threaded server."""
import concurrent.futures
import hashlib
import random
import select
import socket
import struct
import threading

from lib.wait import LIMIT_S, wait_until

CHUNK = 1 << 16

# No peer of a test waits for ever.
socket.setdefaulttimeout(LIMIT_S)


def parse(address):
    host, _, port = str(address).rpartition(":")
    return host.strip("[]"), int(port)


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def connect(address, source=None, receive_buffer=None):
    """A client; source is the IP it comes from."""
    host, port = parse(address)
    s = socket.socket(family_of(host))
    try:
        if receive_buffer:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            s.bind((source, 0))
        s.connect((host, port))
    except OSError:
        s.close()
        raise
    return s


def listen(address="127.0.0.1:0", backlog=1024, receive_buffer=None):
    """A listening socket; accepted ones have that receive buffer."""
    host, port = parse(address)
    s = socket.socket(family_of(host))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.bind((host, port))
    s.listen(backlog)
    return s


def address_of(sock):
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def half_close(sock):
    sock.shutdown(socket.SHUT_WR)


def reset(sock):
    """Closes with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_exactly(sock, n):
    data = bytearray()
    while len(data) < n:
        part = sock.recv(n - len(data))
        assert part, f"FIN after {len(data)} of {n} bytes"
        data += part
    return bytes(data)


def read_all(sock):
    """Up to the FIN; a RST raises ConnectionResetError."""
    data = bytearray()
    while part := sock.recv(CHUNK):
        data += part
    return bytes(data)


def read_to_end(sock):
    """What came, and how it ended: "FIN" or "RST"."""
    data = bytearray()
    try:
        while part := sock.recv(CHUNK):
            data += part
    except ConnectionResetError:
        return bytes(data), "RST"
    return bytes(data), "FIN"


def is_reset(address):
    """A client that comes there now is reset, without a byte."""
    try:
        with connect(address) as client:
            return read_to_end(client) == (b"", "RST")
    except ConnectionResetError:
        return True  # before connect(2) had returned


def is_refused(address):
    """Nobody listens there."""
    try:
        connect(address).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # somebody does, but has no server for us
    return False


def is_silent(sock):
    """No byte and no end is waiting to be read."""
    return not select.select([sock], [], [], 0)[0]


def fill(sock):
    """Sends until nobody takes more for now; returns the bytes sent, all zeros."""
    n = 0
    sock.settimeout(0.3)
    try:
        while True:
            n += sock.send(bytes(CHUNK))
    except TimeoutError:
        return n
    finally:
        sock.settimeout(LIMIT_S)


def send_until_full(sock, data, largest=CHUNK):
    """Sends until nobody takes more for now; returns the bytes sent."""
    n = 0
    sock.settimeout(0.3)
    try:
        while n < len(data):
            n += sock.send(memoryview(data)[n : n + largest])
    except TimeoutError:
        pass
    finally:
        sock.settimeout(LIMIT_S)
    return n


# ---- streams: many bytes that can be told from any others -------------------------


def stream_of(n, seed):
    """n reproducible bytes."""
    return random.Random(seed).randbytes(n)


def digest(data):
    """For comparing many bytes without printing them."""
    return len(data), hashlib.sha256(data).hexdigest()


def send_in_pieces(sock, data, seed=0, largest=3 * CHUNK):
    """In pieces of random sizes from one byte."""
    choose, view, sent = random.Random(seed), memoryview(data), 0
    while sent < len(data):
        n = choose.randint(1, largest)
        sock.sendall(view[sent : sent + n])
        sent += n


def background(function, *arguments):
    """Runs it in a thread; .result() waits, and raises what it raised."""
    future = concurrent.futures.Future()

    def run():
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # pylint: disable=broad-except
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


# ---- servers -----------------------------------------------------------------------


class Server:
    """Gives each client to serve(connection) in a thread of its own, then closes it.

    Network errors end a connection; anything else that serve() raises, such as a failed
    assertion, is raised again by close().
    """

    def __init__(self, serve, address="127.0.0.1:0"):
        self.serve = serve
        self.address = address
        self.n_served = 0
        self.lock = threading.Lock()
        self.connections = set()
        self.failures = []
        self.start()

    def __str__(self):
        return self.address

    def start(self):
        """Again, on the same address, after stop()."""
        self.listener = listen(self.address)
        self.listener.settimeout(None)
        self.address = address_of(self.listener)
        self.accepting = background(self.accept_all, self.listener)

    def stop(self):
        """Clients are refused from now on; those it has stay."""
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
        self.accepting.result()
        self.listener.close()

    def close(self):
        if self.listener.fileno() >= 0:
            self.stop()
        with self.lock:
            for connection in self.connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        wait_until(lambda: not self.connections, "the server's connections end")
        for failure in self.failures:
            raise failure

    def accept_all(self, listener):
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            connection.settimeout(LIMIT_S)
            with self.lock:
                self.n_served += 1
                self.connections.add(connection)
            threading.Thread(target=self.run, args=(connection,), daemon=True).start()

    def run(self, connection):
        try:
            self.serve(connection)
        except OSError:
            pass
        except BaseException as failure:  # pylint: disable=broad-except
            self.failures.append(failure)
        with self.lock:
            self.connections.discard(connection)
        connection.close()


def echo(connection):
    buffer = bytearray(4 * CHUNK)
    while n := connection.recv_into(buffer):
        connection.sendall(memoryview(buffer)[:n])


def named(name):
    """Sends its name and stays until the client has ended."""

    def serve(connection):
        connection.sendall(name.encode())
        read_all(connection)

    return serve


def answering(name, n_seconds=0):
    """Waits for a request, then n_seconds, then answers with its name."""

    def serve(connection):
        connection.recv(CHUNK)
        threading.Event().wait(n_seconds)
        connection.sendall(name.encode())
        read_all(connection)

    return serve


def visit(address, source=None):
    """One whole session with a server that sends its name; returns the name."""
    with connect(address, source) as client:
        half_close(client)
        return read_all(client).decode()


def visits(address, n):
    """The names that n clients, one after the other, get."""
    return "".join(visit(address) for _ in range(n))


def hold(address, source=None):
    """A client that stays, and the name of its server."""
    client = connect(address, source)
    return client, read_exactly(client, 1).decode()


class Blackhole:
    """An address where connects neither succeed nor fail: its queue is full."""

    def __init__(self):
        self.listener = listen(backlog=0)
        self.address = address_of(self.listener)
        self.waiting = connect(self.address)

    def __str__(self):
        return self.address

    def close(self):
        self.waiting.close()
        self.listener.close()
