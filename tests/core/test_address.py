"""Whose address is it: the peer's, or what a chain of trusted proxies vouches for, and never what a stranger writes."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asgi_tokenguard.core.address import (
    MAX_BYTES,
    MAX_HOPS,
    TrustedProxies,
    client_address,
    forwarded_scheme,
    packed_client_address,
)
from asgi_tokenguard.core.sessions import pack_address
from asgi_tokenguard.errors import ConfigurationError

PROXY, INNER, CLIENT, VICTIM = "10.0.0.1", "10.0.0.2", "203.0.113.7", "198.51.100.1"
CLIENT6 = "2001:db8::7"
TRUSTED = TrustedProxies.parse(["10.0.0.0/8", "fd00::/8", "192.0.2.200"])
FOR, STANDARD, PROTO = b"x-forwarded-for", b"forwarded", b"x-forwarded-proto"
UNKNOWN = None


def scope(peer, *headers):
    """A request as a server tells it; headers are pairs, text stands for its Latin-1."""
    client = peer if peer is None or isinstance(peer, tuple | list) else (peer, 50_000)
    lines = [(name, value if isinstance(value, bytes) else value.encode("latin-1")) for name, value in headers]
    return {"type": "http", "client": client, "headers": [(b"host", b"app.example"), *lines]}


def seen(*headers, peer=PROXY, trusted=TRUSTED):
    return client_address(scope(peer, *headers), trusted)


# --- Stories


def test_p21_a_spoofed_header_from_a_stranger_changes_nothing():
    spoofed = [(FOR, VICTIM), (STANDARD, f"for={VICTIM}"), (b"x-real-ip", VICTIM)]
    assert CLIENT == seen(*spoofed, peer=CLIENT)
    assert CLIENT == seen(*spoofed, peer=CLIENT, trusted=())
    assert PROXY == seen(*spoofed, trusted=())
    assert VICTIM == seen(spoofed[0])  # the same words count where the peer is a proxy


def test_p21_a_client_cannot_add_itself_another_past():
    """It writes a list, the proxy adds the address that it really has."""
    assert CLIENT == seen((FOR, f"{VICTIM}, {PROXY}, {CLIENT}"))
    assert CLIENT == seen((STANDARD, f"for={VICTIM}, for={PROXY}, for={CLIENT}"))


def test_a_chain_is_read_hop_by_hop_from_the_right():
    assert CLIENT == seen((FOR, f"{VICTIM}, {CLIENT}, {INNER}, 192.0.2.200, fd00::9"))
    assert CLIENT == seen((STANDARD, f'for={CLIENT};proto=https, for={INNER}, for="[fd00::9]:80"'))


def test_an_unnamed_proxy_is_taken_for_the_client_since_nobody_vouches_for_it():
    assert "192.0.2.1" == seen((FOR, f"{CLIENT}, 192.0.2.1"))


def test_where_all_are_trusted_the_farthest_machine_asks():
    assert INNER == seen((FOR, f"{INNER}, 192.0.2.200, 10.9.9.9"))
    assert "fd00::1" == seen((STANDARD, f'for="[fd00::1]", for={INNER}'))


def test_a_proxy_that_tells_nothing_is_not_its_client():
    """A client can make some proxies drop the header (CVE-2022-31813), and would appear under the proxy's own address."""
    assert UNKNOWN is seen()
    assert UNKNOWN is seen((b"connection", "close, X-Forwarded-For"))
    assert UNKNOWN is seen((FOR, ""))


def test_what_a_proxy_hides_stays_unknown():
    """Neither the proxy's address nor the client's word from the left takes the place of what was hidden."""
    assert UNKNOWN is seen((STANDARD, f"for={VICTIM}, for=unknown"))
    assert UNKNOWN is seen((STANDARD, f"for={VICTIM}, for=_hidden, for={INNER}"))
    assert UNKNOWN is seen((FOR, f"{VICTIM}, unknown"))


@pytest.mark.parametrize("broken", [f'for="{CLIENT}', f'for={CLIENT}"', '"', '"""', f'for="{CLIENT}\\"', f'\\", for={CLIENT}"'])
def test_an_element_that_does_not_end_is_still_a_hop(broken):
    """Else its proxy would be taken for the farthest machine."""
    assert UNKNOWN is seen((STANDARD, f"{broken}, for={INNER}"))
    assert UNKNOWN is seen((STANDARD, broken))


