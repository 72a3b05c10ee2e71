# SPDX-License-Identifier: Apache-2.0
"""Random worlds of bindings over a small tree, for the laws of the decision."""

from datetime import timedelta
from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from checkvalve.ids import BindingId, PersonId
from checkvalve.server.access import roles
from checkvalve.server.access.model import Binding, Ceiling, Context, Permission, Principal
from tests.conftest import NOON

PATHS = ("/", "/a/", "/a/b/", "/a/b/c/", "/a/d/", "/ab/", "/ab/e/", "/f/")

_moments = st.sampled_from([None, *(NOON + timedelta(minutes=minutes) for minutes in (-10, -1, 0, 1, 10))])
_networks = st.sampled_from([(), (ip_network("10.0.0.0/8"),), (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))])

permissions = st.sampled_from(list(Permission))
scopes = st.sampled_from(PATHS)
contexts = st.sampled_from([None, "10.1.2.3", "10.200.0.1", "192.0.2.1", "fd00::1"]).map(
    lambda text: Context(ip_address(text) if text else None)
)
ceilings = st.builds(Ceiling, scope=scopes, permissions=st.none() | st.frozensets(permissions))


@st.composite
def bindings(draw: st.DrawFn) -> tuple[Binding, ...]:
    """Draw up to six bindings of one person."""
    return tuple(
        Binding(
            id=BindingId(f"binding-{number}"),
            person=PersonId("anna"),
            role=draw(st.sampled_from([*roles.BUILT_IN, "gone"])),
            scope=draw(scopes),
            not_before=draw(_moments),
            not_after=draw(_moments),
            networks=draw(_networks),
        )
        for number in range(draw(st.integers(0, 6)))
    )


@st.composite
def principals(draw: st.DrawFn) -> Principal:
    """Draw a person, now and then disabled or calling by token."""
    return Principal(
        person=PersonId("anna"),
        bindings=draw(bindings()),
        roles=roles.BUILT_IN,
        ceiling=draw(st.just(Ceiling()) | ceilings),
        disabled=draw(st.sampled_from([False, False, False, True])),
    )
