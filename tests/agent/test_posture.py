# SPDX-License-Identifier: Apache-2.0
"""What of the host's sockets is reported."""

import socket
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from checkvalve.agent import posture
from checkvalve.protocol.exchange import Listening

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12346 1
   2: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 12347 1
"""
UDP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000
   1: 00000000000000000000000000000000:C001 00000000000000000000000000000000:0000 07 00000000:00000000
"""


def test_a_listening_socket_is_told_with_its_address_and_a_connection_is_not() -> None:
    assert sorted(posture.sockets("tcp", TCP)) == [
        Listening(protocol="tcp", address="0.0.0.0", port=22),
        Listening(protocol="tcp", address="127.0.0.1", port=8080),
    ]


def test_a_clients_udp_socket_comes_and_goes_and_is_not_told() -> None:
    assert list(posture.sockets("udp6", UDP6)) == [Listening(protocol="udp", address="::1", port=53)]


def test_the_kernel_of_this_machine_tells_of_a_socket_that_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert Listening(protocol="tcp", address="127.0.0.1", port=port) in posture.listening()
    assert Listening(protocol="tcp", address="127.0.0.1", port=port) not in posture.listening()


def test_a_host_that_tells_nothing_has_nothing(tmp_path: Path) -> None:
    assert posture.listening(tmp_path) == ()


@given(st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    list(posture.sockets("tcp6", "head\n" + text))
    list(posture.sockets("udp", "head\n 0: " + text + " 00 07"))
