"""NIfTI files are read as nibabel reads them, within bounds; what is wrong with one is said as a reason."""

import gzip
import io
import zlib
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray
from volume_support import OBLIQUE, head, nifti

from config.failures import ImageUnusableError, Reason
from workers.inference.volumes.nifti import read_nifti, write_nifti

MOST = 1_000_000


def refused(content: bytes, most: int = MOST) -> ImageUnusableError:
    with pytest.raises(ImageUnusableError) as caught:
        read_nifti(content, most)
    return caught.value


def declaring(shape: tuple[int, ...], *, zipped: bool = True) -> bytes:
    """A file whose header declares a shape that its few voxels do not have."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header["dim"][: len(shape) + 1] = (len(shape), *shape)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    content = header.binaryblock + bytes(4) + bytes(100)
    return gzip.compress(content) if zipped else content


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("zipped", [True, False])
def test_values_and_affine_are_nibabels(dtype: type, zipped: bool) -> None:
    values: NDArray[Any] = (head() % 200).astype(dtype)
    content = nifti(values, OBLIQUE, zipped=zipped)
    scan = read_nifti(content, MOST)
    plain = gzip.decompress(content) if zipped else content
    theirs = nibabel.Nifti1Image.from_bytes(plain)
    np.testing.assert_array_equal(scan.values, theirs.get_fdata(dtype=np.float32))
    np.testing.assert_array_equal(scan.affine, theirs.affine)
    assert scan.channels == 4


def test_scaled_big_endian_and_second_version_files_are_read() -> None:
    values = head(channels=1)[..., 0]
    scaled = nibabel.Nifti1Image(values, OBLIQUE, dtype=np.int16)
    scaled.header.set_slope_inter(0.5, -100)
    stored = nibabel.Nifti1Image(values, OBLIQUE, header=nibabel.Nifti1Header(endianness=">"))
    second = nibabel.Nifti2Image(values, OBLIQUE)
    for image in (scaled, stored, second):
        content = image.to_bytes()
        scan = read_nifti(content, MOST)
        theirs = type(image).from_bytes(content)
        np.testing.assert_allclose(scan.values, theirs.get_fdata(), rtol=1e-6)
        assert scan.channels == 1


def test_a_header_that_declares_too_many_voxels_is_refused_before_anything_is_inflated() -> None:
    error = refused(declaring((32767, 32767, 32767)))
    assert error.reason == Reason.TOO_LARGE
    assert "35,181,150,961,663 voxels" in error.message


def test_a_gzip_stream_that_grows_too_much_is_refused() -> None:
    packer = zlib.compressobj(9, wbits=31)
    plain = io.BytesIO(declaring((400, 400, 400), zipped=False)).getvalue()
    bomb = packer.compress(plain) + packer.compress(bytes(400**3 * 2)) + packer.flush()
    error = refused(bomb, 400**3)
    assert error.reason == Reason.TOO_LARGE
    assert "more than 200 times as many" in error.message


def test_a_stream_that_goes_on_behind_its_voxels_costs_no_memory_for_it() -> None:
    content = gzip.decompress(nifti(head())) + bytes(50_000_000)
    assert read_nifti(gzip.compress(content, 1), MOST).channels == 4


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_is_cut_is_truncated(kept: float, zipped: bool) -> None:
    content = nifti(head(), zipped=zipped)
    assert refused(content[: int(len(content) * kept)]).reason == Reason.TRUNCATED


def test_a_gzip_stream_with_a_wrong_checksum_is_damaged() -> None:
    content = bytearray(nifti(head()))
    content[-6] ^= 1
    assert refused(bytes(content)).reason == Reason.DAMAGED


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_no_number_are_counted(value: float) -> None:
    values = head().astype(np.float32)
    values[5, 5, 5, 1] = values[6, 5, 5, 2] = value
    error = refused(nifti(values))
    assert error.reason == Reason.BAD_VALUES
    assert "2 of its voxels" in error.message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(600), Reason.WRONG_FORMAT),
        (gzip.compress(b"text" * 300), Reason.WRONG_FORMAT),
        (nifti(head().astype(np.complex64)), Reason.WRONG_FORMAT),
        (declaring((10, 10)), Reason.WRONG_SHAPE),
        (declaring((10, 10, 10, 2, 2)), Reason.WRONG_SHAPE),
    ],
    ids=["a PNG", "zipped text", "complex numbers", "two dimensions", "five dimensions"],
)
def test_what_is_no_volume_is_refused_for_its_reason(content: bytes, reason: Reason) -> None:
    assert refused(content).reason == reason


def test_random_damage_never_gets_beyond_a_reason() -> None:
    random = np.random.default_rng(7)
    plain = np.frombuffer(nifti(head((8, 8, 6)), zipped=False), dtype=np.uint8)
    for _ in range(300):
        damaged = plain.copy()
        places = random.integers(0, 352, 4)
        damaged[places] = random.integers(0, 256, 4)
        try:
            read_nifti(damaged.tobytes(), MOST)
        except ImageUnusableError:
            continue
        except HeaderDataError:
            pytest.fail("nibabel's own error came through")


def test_a_written_mask_has_the_sources_affine_and_the_same_bytes_each_time() -> None:
    labels = (head(channels=1)[..., 0] > 400).astype(np.uint8)
    content = write_nifti(labels, OBLIQUE)
    assert content == write_nifti(labels, OBLIQUE)
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(content))
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj), labels)
    np.testing.assert_allclose(image.affine, OBLIQUE, atol=1e-6)
