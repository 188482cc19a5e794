"""
What follows when a cookie is accepted and something about it is odd.

Rule: whether someone from elsewhere goes on, proves who they are or loses the session is decided here and nowhere else.

The attacker here has a copy of the refresh cookie and uses it from his own network.  He cannot choose where that network
lies, short of renting one near his victim; what his headers say he chooses freely, so that nothing here grows milder by a
header.  Each rule sees the `Signals` and the strictest answer holds: an app's own rule can tighten, never loosen.

**A low score is bad**: 100 is the same place, 0 is as far away as the earth allows.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from asgi_tokenguard.core.signals import FAR, NEAR, SAME_PLACE, Signals, score, usable
from asgi_tokenguard.errors import ConfigurationError

# The door of this topic: what it takes from its neighbour is found here as well.
__all__ = [
    "Action",
    "RiskPolicy",
    "Rule",
    "Signals",
    "Verdict",
    "change_of_device",
    "lingering_rule",
    "network_of",
    "redelivery_to_another_device",
    "rotation_off_rule",
    "score",
    "usable",
]

# Precedent of both: rotation_simulation.py; it asks every poller, and few of the honest (DESIGN.md section 6).
LINGER_AFTER: Final = 5.0
LINGER_GENERATIONS: Final = 3
# No answer is under way for an hour: whoever writes more than that means milliseconds, and would turn the rule off unawares.
LONGEST_LINGER_AFTER: Final = 3600.0
# Fifteen generations of 15 minutes: a thief who may ride along for longer than that is not watched at all.
MOST_LINGER_GENERATIONS: Final = 15
# The widest blocks that one operator holds are a /8 (17.0.0.0/8) and a /19 (2003::/19): wider ones are no place at all, and
# a prefix of 0 would make the whole internet one place.
IPV4_PREFIXES: Final = range(8, 32 + 1)
IPV6_PREFIXES: Final = range(16, 128 + 1)

# By the length of a packed address, the two bits with which the names of its networks start.
FAMILIES: Final = {0: 0x00, 4: 0x40, 16: 0x80}

NO_OBJECTION: Final = "no_objection"


class Action(Enum):
    """What follows from a judgement, from the mildest to the strictest."""

    PROCEED = "proceed"
    STEP_UP = "step_up"  # this caller has to prove who it is; others go on
    REVOKE = "revoke"  # the session ends, for owner and thief

    @property
    def severity(self) -> int:
        return _SEVERITY[self]


_SEVERITY: Final = {action: position for position, action in enumerate(Action)}


Rule = Callable[[Signals], Action | None]
"""
What an app adds to the judgement: the action that it asks for, or None where it has no opinion::

    def night_shift(signals: Signals) -> Action | None:
        return Action.STEP_UP if signals.new_network and signals.new_device else None

It must answer at once, from its signals alone.
"""


def rotation_off_rule(signals: Signals) -> Action | None:
    """Step-up for who wants to be served without rotation, from a new network that is no trusted proxy's."""
    # A thief would send this header to ride along without moving the family on, so that the owner notices nothing and only
    # the owner's next rotation ends it (I9).  A server that renders for browsers is listed as a trusted proxy instead, and
    # its visitor's address is judged.
    return Action.STEP_UP if signals.place_counts and signals.rotation_off else None


def redelivery_to_another_device(signals: Signals) -> Action | None:
    """Step-up where a successor would be handed out to other device strings than the session's."""
    # A browser repeats its own lost request and has not changed meanwhile.  Who asks with other strings is more likely the
    # holder of a copy that has just been superseded, and redelivery has no time limit (I8).
    return Action.STEP_UP if signals.redelivery and signals.new_device else None


def lingering_rule(signals: Signals) -> Action | None:
    """Step-up where superseded tokens came back late, time after time."""
    # The thief of I9: on the victim's network, with the victim's device strings, polling with the superseded token.  Honest
    # browsers are late now and then, hardly ever in several generations running.
    return Action.STEP_UP if signals.lingering else None