def test_of_two_headers_none_is_preferred():
    """The proxy writes one and lets the other through: whichever we preferred, a client could send that one."""
    assert UNKNOWN is seen((FOR, CLIENT), (STANDARD, f"for={VICTIM}"))
    assert UNKNOWN is seen((FOR, VICTIM), (STANDARD, f"for={CLIENT}"))
    assert UNKNOWN is seen((FOR, CLIENT), (STANDARD, "for=unknown"))
    assert UNKNOWN is seen((FOR, ""), (STANDARD, f"for={CLIENT}"))
    assert CLIENT == seen((FOR, CLIENT), (STANDARD, f"for={CLIENT}"))
    assert CLIENT6 == seen((FOR, CLIENT6), (STANDARD, 'For="[2001:DB8:0::7]:4711"'))


def test_lines_of_one_name_are_one_list_in_their_order():
    assert CLIENT == seen((FOR, VICTIM), (FOR, CLIENT))
    assert CLIENT == seen((FOR, f"{VICTIM}, {CLIENT}"), (b"accept", "*/*"), (FOR, f"{INNER}"))
    assert CLIENT == seen((STANDARD, f"for={VICTIM}"), (STANDARD, f"for={CLIENT}"), (STANDARD, f"for={INNER}"))


def test_an_open_quote_does_not_swallow_what_the_proxy_adds():
    """From the left, the attacker's quote ends at the proxy's first one, and the host becomes the proxy's word."""
    assert CLIENT6 == seen((STANDARD, f'for="x, for="[{CLIENT6}]:4711"'))
    assert CLIENT == seen((STANDARD, f'for={VICTIM};host="'), (STANDARD, f'for={CLIENT};host="app.example"'))
    assert CLIENT == seen((STANDARD, f'for="\\, for={CLIENT};host="a\\"b"'))


def test_quotes_hold_separators_and_escapes():
    assert CLIENT == seen((STANDARD, f'for={CLIENT};host="a, for={VICTIM}"'))
    assert CLIENT == seen((STANDARD, f'for={CLIENT};host="a\\", for={VICTIM}, \\""'))
    assert CLIENT == seen((STANDARD, f'for={CLIENT};host="a;for={VICTIM}"'))
    assert CLIENT == seen((STANDARD, f'host="\\\\";for={CLIENT}'))


# --- The peer, as servers tell it


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ((CLIENT, 50_000), CLIENT),
        ([CLIENT, 50_000], CLIENT),  # daphne
        ((CLIENT, "50000"), CLIENT),  # granian
        ((CLIENT, None), CLIENT),
        (("2001:DB8:0:0::7", 1), CLIENT6),
        (("fe80::1%eth0", 1), "fe80::1"),
        ((f"::ffff:{CLIENT}", 1), CLIENT),  # a server that listens on `::`
        ((f"{CLIENT}:1024", 0), CLIENT),  # older versions of uvicorn copied it from a header so
        (None, None),
        ((), None),
        (("", 0), None),
        ((None, None), None),
        (("testclient", 50_000), None),
        (("/run/app.sock", None), None),
        (("unknown", 0), None),
        ((b"203.0.113.7", 1), None),
        ((7, 1), None),
        (("203.0.113.07", 1), None),
    ],
)
def test_a_peer_that_is_no_proxy_is_the_client(client, expected):
    headers = [(FOR, VICTIM), (STANDARD, f"for={VICTIM}")]
    for trusted in (TrustedProxies(), TRUSTED):
        assert expected == client_address(scope(client, *headers), trusted)
        assert pack_address(expected) == packed_client_address(scope(client, *headers), trusted)


@pytest.mark.parametrize("client", [None, (), ("", 0), ("", "0"), (None, None), ["", None]])
def test_the_peer_of_a_unix_socket_counts_where_it_is_named(client):
    local = TrustedProxies.parse(["unix"])
    assert CLIENT == seen((FOR, f"{VICTIM}, {CLIENT}"), peer=client, trusted=local)
    assert UNKNOWN is seen(peer=client, trusted=local)
    assert UNKNOWN is seen((FOR, CLIENT), peer=client)


