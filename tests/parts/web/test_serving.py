import socket

import pytest

from assay.errors import UsageError
from assay.parts.web.serving import address_of, listen


def test_without_a_public_address_only_this_host_is_answered():
    address = address_of(8100)

    assert address.hosts == {"127.0.0.1:8100", "localhost:8100", "[::1]:8100"}
    assert not address.proxied


@pytest.mark.parametrize(
    ("said", "url", "host"),
    [
        ("https://survey.example.org", "https://survey.example.org", "survey.example.org"),
        ("https://survey.example.org:443/", "https://survey.example.org", "survey.example.org"),
        ("https://Ab.example:8443", "https://ab.example:8443", "ab.example:8443"),
        ("http://[2001:db8::1]:80", "http://[2001:db8::1]", "[2001:db8::1]"),
    ],
)  # fmt: skip
def test_a_public_address_fixes_the_one_host(said, url, host):
    address = address_of(8100, said)

    assert (address.url, address.hosts, address.proxied) == (url, {host}, True)
    assert address.scheme == url.partition(":")[0]


@pytest.mark.parametrize(
    "said",
    ["survey.example.org", "ftp://a.example", "https://", "https://a.example/path", "https://a:b@c.example",
     "https://a.example?x=1", "https://a.example:port", "http://[::1"],
)  # fmt: skip
def test_what_is_no_public_address_is_refused(said):
    with pytest.raises(UsageError, match="no public address"):
        address_of(8100, said)


def test_other_computers_are_let_in_only_under_a_name():
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        with pytest.raises(UsageError, match="--public"):
            listen(host, 0)
    with listen("127.0.0.1", 0) as bound:
        assert bound.getsockname()[0] == "127.0.0.1"


def test_a_taken_port_is_told_in_one_line():
    with listen("127.0.0.1", 0) as bound, pytest.raises(UsageError) as caught:
        listen("127.0.0.1", bound.getsockname()[1])

    assert "address already in use" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_listening_socket_takes_connections_before_the_server_runs():
    with listen("127.0.0.1", 0) as bound, socket.create_connection(bound.getsockname(), timeout=2):
        pass
