"""What is kept of a picture is what would be prepared of it now, bit by bit, or it is prepared anew."""

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dicom_support import film
from training_support import pixels

from config.cache import Cache
from config.cards.classification import Preprocessing
from config.content import Content
from config.failures import ImageUnusableError, Reason
from config.settings import Settings
from jobs.sources.folder import FolderSource
from jobs.sources.lookup import Lookup
from workers.archive import prepared_reader
from workers.inference.formats.decode import decode, picture_of
from workers.inference.formats.depth import rescaled
from workers.inference.prepared import Prepared, prepare_picture
from workers.prepared import pictures as module
from workers.prepared.pictures import Preparation, PreparedPictures

LIMIT = 100_000
RANDOM = np.random.default_rng(5)
GREY = RANDOM.integers(0, 256, (70, 90), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65_536, (70, 90), dtype=np.uint16)
FILM = film(
    RANDOM.integers(0, 4096, (70, 90), dtype=np.uint16),
    BitsStored=12,
    HighBit=11,
    WindowCenter=1700,
    WindowWidth=2900,
    PixelSpacing=[0.1431, 0.2],
)
FILES = {
    "grey.png": cv2.imencode(".png", GREY)[1].tobytes(),
    "colour.png": cv2.imencode(".png", np.dstack([GREY, GREY[::-1], GREY[:, ::-1]]))[1].tobytes(),
    "deep.png": cv2.imencode(".png", DEEP)[1].tobytes(),
    "grey.jpg": cv2.imencode(".jpg", GREY)[1].tobytes(),
    "film.dcm": FILM,
}


class CountingSource:
    """A folder that remembers what was read of it; `tells`: whether it knows a tag without reading."""

    only_dicom = False
    readers = 2

    def __init__(self, folder: Path, *, tells: bool = True) -> None:
        self._folder = FolderSource(folder)
        self.root = self._folder.root
        self._tells = tells
        self.read_names: list[str] = []

    def require(self) -> None:
        self._folder.require()

    def look_up(self, names: Collection[str]) -> Lookup:
        return self._folder.look_up(names)

    def parts(self, name: str) -> Sequence[str]:
        return self._folder.parts(name)

    def read(self, name: str, max_bytes: int) -> Content:
        self.read_names.append(name)
        return self._folder.read(name, max_bytes)

    def tag(self, name: str) -> str | None:
        return self._folder.tag(name) if self._tells else None


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "SEEDED^PATIENT"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 1 << 24)


def entries(cache: Cache) -> list[Path]:
    return sorted(cache.folder.glob("prepared/??/*"))


def wanted(*shapes: Preprocessing, bits: int | None = None, max_pixels: int = LIMIT) -> Preparation:
    return Preparation(shapes or (pixels(),), max_pixels, bits, sight=True, backdrop=True)


def assert_same(found: Prepared, expected: Prepared) -> None:
    for ours, theirs in (
        (found.views, expected.views),
        (found.sight and found.sight.greys, expected.sight and expected.sight.greys),
        (found.backdrop and found.backdrop.values, expected.backdrop and expected.backdrop.values),
    ):
        assert isinstance(ours, np.ndarray)
        assert isinstance(theirs, np.ndarray)
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)
    assert found.sight
    assert expected.sight
    assert (found.sight.brightness, found.sight.contrast) == (
        expected.sight.brightness,
        expected.sight.contrast,
    )
    assert found.backdrop
    assert expected.backdrop
    assert found.backdrop.scale == expected.backdrop.scale
    assert (found.extent, found.film) == (expected.extent, expected.film)