@pytest.mark.parametrize("host", ["unknown", "unix", "unix:", "/run/app.sock", "testclient", "x", " ", "10.0.0.01"])
def test_a_peer_with_a_strange_name_is_no_unix_socket(host):
    """uvicorn copies what a header says into the peer, and headers are anyone's."""
    assert UNKNOWN is seen((FOR, VICTIM), peer=host, trusted=TrustedProxies.parse(["unix", "10.0.0.1"]))


@pytest.mark.parametrize("peer", [f"::ffff:{PROXY}", "fd00::1", "FD00:0::1%eth0", "192.0.2.200", ["10.255.0.1", 1]])
def test_a_proxy_is_recognised_however_the_server_writes_it(peer):
    assert CLIENT == seen((FOR, CLIENT), peer=peer)


def test_a_scope_that_tells_little_is_read():
    assert UNKNOWN is client_address({"type": "http"}, ["unix"])
    assert UNKNOWN is client_address({"type": "http", "client": (PROXY, 1)}, TRUSTED)
    assert CLIENT == client_address({"type": "websocket", "client": (CLIENT, 1)})


def test_proxies_may_be_given_as_strings():
    assert CLIENT == client_address(scope(PROXY, (FOR, CLIENT)), [PROXY])
    for wrong in ("", PROXY, ["*"]):
        with pytest.raises(ConfigurationError):
            client_address(scope(PROXY), wrong)


def test_packed_addresses_are_those_of_the_text():
    for header in (CLIENT, CLIENT6, "unknown"):
        told = scope(PROXY, (FOR, header))
        assert pack_address(client_address(told, TRUSTED)) == packed_client_address(told, TRUSTED)


# --- Nodes: each row with what it means in X-Forwarded-For, in Forwarded and, where it may stand so, in Forwarded unquoted

NODES = [
    (CLIENT, CLIENT),
    ("203.0.113.7:4711", CLIENT),
    ("203.0.113.7:0", CLIENT),
    ("203.0.113.7:_gazonk", CLIENT),
    ("0.0.0.0", "0.0.0.0"),
    ("255.255.255.255", "255.255.255.255"),
    (CLIENT6, CLIENT6),
    ("2001:DB8:0:0:0:0:0:7", CLIENT6),
    ("2001:0db8::0007", CLIENT6),
    ("[2001:db8::7]", CLIENT6),
    ("[2001:db8::7]:4711", CLIENT6),
    ("[2001:db8::7]:_x.y-z", CLIENT6),
    ("::1", "::1"),
    ("[::]", "::"),
    ("fe80::1%eth0", "fe80::1"),
    ("[fe80::1%25en0]:80", "fe80::1"),
    ("::ffff:203.0.113.7", CLIENT),
    ("[::FFFF:203.0.113.7]:80", CLIENT),
    ("::ffff:cb00:7107", CLIENT),
    ("64:ff9b::203.0.113.7", CLIENT),
    ("[64:ff9b::cb00:7107]:80", CLIENT),
    ("64:ff9b:1::cb00:7107", "64:ff9b:1::cb00:7107"),  # RFC 8215: where the IPv4 address stands is a local matter
    # nobody's address
    ("", None),
    ("unknown", None),
    ("_hidden", None),
    ("_SEVKISEK", None),
    ("unix:", None),
    ("localhost", None),
    ("app.example", None),
    ("null", None),
    ("-", None),
    ("*", None),
    # nearly one
    ("203.0.113.07", None),
    ("0203.0.113.7", None),
    ("00.0.0.0", None),
    ("203.0.113.256", None),
    ("203.0.113", None),
    ("203.0.113.7.9", None),
    ("203.0.113.7.", None),
    (".203.0.113.7", None),
    ("3405803783", None),
    ("0xcb.0.113.7", None),
    ("203.0.113.7/32", None),
    ("203.0.113.7:", None),
    ("203.0.113.7:http", None),
    ("203.0.113.7:471111", None),
    ("203.0.113.7:-1", None),
    ("203.0.113.7:80:80", None),
    ("203.0.113.7%eth0", None),
    ("[203.0.113.7]", None),
    ("203.0.113.7 198.51.100.1", None),
    ("203.0.113.7\x00", None),
    ("203.0.113.7\n", None),
    ("203.0.113.7\x0b", None),
    ("203.0.113.\xb2", None),
    ("\xa0203.0.113.7", None),
    ("2001:db8::7::", None),
    ("2001:db8:7", None),
    ("2001:db8::07777", None),
    ("2001:db8::g", None),
    (":", None),
    (":::", None),
    ("[2001:db8::7", None),
    ("2001:db8::7]", None),
    ("[2001:db8::7]4711", None),
    ("[2001:db8::7]:", None),
    ("[2001:db8::7]x", None),
    ("[]", None),
    ("[]:80", None),
    ("[[2001:db8::7]]", None),
    ("fe80::1%", None),
    ("fe80::1%a%b", None),
    ("[fe80::1]%eth0", None),
    ("::ffff:203.0.113.07", None),
    ("http://203.0.113.7", None),
    ("\u00b9", None),
]


