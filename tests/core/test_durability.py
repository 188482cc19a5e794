"""What has to have a change before it counts: the words, the numbers, and what is refused."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from asgi_tokenguard.core.durability import Durability, Level
from asgi_tokenguard.errors import ConfigurationError


def test_unless_told_otherwise_the_primary_is_enough():
    assert Durability(login="primary", rotation="primary", revocation="primary", replicas=1, timeout=None) == Durability()
    assert {Level.PRIMARY} == Durability().levels


def test_each_change_has_a_level_of_its_own():
    found = Durability(rotation="replicated", revocation="fsynced")
    assert (Level.PRIMARY, Level.REPLICATED, Level.FSYNCED) == (found.login, found.rotation, found.revocation)
    assert set(Level) == found.levels


@pytest.mark.parametrize("level", Level)
def test_one_word_is_for_all(level):
    assert Durability(login=level, rotation=level, revocation=level) == Durability.everywhere(str(level))


@pytest.mark.parametrize("level", Level)
def test_the_first_word_is_for_all_that_are_not_named(level):
    assert Durability.everywhere(level) == Durability(str(level))
    found = Durability(str(level), login="primary")
    assert (Level.PRIMARY, level, level) == (found.login, found.rotation, found.revocation)


def test_a_wrong_word_is_shown_as_it_was_written():
    with pytest.raises(ConfigurationError) as caught:
        Durability("replicate")
    assert "'replicate' is none of its words" == caught.value.problem
    with pytest.raises(ConfigurationError) as caught:
        Durability(rotation="replicate")
    assert "rotation='replicate' is none of its words" == caught.value.problem
    assert "write one of 'primary', 'replicated', 'fsynced'" == caught.value.remedy


def test_replicas_that_nobody_waits_for_are_refused():
    with pytest.raises(ConfigurationError) as caught:
        Durability(replicas=2)
    assert "write Durability('replicated', replicas=2)" == caught.value.remedy
    assert 2 == Durability("replicated", replicas=2).replicas


@pytest.mark.parametrize("timeout", [0.0015, 0.5, 1, 2, 3, 4, 60])
@pytest.mark.parametrize("level", ["replicated", "fsynced"])
@pytest.mark.parametrize("own", [None, 0.9, 1.6, 2, 4, 60])
def test_the_times_that_an_error_tells_work_when_they_are_typed_in(level, own, timeout):
    try:
        Durability(level, timeout=own).check_time(timeout)
    except ConfigurationError as error:
        for way in re.split(" or |, or ", error.remedy.partition(", or Durability(..., replicas=0)")[0].removeprefix("write ")):
            told = {kind: float(seconds) for kind, seconds in re.findall(r"(\w+)\((?:\.\.\., )?timeout=([\d.]+)\)", way)}
            assert set(told) <= {"TokenGuard", "Durability"}
            assert told
            Durability(level, timeout=told.get("Durability", own)).check_time(told.get("TokenGuard", timeout))
    else:
        assert own is None or own < timeout


def test_the_primarys_disk_alone_waits_for_no_replicas_second():
    Durability("fsynced", replicas=0).check_time(1)


def test_the_levels_are_ordered_from_the_weakest():
    assert [0, 1, 2] == [Level(word).strength for word in ("primary", "replicated", "fsynced")]


def test_it_is_shown_as_it_is_written():
    shown = "Durability(login=primary, rotation=primary, revocation=replicated, replicas=2, timeout=0.5)"
    assert shown == repr(Durability(revocation="replicated", replicas=2, timeout=0.5))


def test_it_can_be_copied_and_sent_to_another_process():
    durability = Durability(revocation="replicated", replicas=2, timeout=0.5)
    assert durability == copy.copy(durability) == pickle.loads(pickle.dumps(durability))


@pytest.mark.parametrize(
    "wrong",
    [
        *[{name: word} for name in ("login", "rotation", "revocation") for word in ("", "Primary", "disk", None, 1, [])],
        *[{"replicas": number} for number in (-1, 65, 1.0, True, "1", None)],
        *[{"timeout": seconds} for seconds in (0, -1, 0.0001, 61, float("nan"), True, "1")],
        {"revocation": "replicated", "replicas": 0},
        {"replicas": 2},
    ],
    ids=repr,
)
def test_what_cannot_be_is_refused_with_its_remedy(wrong):
    with pytest.raises(ConfigurationError) as caught:
        Durability(**wrong)
    assert "durability" == caught.value.option


def test_the_primarys_disk_alone_is_a_level_without_replicas():
    assert 0 == Durability(login="fsynced", replicas=0).replicas