def change_of_device(signals: Signals) -> Action | None:
    """
    Step-up for other device strings than the session's, wherever they come from.

    A rule for apps to add: `RiskPolicy(rules=[change_of_device])`.  Not there by default, since a browser's update changes
    its strings too: each user would be asked every few weeks.
    """
    return Action.STEP_UP if signals.new_device else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    The strictest answer: its *action*, and the *reason* as a stable word.

    The reason is `"distance"`, `"unknown_location"`, `"rotation_off"`, `"other_device"`, `"lingering"`, the name of an app's
    rule, or `"no_objection"` where no rule has an opinion.  *score* is that of the distance (**low is bad**), None where it is
    unknown.  *error* is what an app's rule raised, for the caller to log: an `ExceptionGroup` where several did.
    """

    action: Action
    reason: str
    score: float | None
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskPolicy:
    """
    What a cookie from an unknown network, on another device or in suspicious repetition leads to.

    A score (**low is bad**: 100 the same place, 50 at 50 km, 20 at 100 km) above *proceed_above* proceeds, one below
    *revoke_below* ends the session, one between asks for re-authentication, both bounds included.  *unknown* is what an
    unknown place leads to, where a locator is configured: `"proceed"`, `"step_up"` or `"revoke"`.

    *rules* are an app's own, asked after ours; the strictest answer holds.  Networks of *ipv4_prefix* and *ipv6_prefix* bits
    count as one place.  A superseded token lingers when it comes back more than *linger_after* seconds after its successor's
    cookie left; *linger_generations* of them running are step-up, and 0 turns that off.

    Raises `ConfigurationError` for what cannot work.
    """

    proceed_above: float = NEAR.score
    revoke_below: float = FAR.score
    unknown: Literal["proceed", "step_up", "revoke"] = "step_up"
    rules: Sequence[Rule] = ()
    # A /24 is the smallest block that is routed on its own, a /64 is one subscriber's link (RFC 7421).
    ipv4_prefix: int = 24
    ipv6_prefix: int = 64
    linger_after: float = LINGER_AFTER
    linger_generations: int = LINGER_GENERATIONS

    def __post_init__(self) -> None:
        _check_thresholds(self.proceed_above, self.revoke_below)
        _check_unknown(self.unknown)
        _check_whole("ipv4_prefix", self.ipv4_prefix, IPV4_PREFIXES)
        _check_whole("ipv6_prefix", self.ipv6_prefix, IPV6_PREFIXES)
        # `mark` counts milliseconds.
        if not (_is_number(self.linger_after) and 0.001 <= self.linger_after <= LONGEST_LINGER_AFTER):  # noqa: PLR2004
            raise ConfigurationError("risk", f"linger_after={self.linger_after!r}", "give seconds, from 1 ms to an hour")
        _check_whole("linger_generations", self.linger_generations, range(MOST_LINGER_GENERATIONS + 1))
        object.__setattr__(self, "rules", _checked_rules(self.rules))  # a copy: a list could change after its check

    def judge(self, signals: Signals) -> Verdict:
        """
        The strictest answer of all rules to *signals*; among equals the first one gives the reason.

        What an app's rule raises is returned in the verdict, never raised.
        """
        found, errors = [], []
        for reason, rule in self._all_rules():
            action, error = _ask(reason, rule, signals)
            if action is not None:
                found.append((action, reason))
            if error is not None:
                errors.append(error)
        found.append((Action.PROCEED, NO_OBJECTION))
        action, reason = max(found, key=lambda pair: pair[0].severity)
        return Verdict(action=action, reason=reason, score=signals.score, error=_one(errors))

    def distance_rule(self, signals: Signals) -> Action | None:
        """The action that the distance leads to; None where places do not count or either is unknown."""
        found = signals.score
        if not signals.place_counts or found is None:
            return None
        if found > self.proceed_above:
            return Action.PROCEED
        return Action.REVOKE if found < self.revoke_below else Action.STEP_UP

    def unknown_location_rule(self, signals: Signals) -> Action | None:
        """The action of *unknown* where places count and either is not known."""
        # A locator that is down must open no door: its silence is not taken for nearness.
        return Action(self.unknown) if signals.place_counts and signals.distance_km is None else None

    def _all_rules(self) -> Iterator[tuple[str, Rule]]:
        # Where two are as strict, the first names the reason: a server that forgot `trusted_proxies` is to read that.
        yield "rotation_off", rotation_off_rule
        yield "distance", self.distance_rule
        yield "unknown_location", self.unknown_location_rule
        yield "other_device", redelivery_to_another_device
        if self.linger_generations:  # a record of an earlier policy may still say that it lingers
            yield "lingering", lingering_rule
        for rule in self.rules:
            yield _name(rule), rule


def network_of(packed_address: bytes, policy: RiskPolicy) -> bytes:
    """
    A 4-byte name for the network of an address, as *policy* sizes networks: equal for equal networks.

    *packed_address* has 4 bytes (IPv4), 16 (IPv6) or none (no address, a network of its own); ValueError for others.
    """
    if len(packed_address) not in FAMILIES:
        raise ValueError("a packed address has 4 or 16 bytes, or none")
    prefix = {0: 0, 4: policy.ipv4_prefix, 16: policy.ipv6_prefix}[len(packed_address)]
    network = int.from_bytes(packed_address, "big") >> (8 * len(packed_address) - prefix)
    # The prefix is digested too: a name that was made under another size of networks fits none of this one.
    digest = hashlib.blake2b(bytes([prefix]) + network.to_bytes(16, "big"), digest_size=4).digest()
    # Two bits tell the family, whatever the digest.  A thief who rents a large IPv6 block may search it for a /64 of any name
    # that he wants; so he finds none of an IPv4 network, and one of an IPv6 network only among some 2^30, by a block that
    # costs more than an address in his victim's town.
    return bytes([FAMILIES[len(packed_address)] | digest[0] & 0x3F]) + digest[1:]


def _ask(reason: str, rule: Rule, signals: Signals) -> tuple[Action | None, Exception | None]:
    """
    What *rule* answers, and what went wrong.

    A rule that fails asks for step-up: a fault must not open the door, nor log everybody out, and the owner can prove who
    they are.
    """
    try:
        answer: object = rule(signals)
    except Exception as error:  # noqa: BLE001 (a hook: an app's rule may raise anything)
        return Action.STEP_UP, error
    if answer is None or isinstance(answer, Action):
        return answer, None
    # Its type alone: the value could hold an address.
    return Action.STEP_UP, TypeError(f"the rule {reason} answered {type(answer).__name__}, not an Action or None")


def _one(errors: Sequence[Exception]) -> Exception | None:
    if len(errors) > 1:
        return ExceptionGroup("several risk rules failed", errors)
    return errors[0] if errors else None


def _name(rule: Rule) -> str:
    return getattr(rule, "__name__", type(rule).__name__)  # a partial and an object with `__call__` have none


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_thresholds(proceed_above: float, revoke_below: float) -> None:
    # NaN fails the comparisons.
    if not (_is_number(proceed_above) and _is_number(revoke_below) and 0 <= revoke_below <= proceed_above <= SAME_PLACE.score):
        raise ConfigurationError(
            "risk",
            f"proceed_above={proceed_above!r} with revoke_below={revoke_below!r}",
            "choose scores, 0 <= revoke_below <= proceed_above <= 100, where 100 is the same place",
        )


def _check_unknown(unknown: object) -> None:
    if not isinstance(unknown, str) or unknown not in {action.value for action in Action}:
        raise ConfigurationError("risk", f"unknown={unknown!r}", "use 'proceed', 'step_up' or 'revoke'")


def _check_whole(name: str, value: object, allowed: range) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
        raise ConfigurationError("risk", f"{name}={value!r}", f"give a whole number from {allowed[0]} to {allowed[-1]}")


def _checked_rules(rules: object) -> tuple[Rule, ...]:
    if not isinstance(rules, list | tuple):
        raise ConfigurationError("risk", f"rules={rules!r} is no list", "write rules=[change_of_device]")
    for rule in rules:
        if not callable(rule):
            raise ConfigurationError("risk", f"the rule {rule!r} cannot be called", "write rules=[change_of_device]")
        # Its coroutine would never be awaited, so that every one of its answers would be a fault.
        if inspect.iscoroutinefunction(rule) or inspect.iscoroutinefunction(type(rule).__call__):
            raise ConfigurationError(
                "risk",
                f"the rule {_name(rule)} is a coroutine function",
                "write it with `def`: a rule answers at once, from its signals alone",
            )
    return tuple(rules)