@pytest.mark.parametrize(("node", "expected"), NODES)
def test_a_node_is_an_address_or_nothing(node, expected):
    quoted = f'for="{node}"'
    assert expected == seen((FOR, node)), "X-Forwarded-For"
    assert expected == seen((FOR, f"{VICTIM},\t {node} \t"))
    assert expected == seen((FOR, f"{VICTIM},{node}, {INNER}"))
    assert expected == seen((STANDARD, quoted)), "Forwarded"
    assert expected == seen((STANDARD, f"for={VICTIM}, {quoted}"))
    assert expected == seen((STANDARD, 'for="' + "".join(f"\\{character}" for character in node) + '"'))
    if not set(node) & set(" \n\x0b\x00\xa0\xb2\xb9"):
        assert expected == seen((STANDARD, f"for={node}"))


LISTS = [
    (CLIENT, CLIENT),
    (f"{CLIENT},{INNER}", CLIENT),
    (f" {CLIENT}\t,\t{INNER} ", CLIENT),
    (f",,{CLIENT}", CLIENT),
    (f"%%%, {CLIENT}", CLIENT),
    (f'"{VICTIM}, {CLIENT}', CLIENT),  # quotes mean nothing here
    (f"{CLIENT},", None),
    (f"{CLIENT},,{INNER}", None),
    (f"{CLIENT}, ", None),
    (f"{CLIENT}; {INNER}", None),
    (f'"{CLIENT}"', None),
    (f"for={CLIENT}", None),
    (f"{CLIENT}, unknown, {INNER}", None),
    (f"{CLIENT}, {INNER}:80, [fd00::1]:_p", CLIENT),
    (f"{CLIENT}, ::ffff:{INNER}", CLIENT),
    (",", None),
]


@pytest.mark.parametrize(("header", "expected"), LISTS)
def test_x_forwarded_for_is_a_list(header, expected):
    assert expected == seen((FOR, header))


ELEMENTS = [
    (f"for={CLIENT}", CLIENT),
    (f"FOR={CLIENT}", CLIENT),
    (f"For={CLIENT};Proto=https;By={PROXY};host=app.example", CLIENT),
    (f"by={PROXY};for={CLIENT}", CLIENT),
    (f"proto=https; for={CLIENT} ;\thost=app.example", CLIENT),
    (f";for={CLIENT};;", CLIENT),
    (f"proto=https;;\t; for={CLIENT}", CLIENT),
    (f'x="\\\\";y="\\"\\\\\\"\\\\";for={CLIENT}', CLIENT),
    (f'for={CLIENT};x="\\\\",for={INNER};y="\\\\"', CLIENT),
    (f"for={CLIENT};host=app.example:8080", CLIENT),
    (f"for={CLIENT};host=[{CLIENT6}]:80", CLIENT),
    (f'for={CLIENT};secret="\xe4\xff"', CLIENT),
    (f"for={CLIENT};x-new=1", CLIENT),
    ('for="203\\.0.113.7"', CLIENT),
    ('for="203.0.113.7\\:80"', CLIENT),
    (f",,for={CLIENT}", CLIENT),
    (f"%%%, for={CLIENT}", CLIENT),
    (f'"" "" , for={CLIENT}', CLIENT),
    # elements that tell no address
    ("", None),
    (",", None),
    (";", None),
    ("for=", None),
    ('for=""', None),
    ("for", None),
    ("=", None),
    (f"={CLIENT}", None),
    (CLIENT, None),
    ("proto=https;host=app.example", None),
    (f"by={CLIENT}", None),
    (f"for={CLIENT},", None),
    (f"for={CLIENT}, proto=https", None),
    # malformed ones
    (f"for={CLIENT};for={VICTIM}", None),
    (f"for={CLIENT};For={CLIENT}", None),
    (f"for={CLIENT};proto", None),
    (f"for={CLIENT};pr oto=https", None),
    (f"for={CLIENT};\x0bproto=https", None),
    (f"\x0bfor={CLIENT}", None),
    (f"for={CLIENT}\n", None),
    (f'proto="https"for={CLIENT}', None),
    (f'for="{CLIENT}"proto="https"', None),
    (f"for={CLIENT};host=\xe4", None),
    (f"for = {CLIENT}", None),
    (f"for ={CLIENT}", None),
    (f"for= {CLIENT}", None),
    (f"for={CLIENT} for={CLIENT}", None),
    (f'for="{CLIENT}', None),
    (f'for={CLIENT}"', None),
    (f'for="{CLIENT}\\"', None),
    (f'for="{CLIENT}"x', None),
    (f'for="{CLIENT}" "{CLIENT}"', None),
    (f"for='{CLIENT}'", None),
    (f'"for"={CLIENT}', None),
    (f"for\xe4={CLIENT}", None),
    (f"for={CLIENT}\\", None),
    (f'for={CLIENT};host="', None),
]


