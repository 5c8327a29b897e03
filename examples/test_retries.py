"""Tests of a client that tries again, on a network that fails as it is told: minutes of waiting pass in milliseconds.

    pytest examples/test_retries.py                          # the fixture ustcp_net comes with the package ustcp
    pytest examples/test_retries.py --ustcp-weather=loss=20%,delay=50ms --ustcp-seed=7
"""

from __future__ import annotations

import http.server
import time
import urllib.error
import urllib.request

import pytest


# ---- what is tested, and knows nothing of ustcp


def fetch(url: str, attempts: int = 4, timeout: float = 2.0) -> bytes:
    """A page; after a failure once more, and each time after a longer rest."""
    for attempt in range(attempts):
        try:
            with urllib.request.urlopen(url, timeout=timeout) as answer:
                return answer.read()
        except (urllib.error.URLError, OSError):
            if attempt == attempts - 1:
                raise
            time.sleep(2**attempt)
    raise AssertionError("no attempt at all")


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"the page")

    def log_message(self, *arguments):
        pass


# ---- the tests


@pytest.fixture
def hosts(ustcp_net):
    client, server = ustcp_net.host("client"), ustcp_net.host("server")
    server.run(lambda: http.server.HTTPServer(("", 80), Page).serve_forever())
    with client:  # this test's own sockets are the client's
        yield client, server


def test_a_lost_syn_ack_is_asked_for_again_by_tcp_itself(ustcp_net, hosts):
    ustcp_net.drop("SYN-ACK")
    assert fetch("http://server/", attempts=1) == b"the page"
    [lost] = [packet for packet in ustcp_net.timeline.packets if packet.lost == "script"]
    assert lost.name == "SYN+ACK"
    assert ustcp_net.now > 1.0, "a SYN or a SYN-ACK is repeated after a second"


def test_a_server_that_is_away_for_a_while_is_waited_for(ustcp_net, hosts):
    client, server = hosts
    ustcp_net.cut(client, server)

    @server.run
    def comes_back():
        ustcp_net.sleep(6)
        ustcp_net.mend()

    assert fetch("http://server/") == b"the page"
    assert 6 < ustcp_net.now < 12


def test_in_the_end_it_gives_up(ustcp_net, hosts):
    ustcp_net.cut(*hosts)
    with pytest.raises(OSError):
        fetch("http://server/")
    assert ustcp_net.now == pytest.approx(4 * 2 + 1 + 2 + 4)
