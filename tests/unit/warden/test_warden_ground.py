"""
Folders, the lock, the door: each refusal names what is in the way.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate_warden import ground
from casemate_warden.ground import CannotStart, Listen


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:4443", "127.0.0.1", 4443),
        ("[::1]:0", "::1", 0),
        ("localhost:65535", "localhost", 65535),
    ],
)
def test_an_address_reads_back_as_written(text: str, host: str, port: int) -> None:
    """With brackets around IPv6."""
    listen = Listen.parse(text)
    assert (listen.host, listen.port) == (host, port)
    assert str(listen) == text


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    """Nothing but `ValueError` is raised."""
    try:
        listen = Listen.parse(text)
    except ValueError:
        return
    assert 0 <= listen.port <= 65_535


@pytest.mark.parametrize("text", ["", "4443", "host:", "host:-1", "h:65536", "h:٣"])
def test_half_an_address_is_refused(text: str) -> None:
    """Nothing is filled in."""
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        Listen.parse(text)


def test_a_locked_folder_is_refused_by_name(tmp_path: Path) -> None:
    """With the process that holds it."""
    held = ground.lock(tmp_path)
    with pytest.raises(CannotStart, match=rf"already runs on .*process {os.getpid()}"):
        ground.lock(tmp_path)
    os.close(held)
    os.close(ground.lock(tmp_path))


def test_a_folder_on_which_a_platform_runs_is_refused_early(tmp_path: Path) -> None:
    """Without making anything; a folder that does not exist yet is free."""
    ground.refuse_held(tmp_path / "none")
    ground.refuse_held(tmp_path)
    assert list(tmp_path.iterdir()) == []
    held = ground.lock(tmp_path)
    with pytest.raises(CannotStart, match=rf"already runs on .*process {os.getpid()}"):
        ground.refuse_held(tmp_path)
    os.close(held)
    ground.refuse_held(tmp_path)


def test_a_folder_stays_in_its_region(tmp_path: Path) -> None:
    """The first start writes it down; another one is refused by name."""
    ground.keep_region(tmp_path, "eu-west-1")
    ground.keep_region(tmp_path, "eu-west-1")
    with pytest.raises(CannotStart, match="made for the region eu-west-1, not us-"):
        ground.keep_region(tmp_path, "us-east-1")
    assert (tmp_path / "region").read_text() == "eu-west-1\n"
    assert stat.S_IMODE((tmp_path / "region").stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["us-east-1", "us-gov-west-1", "ap-southeast-7"])
def test_regions_are_named_as_amazon_s(name: str) -> None:
    """Any that looks like one: new ones come."""
    assert ground.REGION.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["", "us", "us-east", "US-EAST-1", "us-east-1\n", "us-east-12", "u-e-1"]
)
def test_what_is_no_region_is_known(name: str) -> None:
    """It would become a part of every ARN."""
    assert not ground.REGION.fullmatch(name)


def test_two_folders_are_two_instances(tmp_path: Path) -> None:
    """And one folder is always the same."""
    assert ground.instance(tmp_path) == ground.instance(tmp_path)
    assert ground.instance(tmp_path) != ground.instance(tmp_path / "b")
    assert len(ground.instance(tmp_path)) == 12


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o777])
def test_a_root_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """A key is for one reader."""
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    key.chmod(mode)
    with pytest.raises(CannotStart, match="open to others"):
        ground.root_key(key)


@pytest.mark.parametrize("size", [0, 31, 33, 66])
def test_a_root_key_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    """32 bytes, or 64 digits and perhaps a newline."""
    key = tmp_path / "key"
    key.write_bytes(b"k" * size)
    key.chmod(0o400)
    with pytest.raises(CannotStart, match="neither 32 raw bytes nor 64 hex digits"):
        ground.root_key(key)


def test_a_root_key_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """A folder, or a pipe that nobody writes to, which is not waited for."""
    os.mkfifo(tmp_path / "pipe", 0o400)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(CannotStart, match="is not a regular file"):
            ground.root_key(path)


def test_a_root_key_behind_a_link_is_refused(tmp_path: Path) -> None:
    """The file that was named is the file that is read."""
    (tmp_path / "key").write_bytes(b"k" * 32)
    (tmp_path / "link").symlink_to(tmp_path / "key")
    with pytest.raises(CannotStart, match="--root-key-file"):
        ground.root_key(tmp_path / "link")
    with pytest.raises(CannotStart, match="No such file"):
        ground.root_key(tmp_path / "none")


def test_a_witness_is_appended_to(tmp_path: Path) -> None:
    """Made if it is not there, root's alone, and never emptied."""
    path = tmp_path / "witness"
    for line in (b"one\n", b"two\n"):
        held = ground.witness(path, tmp_path / "data")
        os.write(held, line)
        os.close(held)
    assert path.read_bytes() == b"one\ntwo\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_witness_in_the_data_folder_is_refused(tmp_path: Path) -> None:
    """It would be put back together with what it is to vouch for."""
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "link").symlink_to(data)
    for path in (data / "witness", tmp_path / "link" / "witness"):
        with pytest.raises(CannotStart, match="would be put back with it"):
            ground.witness(path, data)
    assert not list(data.iterdir())


def test_a_place_that_is_no_witness_is_refused(tmp_path: Path) -> None:
    """A link, a pipe, a folder, and what others can change."""
    (tmp_path / "target").touch(0o600)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "open").touch()
    (tmp_path / "open").chmod(0o620)
    (tmp_path / "other").touch(0o600)
    os.chown(tmp_path / "other", 12345, 0)
    for name in ("link", "pipe", "", "open", "other", "none/witness"):
        with pytest.raises(CannotStart, match="--witness"):
            ground.witness(tmp_path / name, tmp_path / "data")


def test_a_local_socket_is_root_s_alone(tmp_path: Path) -> None:
    """Mode 0600 from its first moment on, whatever the mask was."""
    before = os.umask(0)
    try:
        listener = ground.local_socket(tmp_path / "s.sock")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s.sock").stat().st_mode) == 0o600
    listener.close()


def test_a_taken_door_is_refused_by_name() -> None:
    """IPv4 and IPv6."""
    for host in ("127.0.0.1", "::1"):
        first = ground.door(Listen(host=host, port=0))
        taken = Listen(host=host, port=first.getsockname()[1])
        with pytest.raises(CannotStart, match="already in use"):
            ground.door(taken)
        first.close()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("127.0.0.1:4443", []),
        ("localhost:4443", []),
        ("[::1]:4443", []),
        ("0.0.0.0:4443", []),
        ("192.0.2.2:4443", ["192.0.2.2"]),
        ("[2001:db8::2]:4443", ["2001:db8::2"]),
        ("casemate.example:4443", ["casemate.example"]),
    ],
)
def test_the_certificate_names_where_clients_connect(
    text: str, names: list[str]
) -> None:
    """Loopback is always named; an address or a host of the operator's own is too."""
    assert names == ground.Listen.parse(text).names