@pytest.mark.parametrize(("header", "expected"), ELEMENTS)
def test_forwarded_is_a_list_of_parameters(header, expected):
    assert expected == seen((STANDARD, header))
    assert expected == seen((STANDARD, f"for={VICTIM}"), (STANDARD, header))


# --- Bounds


@pytest.mark.parametrize(("name", "element"), [(FOR, "{}"), (STANDARD, "for={}")])
def test_no_more_hops_than_any_real_chain_has_are_walked(name, element):
    def after(hops):
        return seen((name, ", ".join([element.format(CLIENT), *[element.format(INNER)] * hops])))

    assert CLIENT == after(MAX_HOPS - 1)
    farthest = [element.format(VICTIM), element.format(CLIENT), *[element.format(INNER)] * (MAX_HOPS - 1)]
    assert CLIENT == seen((name, ",".join(farthest)))
    assert UNKNOWN is after(MAX_HOPS)
    assert UNKNOWN is after(MAX_HOPS + 1)
    assert INNER == seen((name, ",".join([element.format(INNER)] * MAX_HOPS)))
    assert UNKNOWN is seen((name, ",".join([element.format(INNER)] * (MAX_HOPS + 1))))


@pytest.mark.parametrize("padding", ["x" * 100_000, "," * 100_000, f"{INNER}," * 10_000, '"' * 99_999, "\\" * 100_000])
def test_padding_on_the_left_moves_nothing_out_of_sight(padding):
    assert CLIENT == seen((FOR, f"{padding}, {CLIENT}"))
    assert CLIENT == seen((STANDARD, f'{padding}, for="{CLIENT}"'))
    assert CLIENT == seen((STANDARD, padding), (STANDARD, f"for={CLIENT}, for={INNER}"))


@pytest.mark.parametrize(
    ("name", "element", "proxy"),
    [(FOR, f"1{CLIENT}", ", {}" + INNER), (STANDARD, f"for=1;for={CLIENT}", ', for=10.0.0.2;x="{}"')],
)
def test_an_address_that_was_cut_is_none(name, element, proxy):
    """Half of 1203.0.113.7 is 203.0.113.7, and half of a doubled parameter is a single one."""
    for kept in range(len(element) + 1):
        padding = " " * (MAX_BYTES - kept - len(proxy) + 2)
        header = element + proxy.format(padding)
        assert MAX_BYTES + len(element) - kept == len(header)
        assert UNKNOWN is seen((name, header))


@pytest.mark.parametrize(("name", "element"), [(FOR, CLIENT), (STANDARD, f"for={CLIENT}")])
def test_a_header_is_read_whole_up_to_the_bound(name, element):
    assert CLIENT == seen((name, element.rjust(MAX_BYTES)))
    assert UNKNOWN is seen((name, element.rjust(MAX_BYTES + 1)))


def test_twenty_elements_that_tell_everything_fit():
    address = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"
    element = f'for="[{address}]:65535";by="[{address}]:65535";host="{"h" * 40}";proto=https'
    inner = element.replace("2001:db8:", "fd00:1:")
    assert address == seen((STANDARD, ", ".join([element, *[inner] * 19])))


