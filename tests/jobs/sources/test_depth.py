"""How many bits 16-bit pictures use is found out from some of them, before the night."""

from pathlib import Path

import numpy as np
import pytest
from picture_support import LIMIT, chunk, saved
from PIL import Image

from config.content import Content
from jobs.sources.depth import SAMPLE, measured_bits
from jobs.sources.folder import FolderSource


def write(folder: Path, name: str, highest: int, kind: str = "u2") -> bytes:
    values = np.linspace(0, highest, 64 * 64).reshape(64, 64).astype(np.dtype(kind))
    (folder / name).write_bytes(saved(Image.fromarray(values), "PNG"))
    return (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("highest", "bits"), [(255, 8), (256, 10), (1023, 10), (4095, 12), (4096, 14), (32_767, 15)]
)
def test_the_largest_value_decides(tmp_path: Path, highest: int, bits: int) -> None:
    write(tmp_path, "a.png", 200)
    write(tmp_path, "b.png", highest)
    assert measured_bits(FolderSource(tmp_path), ["a.png", "b.png"], LIMIT) == bits


def test_one_that_uses_all_16_leaves_each_to_itself(tmp_path: Path) -> None:
    write(tmp_path, "a.png", 4095)
    write(tmp_path, "b.png", 32_768)
    assert measured_bits(FolderSource(tmp_path), ["a.png", "b.png"], LIMIT) is None


def test_8_bit_pictures_and_what_cannot_be_read_say_nothing(tmp_path: Path) -> None:
    content = write(tmp_path, "cut.png", 4095)
    (tmp_path / "cut.png").write_bytes(content[:-100])
    (tmp_path / "said.png").write_bytes(content[:33] + chunk(b"sBIT", b"\x0c") + content[33:])
    (tmp_path / "text.png").write_text("no picture", encoding="utf-8")
    write(tmp_path, "eight.png", 255, "u1")
    names = ["cut.png", "said.png", "text.png", "eight.png", "missing.png"]
    assert measured_bits(FolderSource(tmp_path), names, LIMIT) is None
    assert measured_bits(FolderSource(tmp_path), [], LIMIT) is None


def test_a_picture_over_the_limit_is_not_opened(tmp_path: Path) -> None:
    write(tmp_path, "a.png", 4095)
    assert measured_bits(FolderSource(tmp_path), ["a.png"], 64 * 64 - 1) is None
    assert measured_bits(FolderSource(tmp_path), ["a.png"], 64 * 64) == 12


def test_no_more_than_a_sample_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.png", 4095)
    asked: list[str] = []
    reading = FolderSource.read

    def read(source: FolderSource, name: str, max_bytes: int) -> Content:
        asked.append(name)
        return reading(source, "a.png", max_bytes)

    monkeypatch.setattr(FolderSource, "read", read)
    names = [f"{number}.png" for number in range(1000)]
    large = [f"{number}{ending}" for number in range(1000) for ending in (".dcm", ".DCM", ".nii.gz")]
    assert measured_bits(FolderSource(tmp_path), [*large, *names], LIMIT) == 12
    assert len(asked) <= SAMPLE
    assert len(set(asked)) == len(asked)
    assert {name[-4:] for name in asked} == {".png"}
