"""The wires of the engine."""

from typing import Any

from dicos_proto.association import Association
from dicos_proto.wire import is_network


def test_a_network_wire_is_told_from_a_plain_one_by_its_members() -> None:
    class Network:
        holds = False
        ending = None

    wire: Any = Network()
    assert is_network(wire)
    assert not is_network(Association.acceptor())