# --- Whatever is sent

TOKENS = st.sampled_from(
    [b"for=", b"For=", b"proto=", b"https", b"host=", b",", b", ", b";", b'"', b"\\", b"=", b" ", b"\t", b"[", b"]", b":", b"%",
     b"203.0.113.7", b"198.51.100.1", b"10.0.0.1", b"10.0.0.2:80", b"2001:db8::7", b"[fd00::1]:80", b"::ffff:10.0.0.1",
     b"fe80::1%eth0", b"unknown", b"_hidden", b"0", b".", b"\xff", b"\0", b"\r\n", b"10.0.0.2, " * 25, b"x" * MAX_BYTES]
)  # fmt: skip
BYTES = st.binary(max_size=60) | st.lists(TOKENS, max_size=12).map(b"".join)
HEADERS = st.lists(st.tuples(st.sampled_from([FOR, STANDARD, PROTO]), BYTES), max_size=4)
PEERS = st.sampled_from([PROXY, INNER, CLIENT, "fd00::1", None]) | st.text(max_size=20)
EVERY = TrustedProxies.parse(["10.0.0.0/8", "fd00::/8", "unix"])


@given(PEERS, HEADERS)
@example(PROXY, [(STANDARD, b'for="')])
@example(PROXY, [(STANDARD, b"for=\\")])
@settings(deadline=None, database=None, max_examples=500)
def test_i3_no_bytes_raise(peer, headers):
    request = scope(peer, *headers)
    for trusted in (TRUSTED, EVERY, TrustedProxies()):
        text, packed = client_address(request, trusted), packed_client_address(request, trusted)
        assert (text is None) == (packed == b"")
        assert text is None or text == str(ip_address(packed))
        assert forwarded_scheme(request, trusted) in {None, "http", "https"}


# What a trusted proxy, or two in a row, put behind the words of the client; all mean CLIENT or CLIENT6.
ADDED = [
    (FOR, [CLIENT], CLIENT),
    (FOR, [f"{CLIENT}:4711"], CLIENT),
    (FOR, [CLIENT6, INNER], CLIENT6),
    (FOR, [CLIENT, f"{INNER}:80", "[fd00::1]:80"], CLIENT),
    (STANDARD, [f"for={CLIENT}"], CLIENT),
    (STANDARD, [f'for="[{CLIENT6}]:4711";proto=https'], CLIENT6),
    (STANDARD, [f'host="a\\"b, c;d\\\\";for={CLIENT}', f'for="{INNER}:80"'], CLIENT),
]


@given(BYTES, st.sampled_from(ADDED), st.lists(st.booleans(), min_size=3, max_size=3), HEADERS)
@example(b'for="x', ADDED[5], [False] * 3, [])
@example(b"for=\\", ADDED[5], [True] * 3, [])
@settings(deadline=None, database=None, max_examples=1_000)
def test_p21_no_prefix_changes_what_the_proxies_say(prefix, added, own_lines, rest):
    """Whether they append to the client's line or start one of their own."""
    name, elements, expected = added
    lines = [prefix]
    for element, own_line in zip(elements, own_lines, strict=False):
        if own_line:
            lines.append(element.encode())
        else:
            lines[-1] += b", " + element.encode()
    other = STANDARD if name == FOR else FOR
    told = [(name, line) for line in lines]
    assert expected == seen(*told)
    # The header that the proxies let through is all the client's: the truth or nothing.
    assert seen(*told, *((other, value) for _, value in rest)) in {expected, None}


HOPS = st.sampled_from(
    [PROXY, INNER, "fd00::1", "192.0.2.200", CLIENT, CLIENT6, VICTIM, "unknown", "_x", "", "10.0.0.01", '"', "\\"]
)


