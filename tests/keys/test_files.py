"""Keys in files: read at the start, looked at now and then, and never lost by a file that cannot be read."""

from __future__ import annotations

import logging
import os

import pytest
from keys.test_key import SECRET, refusal
from support.pairs import pem

from asgi_tokenguard.keys import Key, KeyFile
from asgi_tokenguard.keys.files import LOOK_EVERY, MOST_BYTES, Watch

NEW = SECRET + "!"


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "keys"
    file.write_text(SECRET + "\n")
    return file


def replace(path, text: str) -> None:
    """As it is to be done: nobody reads half of it."""
    other = path.with_name("next")
    other.write_text(text)
    other.replace(path)


def kids(keys) -> list[str]:
    return [key.kid for key in keys]


def test_several_files_are_one_set_in_their_order(path, tmp_path):
    pair = tmp_path / "pair.pem"
    pair.write_text(pem("ES256"))
    assert [Key(SECRET).kid, Key.from_pem(pem("ES256")).kid] == kids(KeyFile(path, str(pair)).keys)


def test_an_encrypted_file_is_opened(tmp_path):
    sealed = tmp_path / "sealed.pem"
    sealed.write_text(pem("EdDSA", password=b"horse"))
    assert "EdDSA" == KeyFile(sealed, password="horse").keys.signing.algorithm


def test_what_cannot_be_read_at_the_start_is_refused_with_its_file(path, tmp_path):
    assert "no file is named" == refusal(KeyFile).problem
    assert "No such file" in refusal(KeyFile, tmp_path / "nothing").problem
    assert "Is a directory" in refusal(KeyFile, tmp_path).problem
    path.write_text("short")
    error = refusal(KeyFile, path)
    assert error.problem.startswith(f"{path}: it has 5 bytes")
    path.write_bytes(b"a" * (MOST_BYTES + 1))
    assert f"{MOST_BYTES + 1} bytes" in refusal(KeyFile, path).problem


def test_a_change_is_seen_at_the_next_look(path):
    file = KeyFile(path)
    assert file.look() is file.keys
    replace(path, NEW)
    assert [Key(NEW).kid] == kids(file.look())


def test_a_file_behind_a_link_is_looked_at_itself(tmp_path):
    """As Kubernetes exchanges secrets: the link's target moves, the link's name does not."""
    for name, secret in (("1", SECRET), ("2", NEW)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys").write_text(secret)
    (tmp_path / "data").symlink_to("1")
    (tmp_path / "keys").symlink_to("data/keys")
    file = KeyFile(tmp_path / "keys")
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").replace(tmp_path / "data")
    assert [Key(NEW).kid] == kids(file.look())


def test_a_broken_file_changes_nothing_and_is_told_once(path, caplog):
    file = KeyFile(path)
    before = file.keys
    for wrong in (lambda: replace(path, "short"), path.unlink):
        caplog.clear()
        wrong()
        assert [before, before] == [file.look(), file.look()]
        assert 1 == len(caplog.records)
        assert "the keys stay as they were" in caplog.text
        assert SECRET not in caplog.text
    replace(path, NEW)
    assert [Key(NEW).kid] == kids(file.look())


def test_new_keys_are_told_by_their_names(path, caplog):
    caplog.set_level(logging.INFO, "asgi_tokenguard")
    file = KeyFile(path)
    replace(path, NEW)
    file.look()
    assert Key(NEW).kid in caplog.text
    assert NEW not in caplog.text


def test_p35_a_key_file_shows_its_path_alone(path):
    assert f"KeyFile({str(path)!r})" == repr(KeyFile(path))


class TestWatch:
    @pytest.fixture
    def clock(self):
        return [1000.0]

    @pytest.fixture
    def watch(self, path, clock):
        return Watch(KeyFile(path), lambda: clock[0])

    def test_it_looks_once_a_second_at_most(self, path, watch, clock, monkeypatch):
        looks = []
        monkeypatch.setattr(KeyFile, "look", lambda file: looks.append(1) or file.keys)
        for _ in range(10):
            assert watch.look() is None
        assert [] == looks
        clock[0] += LOOK_EVERY
        for _ in range(10):
            watch.look()
        assert [1] == looks

    def test_or_at_once_where_somebody_knows_more(self, path, watch):
        replace(path, NEW)
        assert [Key(NEW).kid] == kids(watch.look(now=True))
        assert watch.look(now=True) is None

    def test_two_guards_on_one_file_both_hear_of_a_change(self, path):
        file = KeyFile(path)
        watches = [Watch(file), Watch(file)]
        replace(path, NEW)
        assert [[Key(NEW).kid]] * 2 == [kids(watch.look(now=True)) for watch in watches]


def test_a_file_without_rights_is_named(path):
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # who reads every file, and may be somebody else for a moment
        os.seteuid(65_534)
    try:
        assert "Permission denied" in refusal(KeyFile, path).problem
    finally:
        os.seteuid(user)
