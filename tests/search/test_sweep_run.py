"""An address without Ray is told at once, before Ray tries it for minutes."""

import socket
import threading
from contextlib import contextmanager

import pytest

from ridgeline.errors import BadInput
from ridgeline.search import sweep_run
from ridgeline.search.sweep_run import run_on_ray, unreachable


@contextmanager
def listening(answer):
    """The address of a server that answers each caller with some bytes, or leaves it waiting."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        calls = []

        def serve():
            try:
                call, _ = server.accept()
            except OSError:
                return
            calls.append(call)
            if answer:
                call.sendall(answer)
                call.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()
        for call in calls:
            call.close()


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_what_answers_like_ray_may_be_ray():
    with listening(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])) as address:
        assert unreachable(address) == ""
    with listening(bytes([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100])) as address:
        assert unreachable(f"ray://{address}") == ""


def test_other_servers_are_not_ray():
    with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        assert unreachable(address) == "what listens there is not Ray"


def test_silence_and_closed_ports_are_told(monkeypatch):
    monkeypatch.setattr(sweep_run, "_PATIENCE", 0.2)
    with listening(b"") as address:
        assert unreachable(address) == "nothing answered within 0.2 s"
    assert "refused" in unreachable(f"127.0.0.1:{closed_port()}")
    assert "refused" in unreachable(f"ray://127.0.0.1:{closed_port()}")


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:999999", "ray://", ":6379", "[::1"])
def test_what_is_no_address_is_told(address):
    assert "not host:port" in unreachable(address)


@pytest.mark.parametrize("address", ["auto", "local", "k8s://cluster"])
def test_the_rest_is_for_ray_to_judge(address):
    assert unreachable(address) == ""


def test_a_sweep_says_where_it_looked(monkeypatch):
    pytest.importorskip("ray")
    port = closed_port()
    with pytest.raises(BadInput, match=f"no Ray cluster at '127.0.0.1:{port}': connection refused"):
        run_on_ray(lambda n: n, [0], lambda n, r: None, f"127.0.0.1:{port}", 1)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    with pytest.raises(BadInput, match=f"'127.0.0.1:{port}': connection refused"):
        run_on_ray(lambda n: n, [0], lambda n, r: None, "auto", 1)