@given(st.lists(HOPS, min_size=1, max_size=MAX_HOPS), st.data())
@settings(deadline=None, database=None, max_examples=500)
def test_the_rule_said_once_more(chain, data):
    """First the addresses, then what they look like on the wire."""
    untrusted = [hop for hop in chain if hop not in {PROXY, INNER, "fd00::1", "192.0.2.200"}]
    expected = untrusted[-1] if untrusted else chain[0]
    expected = expected if expected in {PROXY, INNER, "fd00::1", CLIENT, CLIENT6, VICTIM, "192.0.2.200"} else None

    def draw(*forms):
        return data.draw(st.sampled_from(forms))

    def node(hop):
        if ":" in hop:
            return draw(hop, f"[{hop}]", f"[{hop}]:80", f"{hop}%1", hop.upper())
        return draw(hop, f"{hop}:80", f"::ffff:{hop}" if hop[-1:].isdigit() and "01" not in hop else hop)

    comma = draw(",", ", ", " ,\t")
    assert expected == seen((FOR, comma.join(node(hop) for hop in chain)))
    forwarded = [draw("for", "FOR") + f'="{node(hop)}"' + draw("", ";proto=http", '; x=","') for hop in chain]
    assert expected == seen((STANDARD, comma.join(forwarded)))


# --- The scheme


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([(PROTO, "https")], "https"),
        ([(PROTO, "HTTP")], "http"),
        ([(PROTO, "wss")], "https"),  # Traefik
        ([(PROTO, "ws")], "http"),
        ([(PROTO, "http, \thttps ")], "https"),
        ([(PROTO, "http"), (PROTO, "https")], "https"),
        ([(PROTO, "https"), (PROTO, "http")], "http"),
        ([(PROTO, "https,")], None),
        ([(PROTO, "")], None),
        ([(PROTO, "ftp")], None),
        ([(PROTO, "https://")], None),
        ([(PROTO, b"https\xff")], None),
        ([(PROTO, "x" * MAX_BYTES + ", https")], "https"),
        ([(PROTO, "https".rjust(MAX_BYTES + 1))], None),
        ([(STANDARD, "proto=https")], "https"),
        ([(STANDARD, f'for={CLIENT};PROTO="HTTPS";host=a')], "https"),
        ([(STANDARD, "proto=http, proto=https")], "https"),
        ([(STANDARD, "proto=https"), (STANDARD, "proto=http")], "http"),
        ([(STANDARD, 'proto="'), (STANDARD, 'proto="https"')], "https"),
        ([(STANDARD, f"proto=https, for={CLIENT}")], None),
        ([(STANDARD, "proto=https;proto=https")], None),
        ([(STANDARD, f"for={CLIENT}")], None),
        ([(STANDARD, "")], None),
        ([(STANDARD, "proto=https"), (PROTO, "https")], "https"),
        ([(STANDARD, "proto=http"), (PROTO, "https")], None),
        ([(STANDARD, f"for={CLIENT}"), (PROTO, "https")], None),
        ([(STANDARD, "proto=https"), (PROTO, "")], None),
        ([(b"x-forwarded-scheme", "https"), (b"x-forwarded-ssl", "on")], None),
    ],
)
def test_the_scheme_is_the_last_word_of_the_trusted_peer(headers, expected):
    assert expected == forwarded_scheme(scope(PROXY, *headers), TRUSTED)
    assert expected == forwarded_scheme(scope(None, *headers), EVERY)
    assert None is forwarded_scheme(scope(CLIENT, *headers), TRUSTED)
    assert None is forwarded_scheme(scope(None, *headers), TRUSTED)
    assert None is forwarded_scheme(scope("unix:", *headers), EVERY)


# --- The option


def test_proxies_are_addresses_networks_and_unix_sockets():
    proxies = TrustedProxies.parse(["10.0.0.1", "192.168.0.0/16", "fd00::/8", "2001:db8::1", "unix"])
    trusted = ["10.0.0.1", "192.168.0.0", "192.168.255.255", "fd00::", "fdff::1", "2001:db8::1", "::ffff:10.0.0.1"]
    others = ["10.0.0.2", "192.169.0.0", "fe00::", "2001:db8::2", "::ffff:10.0.0.2", "::a00:1", "0.0.0.0", "::"]
    assert [True] * len(trusted) == [proxies.trusts(ip_address(address)) for address in trusted]
    assert [False] * len(others) == [proxies.trusts(ip_address(address)) for address in others]
    assert proxies.trusts(None)


def test_nobody_is_trusted_by_default():
    for proxies in (TrustedProxies(), TrustedProxies.parse([])):
        assert not proxies.trusts(None)
        assert not proxies.trusts(ip_address("127.0.0.1"))


def test_the_same_proxies_are_equal_values():
    once = TrustedProxies.parse(["10.0.0.0/9", "10.128.0.0/9", "fd00::1", "unix"])
    again = TrustedProxies.parse(text for text in ("unix", "FD00:0::1/128", "unix", "10.0.0.0/8", "10.1.2.3"))
    assert once == again
    assert hash(once) == hash(again)
    assert once != TrustedProxies.parse(["10.0.0.0/8", "fd00::1"])