SHAPES: dict[str, Preprocessing] = {
    "bilinear": pixels(),
    "nearest, colour": pixels(channels=3, resize="nearest"),
    "gaussian": pixels(resize="gaussian", center_crop=True),
    "linear": pixels(resize="linear"),
    "tensor": pixels(resize="tensor", standardize=True),
    "tensor-antialiased": pixels(resize="tensor-antialiased"),
    "ten crops": pixels(resize_first=41, ten_crops=True, channels=3),
    "equalized": pixels(greyscale="equalized"),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", FILES)
def test_a_kept_picture_is_what_is_prepared_and_is_neither_read_nor_decoded(
    archive: Path, cache: Cache, name: str, shape: Preprocessing, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = rescaled(decode(FILES[name], LIMIT, shape.greyscale), None)
    expected = prepare_picture(decoded, shape, sight=True, backdrop=True)
    source = CountingSource(archive)
    (first,) = PreparedPictures(source, wanted(shape), cache).get(name)
    monkeypatch.setattr(module, "picture_of", None)
    reading = PreparedPictures(source, wanted(shape), cache).read(name, LIMIT)
    (second,) = PreparedPictures(source, wanted(shape), cache).prepare(name, reading)
    assert source.read_names == [name]
    assert reading.tag == FolderSource(archive).read(name, LIMIT).tag
    for found in (first, second):
        assert_same(found, expected)


def test_whoever_scales_the_same_pixels_otherwise_has_them_too(archive: Path, cache: Cache) -> None:
    source = CountingSource(archive)
    PreparedPictures(source, wanted(pixels()), cache).get("grey.png")
    other = pixels(mean=(3.0,), std=(2.0,), factor=0.5, least_side=33, least_contrast=20)
    PreparedPictures(source, wanted(other), cache).get("grey.png")
    assert len(source.read_names) == len(entries(cache)) == 1


def test_a_training_reads_what_scoring_has_kept(archive: Path, cache: Cache) -> None:
    settings = Settings.model_validate({"cache_dir": cache.folder, "max_image_pixels": LIMIT})
    source = CountingSource(archive)
    (expected,) = PreparedPictures(source, wanted(pixels()), cache).get("film.dcm")
    assert_same(prepared_reader(source, pixels(mean=(3.0,)), settings)("film.dcm"), expected)
    assert source.read_names == ["film.dcm"]


@pytest.mark.parametrize(
    "other",
    [
        wanted(pixels(size=33)),
        wanted(pixels(channels=3)),
        wanted(pixels(resize="bicubic")),
        wanted(pixels(resize_first=40)),
        wanted(pixels(center_crop=True)),
        wanted(pixels(greyscale="minmax")),
        wanted(bits=16),
        wanted(max_pixels=LIMIT + 1),
    ],
)
def test_other_pixels_are_prepared_and_kept_beside(archive: Path, cache: Cache, other: Preparation) -> None:
    source = CountingSource(archive)
    PreparedPictures(source, wanted(), cache).get("film.dcm")
    PreparedPictures(source, other, cache).get("film.dcm")
    assert len(source.read_names) == len(entries(cache)) == 2


def test_other_code_prepares_anew(archive: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    source = CountingSource(archive)
    PreparedPictures(source, wanted(), cache).get("grey.png")
    monkeypatch.setattr(module, "_code", lambda: "another version")
    PreparedPictures(source, wanted(), cache).get("grey.png")
    assert len(source.read_names) == 2


@pytest.mark.parametrize("tells", [True, False])
def test_a_file_that_has_changed_is_seen_and_takes_the_place_of_the_old(
    archive: Path, cache: Cache, *, tells: bool
) -> None:
    source = CountingSource(archive, tells=tells)
    (before,) = PreparedPictures(source, wanted(), cache).get("grey.png")
    path = archive / "grey.png"
    path.write_bytes(cv2.imencode(".png", 255 - GREY)[1].tobytes())
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    for _ in range(2):
        (after,) = PreparedPictures(source, wanted(), cache).get("grey.png")
        assert np.abs(after.views.astype(int) + before.views - 255).max() <= 1
    assert len(entries(cache)) == 1


def test_where_only_reading_tells_a_kept_picture_is_read_and_not_decoded(
    archive: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = CountingSource(archive, tells=False)
    (first,) = PreparedPictures(source, wanted(), cache).get("film.dcm")
    monkeypatch.setattr(module, "picture_of", None)
    (second,) = PreparedPictures(source, wanted(), cache).get("film.dcm")
    assert source.read_names == ["film.dcm"] * 2
    assert_same(second, first)


def flipped(content: bytes) -> bytes:
    place = 2 * len(content) // 3
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a bit": flipped,
    "its end": lambda content: content[:-1],
    "all but its head": lambda content: content[:16],
    "less than its head": lambda content: content[:9],
    "everything": lambda _: b"",
    "zeros, as a crash leaves them": lambda content: bytes(len(content)),
    "another's text": lambda _: b"no entry at all, but long enough",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_or_foreign_entry_is_made_anew(
    archive: Path, cache: Cache, damage: Callable[[bytes], bytes]
) -> None:
    source = CountingSource(archive)
    (expected,) = PreparedPictures(source, wanted(), cache).get("film.dcm")
    (entry,) = entries(cache)
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    (found,) = PreparedPictures(source, wanted(), cache).get("film.dcm")
    assert_same(found, expected)
    assert source.read_names == ["film.dcm"] * 2
    assert entry.read_bytes() == whole


def test_an_entry_that_lies_where_anothers_belongs_is_not_taken_for_it(archive: Path, cache: Cache) -> None:
    source = CountingSource(archive)
    PreparedPictures(source, wanted(), cache).get("grey.jpg")
    (other,) = entries(cache)
    (expected,) = PreparedPictures(source, wanted(), cache).get("grey.png")
    (own,) = set(entries(cache)) - {other}
    own.write_bytes(other.read_bytes())
    (found,) = PreparedPictures(source, wanted(), cache).get("grey.png")
    assert_same(found, expected)


def test_what_fails_is_not_kept_and_a_kept_picture_fails_by_another_cards_limits(
    archive: Path, cache: Cache
) -> None:
    (archive / "cut.png").write_bytes(FILES["grey.png"][:-20])
    source = CountingSource(archive)
    for name, reason in (("cut.png", Reason.TRUNCATED), ("absent.png", Reason.MISSING)):
        with pytest.raises(ImageUnusableError) as caught:
            PreparedPictures(source, wanted(), cache).get(name)
        assert caught.value.reason is reason
    assert not entries(cache)
    strict = pixels(least_side=71)
    refusals = []
    for kept in (None, cache, cache):
        PreparedPictures(source, wanted(), cache).get("grey.png")
        with pytest.raises(ImageUnusableError) as caught:
            PreparedPictures(source, wanted(strict), kept).get("grey.png")
        refusals.append((caught.value.reason, caught.value.message))
    assert set(refusals) == {(Reason.TOO_SMALL, "90 x 70 pixels; a side needs 71 or more")}


def test_no_name_and_no_place_is_in_a_name_or_an_entry(archive: Path, cache: Cache) -> None:
    for name in FILES:
        PreparedPictures(CountingSource(archive), wanted(), cache).get(name)
    for path in cache.folder.rglob("*"):
        told = str(path.relative_to(cache.folder)).encode() + (path.read_bytes() if path.is_file() else b"")
        assert not any(word in told for word in (b"SEEDED", b".png", b"film.dcm"))


@pytest.mark.parametrize(("name", "times"), [("grey.png", 1), ("film.dcm", 2)])
def test_a_picture_for_several_networks_is_decoded_once_per_recipe_that_matters(
    archive: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, name: str, times: int
) -> None:
    recipes = []

    def counted(content: bytes, limit: int, bits: int | None, recipe: Any) -> Any:
        recipes.append(recipe)
        return picture_of(content, limit, bits, recipe)

    monkeypatch.setattr(module, "picture_of", counted)
    shapes = [pixels(), pixels(size=40), pixels(greyscale="minmax"), pixels(size=48, greyscale="minmax")]
    source = CountingSource(archive)
    together = PreparedPictures(source, wanted(*shapes), cache).get(name)
    assert len(recipes) == times
    assert source.read_names == [name]
    for shape, found in zip(shapes, together, strict=True):
        (alone,) = PreparedPictures(source, wanted(shape)).get(name)
        assert_same(found, alone)
    # Where one of them is gone, all are made anew.
    source.read_names.clear()
    PreparedPictures(source, wanted(*shapes), cache).get(name)
    assert source.read_names == []
    entries(cache)[1].unlink()
    PreparedPictures(source, wanted(*shapes), cache).get(name)
    assert source.read_names == [name]
    assert len(entries(cache)) == 4
