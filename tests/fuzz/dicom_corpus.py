"""Bad DICOM files, made from good films of every transfer syntax by seeded mutations; see `corpus`."""

import struct
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
from dicom_support import compressed, film, run_lengths
from fuzz.corpus import BROKEN, SCORED, Mutant, Mutation, Random, Sample, failed, harmless, unknown
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

SIDE = (96, 112)
ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
PIXELS = b"\xe0\x7f\x10\x00"
BIG = b"1.2.840.10008.1.2.2\0"
COMPRESSED = ("rle", "jpeg", "extended", "lossless", "ls", "near", "j2k", "htj2k")


def drawn_films(rng: Random) -> dict[str, bytes]:
    """Draw a film of 12 bits, and store it in each transfer syntax."""
    y, x = np.mgrid[0 : SIDE[0], 0 : SIDE[1]]
    noise = np.random.default_rng(rng.randrange(2**32)).normal(0, 40, SIDE)
    pixels = (2000 + 1100 * np.sin(x / 17) * np.cos(y / 23) + noise).clip(0, 4095).astype(np.uint16)
    eight = (pixels >> 4).astype(np.uint8)
    window = {"WindowCenter": 2000, "WindowWidth": 3000}
    size = {"Rows": SIDE[0], "Columns": SIDE[1]}
    deep = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11} | size | window

    def encoded(syntax: UID, frame: bytes | bytearray, fragments: int = 1) -> bytes:
        return compressed(bytes(frame), syntax, fragments, **deep)

    return {
        "explicit": film(pixels, **window),
        "padded": film(pixels, PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1"),
        "implicit": film(pixels, ImplicitVRLittleEndian, **window),
        "big": film(pixels, ExplicitVRBigEndian, **window),
        "deflated": film(pixels, DeflatedExplicitVRLittleEndian, **window),
        "rle": encoded(RLELossless, run_lengths(pixels.astype(">u2")[..., None].view(np.uint8))),
        "jpeg": compressed(bytes(imagecodecs.jpeg8_encode(eight, level=90)), JPEGBaseline8Bit, 3, **size),
        "extended": encoded(JPEGExtended12Bit, imagecodecs.jpeg8_encode(pixels, bitspersample=12, level=90)),
        "lossless": encoded(
            JPEGLosslessSV1, imagecodecs.jpeg8_encode(pixels, bitspersample=12, lossless=True), 5
        ),
        "ls": encoded(JPEGLSLossless, imagecodecs.jpegls_encode(pixels)),
        "near": encoded(JPEGLSNearLossless, imagecodecs.jpegls_encode(pixels, level=3)),
        "j2k": encoded(JPEG2000Lossless, imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k"), 2),
        "htj2k": encoded(HTJ2KLossless, imagecodecs.htj2k_encode(pixels)),
    }


# --- mutations ---------------------------------------------------------------------------------------------


def at_pixels(content: bytes) -> int:
    """Where the pixels' element begins; the middle of a deflated file, in which it is not seen."""
    found = [content.find(tag) for tag in (PIXELS, b"\x7f\xe0\x00\x10")]
    return max(found) if max(found) > 0 else len(content) // 2


def flipped(content: bytes, rng: Random, start: int, end: int) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 5, 30))):
        changed[rng.randrange(start, end)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def header_flip(content: bytes, rng: Random) -> Mutant:
    return unknown(flipped(content, rng, 132, at_pixels(content) + 12))


def pixel_flip(content: bytes, rng: Random) -> Mutant:
    return unknown(flipped(content, rng, at_pixels(content), len(content)))


def header_bytes(content: bytes, rng: Random) -> Mutant:
    """Overwrite a few bytes with numbers that lengths and counts dislike."""
    changed = bytearray(content)
    where = rng.randrange(132, at_pixels(content))
    evil = rng.choice(
        (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\x00\x80", b"\xff", b"SQ\0\0")
    )
    changed[where : where + len(evil)] = evil
    return unknown(bytes(changed[: len(content)]))


def cut(content: bytes, rng: Random) -> Mutant:
    """Cut within the pixels' element: nothing but its end can be missing unnoticed."""
    return failed(content[: rng.randrange(at_pixels(content) + 13, len(content) - 9)], "truncated", "damaged")


def cut_header(content: bytes, rng: Random) -> Mutant:
    shorter = content[: rng.randrange(132, at_pixels(content) + 8)]
    return Mutant(shorter, BROKEN | {"wrong_format"})


def block_lost(content: bytes, rng: Random) -> Mutant:
    start = rng.randrange(at_pixels(content), len(content) - 2)
    return unknown(content[:start] + content[start + rng.choice((1, 2, 64, 1000)) :])


def block_twice(content: bytes, rng: Random) -> Mutant:
    start = rng.randrange(at_pixels(content), len(content) - 2)
    return unknown(content[: start + rng.choice((1, 2, 64, 1000))] + content[start:])


def zero_tail(content: bytes, rng: Random) -> Mutant:
    start = rng.randrange(at_pixels(content), len(content) - 2)
    return unknown(content[:start] + bytes(len(content) - start))


def garbage_tail(content: bytes, rng: Random) -> Mutant:
    start = rng.randrange(at_pixels(content), len(content) - 2)
    return unknown(content[:start] + rng.randbytes(len(content) - start))


def trailing(content: bytes, rng: Random) -> Mutant:
    return harmless(content + rng.choice((bytes(5000), rng.randbytes(5000), content)))


def huge(content: bytes, rng: Random) -> Mutant:
    """Claim more rows and columns than the limit allows, in the header alone."""
    changed = bytearray(content)
    order = ">" if BIG in content[:400] else "<"
    for element in (0x0010, 0x0011):
        where = content.index(struct.pack(f"{order}HH", 0x0028, element))
        changed[where + 8 : where + 10] = rng.choice((b"\xff\xff", b"\xfe\xfe"))
    return failed(bytes(changed), "too_large")


def fragment_length(content: bytes, rng: Random) -> Mutant:
    """Forge the length of an item, the offset table's or a fragment's."""
    items = [at for at in range(at_pixels(content), len(content)) if content.startswith(ITEM, at)]
    at = rng.choice(items)
    length = rng.choice((0, 1, 2**31, 2**32 - 1, rng.randrange(2**16), len(content)))
    return unknown(content[: at + 4] + struct.pack("<I", length) + content[at + 8 :])


def offset_table(content: bytes, rng: Random) -> Mutant:
    """Write another offset table, of any length: it says nothing that a file of one frame needs."""
    at = content.index(ITEM, at_pixels(content))
    (length,) = struct.unpack_from("<I", content, at + 4)
    table = rng.randbytes(4 * rng.choice((0, 1, 2, 50)))
    return harmless(content[: at + 4] + struct.pack("<I", len(table)) + table + content[at + 8 + length :])


def fragments_shuffled(content: bytes, rng: Random) -> Mutant:
    """Put fragments in another place, twice, or leave one out."""
    start = content.index(ITEM, at_pixels(content))
    parts, at = [], start
    while content.startswith(ITEM, at):
        (length,) = struct.unpack_from("<I", content, at + 4)
        parts.append(content[at : at + 8 + length])
        at += 8 + length
    table, *fragments = parts
    chosen = [rng.choice(fragments) for _ in range(rng.choice((0, 1, len(fragments), len(fragments) + 1)))]
    return unknown(content[:start] + table + b"".join(chosen) + content[at:])


def without_delimiter(content: bytes, rng: Random) -> Mutant:
    shorter = content[: content.rindex(DELIMITER)]
    return failed(shorter + bytes(rng.choice((0, 4))), "truncated")


def segment_offsets(content: bytes, rng: Random) -> Mutant:
    """Forge the header of RLE's segments."""
    at = content.index(ITEM, content.index(ITEM, at_pixels(content)) + 4) + 8
    where = at + 4 * rng.randrange(4)
    forged = struct.pack("<I", rng.choice((0, 1, 3, 63, 64, 15, 16, 2**31, 2**32 - 1, rng.randrange(2**15))))
    return unknown(content[:where] + forged + content[where + 4 :])


def deflate_bomb(_content: bytes, rng: Random) -> Mutant:
    comment = bytes(rng.choice((40, 80)) << 20)
    bomb = film(
        np.zeros(SIDE, dtype=np.uint8),
        DeflatedExplicitVRLittleEndian,
        RedPaletteColorLookupTableData=comment,
    )
    return failed(bomb, "too_large")


def nested(content: bytes, rng: Random) -> Mutant:
    """Put sequences within sequences before the pixels, without an end to any of them."""
    depth = rng.choice((10, 1_000, 50_000))
    if content.find(b"UI\x14\x001.2.840.10008.1.2.1\0") < 0:
        return unknown(content)
    sequence = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF) + ITEM + b"\xff" * 4
    at = at_pixels(content)
    return Mutant(content[:at] + sequence * depth + content[at:], BROKEN | {"wrong_format", "too_large"})


def many_elements(content: bytes, rng: Random) -> Mutant:
    at = at_pixels(content)
    element = struct.pack("<HH2sH", 0x0029, 0x1000, b"US", 0)
    if content.find(b"UI\x14\x001.2.840.10008.1.2.1\0") < 0:
        return unknown(content)
    if rng.random() < 0.5:
        return harmless(content[:at] + element * 1_000 + content[at:])
    return failed(content[:at] + element * 300_000 + content[at:], "too_large")


ANY_FILM: dict[str, Mutation] = {
    "bit-flip-in-header": header_flip,
    "bit-flip-in-pixels": pixel_flip,
    "block-lost": block_lost,
    "block-twice": block_twice,
    "bytes-in-header": header_bytes,
    "cut-in-header": cut_header,
    "garbage-tail": garbage_tail,
    "zero-tail": zero_tail,
}
PLAIN_FILM: dict[str, Mutation] = {"cut": cut, "huge": huge, "trailing": trailing}
ENCAPSULATED: dict[str, Mutation] = {
    "fragment-length": fragment_length,
    "fragments-shuffled": fragments_shuffled,
    "offset-table": offset_table,
    "without-delimiter": without_delimiter,
}
COSTLY: dict[str, Mutation] = {
    "deflate-bomb": deflate_bomb,
    "many-elements": many_elements,
    "nested": nested,
}


def dicom_samples(seed: int, rounds: int, real: Path | None = None) -> Iterator[Sample]:
    """Give good films, then so many mutants of each by each mutation that its kind of file can have.

    `real`: the folder of real films, of which one is mutated too. A seed gives the same files again.
    """
    rng = Random(seed)
    films = {f"dicom-{name}": content for name, content in drawn_films(rng).items()}
    if real is not None:
        films["dicom-real"] = (real / "dicom" / "chest_monochrome1_10bit_explicit_le.dcm").read_bytes()
    for name, content in films.items():
        yield Sample(f"{name}.original", content, frozenset({SCORED}))
    for turn in range(rounds):
        for source, content in films.items():
            kind = source.removeprefix("dicom-")
            mutations = ANY_FILM | ({} if kind == "deflated" else PLAIN_FILM)
            mutations |= ENCAPSULATED if kind in COMPRESSED else {}
            mutations |= {"segment-offsets": segment_offsets} if kind == "rle" else {}
            for mutation, mutate in mutations.items():
                mutant = mutate(content, rng)
                origin = f"{source}.original" if mutant.same else None
                yield Sample(f"{source}.{mutation}.{turn}", mutant.content, mutant.outcomes, origin)
        for mutation, mutate in COSTLY.items():
            if turn % 4 == 0:
                mutant = mutate(films["dicom-explicit"], rng)
                origin = "dicom-explicit.original" if mutant.same else None
                yield Sample(f"dicom-explicit.{mutation}.{turn}", mutant.content, mutant.outcomes, origin)