@pytest.mark.parametrize("text", ["::ffff:10.0.0.0/104", "::ffff:a00:0/104"])
def test_mapped_networks_are_those_of_ipv4(text):
    assert TrustedProxies.parse(["10.0.0.0/8"]) == TrustedProxies.parse([text])
    assert TrustedProxies((ip_network("10.0.0.1/32"),)) == TrustedProxies.parse(["::ffff:10.0.0.1"])


def test_networks_behind_nat64_are_those_of_ipv4():
    assert TrustedProxies.parse(["10.0.0.0/8"]) == TrustedProxies.parse(["64:ff9b::10.0.0.0/104"])
    assert TrustedProxies((ip_network("10.0.0.1/32"),)) == TrustedProxies.parse(["64:ff9b::10.0.0.1"])


@pytest.mark.parametrize("text", ["64:ff9b::/96", "64:ff9b::/64", "64:ff9b::/32", "64::/16"])
def test_a_network_that_holds_all_of_nat64_holds_everybody(text):
    with pytest.raises(ConfigurationError, match="would let strangers claim any address"):
        TrustedProxies.parse([text])


WRONG = [
    ("", "no address"),
    (" 10.0.0.1", "no address"),
    ("10.0.0.1 ", "no address"),
    ("10.0.0.1\n", "no address"),
    ("10.0.0.1,10.0.0.2", "no address"),
    ("*", "no address"),
    ("UNIX", "no address"),
    ("unix:", "no address"),
    ("unix:/run/app.sock", "no address"),
    ("localhost", "no address"),
    ("proxy.example", "no address"),
    ("10.0.0", "no address"),
    ("10.0.0.01", "no address"),
    ("10.0.0.1:80", "no address"),
    ("[fd00::1]", "no address"),
    ("fe80::1%eth0", "no address"),
    ("10.0.0.0/", "no address"),
    ("10.0.0.0/33", "no address"),
    ("10.0.0.0/-8", "no address"),
    ("10.0.0.0/255.0.0.0", "no address"),
    ("10.0.0.0/0.255.255.255", "no address"),
    ("10.0.0.0/8/8", "no address"),
    ("fd00::/129", "no address"),
    ("10.0.0.0/٨", "no address"),
    (True, "no address"),
    (None, "no address"),
    (167772161, "no address"),
    (b"10.0.0.1", "no address"),
    (ip_address("10.0.0.1"), "no address"),
    (["10.0.0.1"], "no address"),
    ("10.0.0.1/8", "write '10.0.0.0/8'"),
    ("fd00::1/8", "write 'fd00::/8'"),
    ("203.0.113.7/0", "bits set"),
    ("::ffff:10.0.0.1/95", "bits set"),
    ("0.0.0.0/0", "strangers"),
    ("::/0", "strangers"),
    ("0.0.0.0/1", "strangers"),
    ("128.0.0.0/1", "strangers"),
    ("10.0.0.0/7", "strangers"),
    ("2000::/3", "strangers"),
    ("::ffff:0:0/96", "strangers"),
    ("::ffff:0.0.0.0/97", "strangers"),
]


@pytest.mark.parametrize(("value", "word"), WRONG)
def test_a_proxy_that_cannot_work_is_refused_at_start_up(value, word):
    with pytest.raises(ConfigurationError) as caught:
        TrustedProxies.parse(["10.0.0.1", value])
    assert "trusted_proxies" == caught.value.option
    assert word in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("values", ["10.0.0.1", "unix", "*", b"10.0.0.1", "", 7, None, True, TrustedProxies()])
def test_proxies_are_a_list(values):
    """A single string would be taken apart into its letters."""
    with pytest.raises(ConfigurationError, match=r"^trusted_proxies: .*write trusted_proxies=\["):
        TrustedProxies.parse(values)


@pytest.mark.parametrize("text", ["10.0.0.0/8", "fc00::/7", "fe80::/10", "0.0.0.0", "::", "::1", "127.0.0.0/8"])
def test_the_widest_private_networks_are_taken(text):
    assert TrustedProxies.parse([text]).trusts(ip_network(text).network_address)
