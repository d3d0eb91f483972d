"""
Runtime images hold what they should, and nothing else of the host.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

import warden_harness as harness
from casemate_warden import images

CACHE = Path("/var/tmp/casemate-test-images")  # noqa: S108 — root's, below sticky


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Sequence[images.Image]:
    """A Python image and a bare one."""
    site = tmp_path_factory.mktemp("site")
    harness.write_listener(site)
    return harness.build_images(CACHE, site)


def test_everything_is_root_s_and_closed_to_writers(
    built: Sequence[images.Image],
) -> None:
    """S7: no setuid bit, no device, nothing that a cell's user could write."""
    for image in built:
        for path in image.path.rglob("*"):
            status = path.lstat()
            assert (status.st_uid, status.st_gid) == (0, 0), path
            if not stat.S_ISLNK(status.st_mode):
                assert not status.st_mode & 0o7022, path
                assert status.st_mode & 0o044 == 0o044, path
            assert stat.S_IFMT(status.st_mode) in {
                stat.S_IFREG,
                stat.S_IFDIR,
                stat.S_IFLNK,
            }
            assert not os.listxattr(path, follow_symlinks=False)


def test_no_secret_of_the_host_is_copied(built: Sequence[images.Image]) -> None:
    """S4: users are the cell's own two."""
    for image in built:
        etc = image.path / "base" / "etc"
        assert not (etc / "shadow").exists()
        assert len((etc / "passwd").read_text().splitlines()) == 2
        assert "nameserver 127.0.0.1" in (etc / "resolv.conf").read_text()
        assert not list((image.path / "base").glob("**/id_*"))


def test_links_stay_inside(built: Sequence[images.Image]) -> None:
    """Seen from the cell's root."""
    for image in built:
        root = image.path / "base"
        for path in root.rglob("*"):
            if path.is_symlink():
                target = path.readlink()
                place = root / str(target).lstrip("/")
                inside = place if target.is_absolute() else path.parent / target
                assert inside.resolve().is_relative_to(root), path


def test_boto3_is_there_with_its_byte_code(built: Sequence[images.Image]) -> None:
    """At the version of the platform's own environment."""
    image = next(image for image in built if image.managed)
    runtime = image.path / "base" / "var" / "runtime"
    assert list(runtime.glob("boto3-*.dist-info"))
    code = next((runtime / "boto3" / "__pycache__").glob("__init__.*.pyc"))
    flags = int.from_bytes(code.read_bytes()[4:8], "little")
    assert flags == 0b01  # a hash, never checked
    assert b"/var/runtime/boto3" in code.read_bytes()
    assert str(CACHE).encode() not in code.read_bytes()


def _parts(source: Path, _: images.Sources) -> dict[str, Path]:
    return {"/usr/bin/tool": source}


def recipe(source: Path) -> images.Recipe:
    """A runtime of one file."""
    parts = partial(_parts, source)
    return images.Recipe(runtime="one", parts=parts, argv=("/x",), managed=False)


def test_a_changed_part_makes_a_new_image(tmp_path: Path) -> None:
    """And an unchanged one makes none."""
    source, folder = tmp_path / "tool", tmp_path / "images"
    folder.mkdir()
    source.write_text("a")
    source.chmod(0o4755)
    sources = images.Sources(site=tmp_path, packages=tmp_path)
    first = images.build(recipe(source), folder, sources)
    assert images.build(recipe(source), folder, sources) == first
    assert (first.path / "base/usr/bin/tool").stat().st_mode & 0o7777 == 0o755
    source.write_text("ab")
    second = images.build(recipe(source), folder, sources)
    assert second.path != first.path
    images.drop_others(folder, [second])
    assert [path.name for path in folder.iterdir()] == [second.path.name]


def test_a_broken_build_is_not_an_image(tmp_path: Path) -> None:
    """What a killed build left is built anew."""
    source, folder = tmp_path / "tool", tmp_path / "images"
    (folder / ".building-one" / "base").mkdir(parents=True)
    (folder / ".building-one" / "base" / "junk").touch()
    source.write_text("a")
    sources = images.Sources(site=tmp_path, packages=tmp_path)
    built = images.build(recipe(source), folder, sources)
    assert not (built.path / "base" / "junk").exists()
    assert [path.name for path in folder.iterdir()] == [built.path.name]


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    """The runtime is left out with its reason."""
    sources = images.Sources(site=tmp_path, packages=tmp_path)
    python = next(r for r in images.recipes() if r.runtime == "python3.11")
    with pytest.raises(images.Missing, match="`boto3` is not in"):
        images.build(python, tmp_path, sources)
