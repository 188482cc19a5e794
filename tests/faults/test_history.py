"""The checker finds each broken promise in a record, and none in one that keeps them."""

from __future__ import annotations

from support.history import Ending, Exchange, History, Token

STALENESS = 1.0


def asked(started: float, status: int = 200, *, code: str = "", given: Token | None = None, session: str = "s") -> Exchange:
    return Exchange("client", session, started, started + 0.1, status, code, Token(0, "a"), given)


def violations(*exchanges: Exchange, endings: tuple[Ending, ...] = (), emptied: tuple[float, ...] = ()) -> list[str]:
    return History(list(exchanges), list(endings), list(emptied)).violations(staleness=STALENESS)


def test_a_record_that_keeps_all_promises():
    token = Token(1, "b")
    assert [] == violations(
        asked(1, given=token),
        asked(2, given=token),  # a redelivery
        asked(3, 503),
        asked(4, 0),
        asked(5.5),  # within the bound
        asked(7, 401, code="session_ended"),
        endings=(Ending("s", 4.9, 5.0),),
    )


def test_a_token_that_is_served_after_its_revocation():
    (found,) = violations(asked(6.2), endings=(Ending("s", 4.9, 5.0),))
    assert "1.200 s after" in found


def test_a_revocation_that_nobody_confirmed_promises_nothing():
    assert [] == violations(asked(9), endings=(Ending("s", 5, None),))


def test_two_successors_of_one_token():
    found = violations(asked(1, given=Token(1, "b")), asked(2, given=Token(1, "c")))
    assert ["s: 2 refresh tokens are generation 1", "s: 2 refresh tokens are successor of a"] == found
    assert ["s: 2 refresh tokens are successor of a"] == violations(
        asked(1, given=Token(1, "b")), asked(2, given=Token(2, "c"))
    )
    assert [] == violations(asked(1, given=Token(1, "b")), asked(2, given=Token(1, "c"), session="another"))


def test_a_session_that_was_lost():
    (found,) = violations(asked(1, 401, code="session_ended"))
    assert "nobody had ended it" in found


def test_a_session_that_is_over_before_anybody_ended_it():
    (found,) = violations(asked(1, 401, code="revoked"), endings=(Ending("s", 2, 3),))
    assert "nobody had ended it" in found


def test_a_session_that_was_ended_twice_was_ended_the_first_time():
    twice = (Ending("s", 4.9, None), Ending("s", 6.0, 6.1))
    assert [] == violations(asked(5, 401, code="revoked"), endings=twice)


def test_a_store_that_was_emptied_forgets_and_accuses_nobody():
    assert [] == violations(asked(1), asked(3, 401, code="session_ended"), emptied=(2,))
    assert 1 == len(violations(asked(1), asked(3, 401, code="reuse_detected"), emptied=(2,)))
    assert 1 == len(violations(asked(1, 401, code="session_ended"), emptied=(2,)))


def test_a_session_that_began_after_the_store_was_emptied_is_not_forgiven():
    (found,) = violations(asked(2.5), asked(3, 401, code="session_ended"), emptied=(2,))
    assert "nobody had ended it" in found


def test_an_accusation_is_not_forgiven_because_the_session_was_ended_as_well():
    (found,) = violations(asked(3, 401, code="reuse_detected"), endings=(Ending("s", 1, 2),))
    assert "nobody had stolen anything" in found


def test_a_refusal_long_after_the_fault():
    record = History([asked(3, 503), asked(3.9, 503), asked(4.2, 503)], calm_since=3)
    (found,) = record.violations(staleness=STALENESS)
    assert "answered 503  1.2 s after all was well" in found


def test_a_record_in_which_nothing_rotates_shows_nothing():
    history = History([asked(1 + number / 100) for number in range(500)], [Ending("s", 9, 9)] * 5, calm_since=1)
    assert not history.shows_something()
    history.exchanges += [asked(2, given=Token(number, "x")) for number in range(5)]
    assert history.shows_something()


def test_an_answer_that_is_no_503():
    (found,) = violations(asked(1, 500))
    assert "answered 500" in found
    (found,) = violations(asked(1, 401, code="invalid_token"))
    assert "was refused: invalid_token" in found
