"""Bad pictures, made from good ones by seeded mutations, and a process that reads them as a worker does.

Each sample says what may become of it: "scored" or reasons of docs/failures.md. Where it has an origin, it
may only be scored with the very pixels of that file.
"""

import gzip
import hashlib
import io
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from support import READ_REASONS, ROOT

from config.cards.classification import Preprocessing
from config.failures import ImageUnusableError
from jobs.sources.folder import FolderSource
from workers.inference.formats.decode import read_picture
from workers.inference.pixels import prepare

MAX_PIXELS = 4_000_000
SECONDS_A_READ = 5
SCORED = "scored"
ANY = READ_REASONS | {SCORED}
BROKEN = frozenset({"damaged", "truncated"})
SIGNATURE = b"\x89PNG\r\n\x1a\n"

Random = random.Random
Chunks = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Sample:
    """A file: what may become of it, and whose pixels it must have where it is scored."""

    name: str
    content: bytes
    outcomes: frozenset[str]
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Mutant:
    """What a mutation made: `same` where only the pixels of the file that it came from may be scored."""

    content: bytes
    outcomes: frozenset[str]
    same: bool = True


Mutation = Callable[[bytes, Random], Mutant]


def failed(content: bytes, *reasons: str) -> Mutant:
    return Mutant(content, frozenset(reasons) or BROKEN)


def harmless(content: bytes) -> Mutant:
    return Mutant(content, frozenset({SCORED}))


def turned(content: bytes) -> Mutant:
    return Mutant(content, frozenset({SCORED}), same=False)


def failed_or_same(content: bytes) -> Mutant:
    return Mutant(content, BROKEN | {SCORED})


def unknown(content: bytes) -> Mutant:
    return Mutant(content, ANY, same=False)


# --- good files --------------------------------------------------------------------------------------------


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def film(rng: Random, width: int = 150, height: int = 130) -> Image.Image:
    """Draw something that packs neither to nothing nor not at all."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(rng.randrange(2**32)).normal(0, 6, (height, width))
    waves = 110 + 70 * np.sin(x / 23) * np.cos(y / 31) + 0.3 * x + noise
    return Image.fromarray(waves.clip(0, 255).astype(np.uint8))


def drawn_pngs(rng: Random) -> dict[str, bytes]:
    grey = film(rng)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    modes = {mode: saved(grey.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")}
    palette_with_alpha = saved(grey.convert("P"), "PNG", transparency=bytes(range(256)))
    described = PngInfo()
    described.add_text("Comment", "drawn", zip=True)
    described.add_itxt("Title", "drawn")
    return {
        **modes,
        "PA": palette_with_alpha,
        "I16": saved(deep, "PNG"),
        "interlaced": interlaced(np.asarray(film(rng, 61, 47))),
        "described": saved(grey, "PNG", pnginfo=described, icc_profile=b"\0" * 400, dpi=(300, 300)),
        "animated": saved(grey, "PNG", save_all=True, append_images=[film(rng), film(rng)]),
        "chunky": split(saved(film(rng, 300, 260), "PNG"), 4096),
    }


def drawn_jpegs(rng: Random) -> dict[str, bytes]:
    grey = film(rng)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    return {
        "L": saved(grey, "JPEG", quality=90),
        "RGB": saved(grey.convert("RGB"), "JPEG", quality=90),
        "444": saved(grey.convert("RGB"), "JPEG", quality=95, subsampling=0),
        "CMYK": saved(grey.convert("CMYK"), "JPEG", quality=90),
        "YCCK": without_adobes_word(saved(grey.convert("CMYK"), "JPEG", quality=90)),
        "progressive": saved(grey, "JPEG", quality=90, progressive=True),
        "restarts": saved(grey, "JPEG", quality=90, restart_marker_rows=1),
        "turned": saved(grey, "JPEG", quality=90, exif=exif, icc_profile=b"\0" * 400, comment=b"drawn"),
        "pair": saved(grey, "MPO", save_all=True, append_images=[film(rng)]),
    }


def without_adobes_word(content: bytes) -> bytes:
    """Turn CMYK into YCCK: Adobe's segment ends in the number of the transformation, 0 or 2."""
    at = content.index(b"Adobe") + 11
    return content[:at] + b"\2" + content[at + 1 :]


def interlaced(grey: np.ndarray) -> bytes:
    passes = [
        *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    ]
    parts = [grey[top::down, left::right] for top, left, down, right in passes]
    rows = b"".join(b"\0" + row.tobytes() for part in parts for row in part)
    header = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 1)
    return built([(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])


def built(chunks: Chunks) -> bytes:
    """Put a PNG together, every checksum right."""
    framed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return SIGNATURE + b"".join(framed)


def taken_apart(content: bytes) -> Chunks:
    position, chunks = 8, []
    while position < len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        chunks.append((kind, content[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def pixels_of(chunks: Chunks) -> bytes:
    return b"".join(data for kind, data in chunks if kind == b"IDAT")


def with_pixels(chunks: Chunks, packed: bytes, size: int = 1 << 30) -> bytes:
    first = next(number for number, (kind, _) in enumerate(chunks) if kind == b"IDAT")
    parts = [(b"IDAT", packed[at : at + size]) for at in range(0, len(packed), size)]
    return built(
        [*chunks[:first], *parts, *(chunk for chunk in chunks[first:] if chunk[0] != b"IDAT")],
    )


def split(content: bytes, size: int) -> bytes:
    chunks = taken_apart(content)
    return with_pixels(chunks, pixels_of(chunks), size)


def inserted(content: bytes, rng: Random, *chunks: tuple[bytes, bytes]) -> bytes:
    """Put chunks before or behind the pixels."""
    parts = taken_apart(content)
    first = next(number for number, (kind, _) in enumerate(parts) if kind == b"IDAT")
    at = rng.choice([1, first, len(parts) - 1])
    return built([*parts[:at], *chunks, *parts[at:]])


# --- what is done to any file ------------------------------------------------------------------------------


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def block_lost(content: bytes, rng: Random, filler: bytes) -> bytes:
    """Overwrite a disk's block, or what the file has of it."""
    size = rng.choice([64, 512, 4096])
    at = rng.randrange(9, max(10, len(content) - size // 2))
    lost = len(content[at : at + size])
    return content[:at] + (filler * lost)[:lost] + content[at + lost :]


# --- PNG: everything stands under checksums, so the truth is known -----------------------------------------


def png_bit_flip(content: bytes, rng: Random) -> Mutant:
    bit = rng.randrange(8 * len(content))
    position, starts = 8, set[int]()
    while position < len(content):
        starts.update(range(position, position + 4))
        position += 12 + struct.unpack_from(">I", content, position)[0]
    if bit < 64:
        return failed(flipped(content, bit), "wrong_format")
    # A length's bit moves the place where the checksum is looked for.
    return failed(flipped(content, bit), *(BROKEN if bit // 8 in starts else {"damaged"}))


def png_pixel_bit_flip(content: bytes, rng: Random) -> Mutant:
    start = content.index(b"IDAT")
    (length,) = struct.unpack_from(">I", content, start - 4)
    return failed(flipped(content, rng.randrange(8 * start, 8 * (start + 8 + length))), "damaged")


def png_cut(content: bytes, rng: Random) -> Mutant:
    return failed(content[: rng.randrange(1, len(content))], "truncated")


def png_zero_tail(content: bytes, rng: Random) -> Mutant:
    kept = rng.randrange(8, len(content) - 8)
    return failed(content[:kept] + bytes(len(content) - kept))


def png_block_lost(content: bytes, rng: Random) -> Mutant:
    changed = block_lost(content, rng, rng.choice([b"\0", b"\xff", content[100:200]]))
    return harmless(content) if changed == content else failed(changed)


def png_bytes_lost(content: bytes, rng: Random) -> Mutant:
    at = rng.randrange(8, len(content) - 12)
    return failed(content[:at] + content[at + rng.randrange(1, 12) :])


def png_bytes_added(content: bytes, rng: Random) -> Mutant:
    at = rng.randrange(9, len(content) - 12)
    return failed_or_same(content[:at] + rng.randbytes(rng.randrange(1, 40)) + content[at:])


def png_chunk_lost(content: bytes, rng: Random) -> Mutant:
    chunks = taken_apart(content)
    kind, data = chunks.pop(rng.randrange(len(chunks)))
    changed = built(chunks)
    if kind == b"IEND":
        return failed(changed, "truncated")
    if kind in {b"IHDR", b"PLTE"}:
        return failed(changed, "damaged")
    return failed(changed) if kind == b"IDAT" and data else failed_or_same(changed)


def png_pixels_lost(content: bytes, rng: Random) -> Mutant:
    chunks = taken_apart(split(content, 1 + len(content) // 9))
    chunks.remove(rng.choice([chunk for chunk in chunks if chunk[0] == b"IDAT"]))
    return failed(built(chunks))


def png_pixels_twice(content: bytes, rng: Random) -> Mutant:
    chunks = taken_apart(split(content, 1 + len(content) // 9))
    chunk = rng.choice([chunk for chunk in chunks if chunk[0] == b"IDAT"])
    chunks.insert(chunks.index(chunk), chunk)
    return failed_or_same(built(chunks))  # behind the end of the compressed data it changes nothing


def png_pixels_swapped(content: bytes, rng: Random) -> Mutant:
    chunks = taken_apart(split(content, 1 + len(content) // 9))
    places = [number for number, (kind, _) in enumerate(chunks) if kind == b"IDAT"]
    one, other = rng.sample(places, 2)
    chunks[one], chunks[other] = chunks[other], chunks[one]
    return failed(built(chunks))


def png_chunk_twice(content: bytes, rng: Random) -> Mutant:
    chunks = taken_apart(content)
    at = rng.randrange(len(chunks))
    chunks.insert(at, chunks[at])
    changed = built(chunks)
    return failed(changed, "damaged") if chunks[at][0] == b"IHDR" else failed_or_same(changed)


def png_chunks_shuffled(content: bytes, rng: Random) -> Mutant:
    chunks = taken_apart(content)
    rng.shuffle(chunks)
    return failed_or_same(built(chunks))


def png_wrong_crc(content: bytes, rng: Random) -> Mutant:
    position, places = 8, []
    while position < len(content):
        position += 12 + struct.unpack_from(">I", content, position)[0]
        places.append(position - 4)
    return failed(flipped(content, 8 * rng.choice(places) + rng.randrange(32)), "damaged")


def png_wrong_adler(content: bytes, rng: Random) -> Mutant:
    chunks = taken_apart(content)
    packed = pixels_of(chunks)
    return failed(with_pixels(chunks, flipped(packed, 8 * (len(packed) - 4) + rng.randrange(32))), "damaged")


def png_without_adler(content: bytes, rng: Random) -> Mutant:
    chunks = taken_apart(content)
    return failed(with_pixels(chunks, pixels_of(chunks)[: -rng.randrange(1, 9)]), "truncated")


def png_zlib_damage(content: bytes, rng: Random) -> Mutant:
    chunks = taken_apart(content)
    packed = pixels_of(chunks)
    return failed_or_same(with_pixels(chunks, flipped(packed, rng.randrange(8 * len(packed))), 1 << 14))


def png_rows_missing(content: bytes, rng: Random) -> Mutant:
    """Let a writer have stopped early and closed its stream in good order: every checksum is right."""
    chunks = taken_apart(content)
    rows = zlib.decompress(pixels_of(chunks))
    return failed(
        with_pixels(chunks, zlib.compress(rows[: rng.randrange(1, len(rows))], level=1)), "truncated"
    )


def png_rows_too_many(content: bytes, rng: Random) -> Mutant:
    chunks = taken_apart(content)
    rows = zlib.decompress(pixels_of(chunks)) + bytes(rng.randrange(1, 3000))
    return failed(with_pixels(chunks, zlib.compress(rows, level=1)), "damaged")


def png_pixel_bomb(content: bytes, rng: Random) -> Mutant:
    packer = zlib.compressobj(1)
    zeros = bytes(1 << 20)
    packed = b"".join(packer.compress(zeros) for _ in range(rng.choice([50, 100]))) + packer.flush()
    return failed(with_pixels(taken_apart(content), packed), "damaged")


def png_header_forged(content: bytes, rng: Random) -> Mutant:
    """Change a field of the header and its checksum: what comes out may be another picture."""
    chunks = taken_apart(content)
    header = bytearray(chunks[0][1])
    header[rng.choice([3, 7, 8, 9, 10, 11, 12])] = rng.choice([0, 1, 2, 3, 4, 6, 8, 16, 255])
    return unknown(built([(b"IHDR", bytes(header)), *chunks[1:]]))


def png_huge(content: bytes, rng: Random) -> Mutant:
    chunks = taken_apart(content)
    side = rng.choice([3000, 65_535, 100_000, 2**31 - 1])
    header = struct.pack(">II", side, rng.choice([side, 4_000_000])) + chunks[0][1][8:]
    huge = built([(b"IHDR", header), *chunks[1:]])
    if rng.random() < 0.5:
        return failed(huge, "too_large")
    return failed(huge[:29] + content[29:33] + huge[33:], "damaged")  # with the old header's checksum


def png_text_bomb(content: bytes, rng: Random) -> Mutant:
    packed = zlib.compress(bytes(rng.choice([2, 30, 60]) << 20), 9)
    kind, data = rng.choice(
        [
            (b"zTXt", b"Comment\0\0" + packed),
            (b"iTXt", b"Comment\0\1\0\0\0" + packed),
            (b"iCCP", b"profile\0\0" + packed),
        ]
    )
    return failed_or_same(inserted(content, rng, *[(kind, data)] * rng.choice([1, 5])))


def png_much_text(content: bytes, rng: Random) -> Mutant:
    return failed_or_same(inserted(content, rng, (b"tEXt", b"Comment\0" + b"x" * (2 << 20))))


def png_odd_chunk(content: bytes, rng: Random) -> Mutant:
    known = b"gAMA cHRM sRGB pHYs iCCP eXIf tIME bKGD tRNS sBIT hIST tEXt zTXt iTXt acTL fcTL fdAT".split()
    kind = rng.choice([*known, b"abCd", b"ABCD", bytes(4)])
    data = rng.randbytes(rng.choice([0, 1, 4, 8, 26, 32, 200]))
    return failed_or_same(inserted(content, rng, (kind, data)))


def png_turned(content: bytes, rng: Random) -> Mutant:
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    return turned(inserted(content, rng, (b"eXIf", exif), (b"gAMA", struct.pack(">I", 100_000))))


def png_many_chunks(content: bytes, rng: Random) -> Mutant:
    kind = rng.choice([b"IDAT", b"abCd"])
    chunks = taken_apart(content)
    first = next(number for number, chunk in enumerate(chunks) if chunk[0] == b"IDAT")
    few = built([*chunks[:first], *[(kind, b"")] * 20_000, *chunks[first:]])
    if rng.random() < 0.7:
        return harmless(few)
    return failed(built([*chunks[:first], *[(kind, b"")] * 300_000, *chunks[first:]]), "too_large")


def trailing_garbage(content: bytes, rng: Random) -> Mutant:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.txt"), "a")
    tails = [b"\0" * 5000, rng.randbytes(5000), content, packed.getvalue(), b"<html><script>"]
    return harmless(content + rng.choice(tails))


PNG_MUTATIONS: dict[str, Mutation] = {
    "bit-flip": png_bit_flip,
    "bit-flip-in-pixels": png_pixel_bit_flip,
    "cut": png_cut,
    "zero-tail": png_zero_tail,
    "block-lost": png_block_lost,
    "bytes-lost": png_bytes_lost,
    "bytes-added": png_bytes_added,
    "chunk-lost": png_chunk_lost,
    "pixel-chunk-lost": png_pixels_lost,
    "pixel-chunk-twice": png_pixels_twice,
    "pixel-chunks-swapped": png_pixels_swapped,
    "chunk-twice": png_chunk_twice,
    "chunks-shuffled": png_chunks_shuffled,
    "wrong-crc": png_wrong_crc,
    "wrong-adler": png_wrong_adler,
    "without-adler": png_without_adler,
    "zlib-damage-right-crc": png_zlib_damage,
    "rows-missing": png_rows_missing,
    "rows-too-many": png_rows_too_many,
    "header-forged": png_header_forged,
    "huge": png_huge,
    "odd-chunk": png_odd_chunk,
    "turned": png_turned,
    "trailing-garbage": trailing_garbage,
}
PNG_COSTLY: dict[str, Mutation] = {
    "pixel-bomb": png_pixel_bomb,
    "text-bomb": png_text_bomb,
    "much-text": png_much_text,
    "many-chunks": png_many_chunks,
}


# --- JPEG: no checksum, so changed bytes may decode; what is missing must be seen --------------------------


def jpeg_segments(content: bytes) -> list[bytes]:
    """Give the segments behind the first marker, the last with the scan and all that follows."""
    position, parts = 2, []
    while content[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4])
        parts.append(content[position:end])
        position = end
    return [*parts, content[position:]]


def in_scan(content: bytes) -> int:
    """Give the offset at which the first scan's data begin."""
    return len(content) - len(jpeg_segments(content)[-1]) + 14


def last_end(content: bytes) -> int:
    """Give the offset of the marker that ends the first picture."""
    return content.index(b"\xff\xd9", in_scan(content))


def jpeg_bit_flip(content: bytes, rng: Random) -> Mutant:
    return unknown(flipped(content, rng.randrange(8 * in_scan(content), 8 * len(content))))


def jpeg_header_bit_flip(content: bytes, rng: Random) -> Mutant:
    return unknown(flipped(content, rng.randrange(8 * in_scan(content))))


def jpeg_cut(content: bytes, rng: Random) -> Mutant:
    return failed(content[: rng.randrange(2, last_end(content) + 2)], "truncated")


def jpeg_cut_with_end(content: bytes, rng: Random) -> Mutant:
    """Cut the pixels and close the file in good order, as a tool that repairs it would."""
    cut = content[: rng.randrange(in_scan(content), last_end(content) - 32)]
    progressive = content.count(b"\xff\xda") > 1
    if progressive:
        return Mutant(cut + b"\xff\xd9", BROKEN | {SCORED}, same=False)
    return failed(cut + b"\xff\xd9", "truncated")


def jpeg_zero_tail(content: bytes, rng: Random) -> Mutant:
    kept = rng.randrange(in_scan(content), last_end(content))
    return failed(content[:kept] + bytes(len(content) - kept), *BROKEN)


def jpeg_garbage_tail(content: bytes, rng: Random) -> Mutant:
    kept = rng.randrange(2, len(content))
    return unknown(content[:kept] + rng.randbytes(len(content) - kept))


def jpeg_block_lost(content: bytes, rng: Random) -> Mutant:
    return unknown(block_lost(content, rng, rng.choice([b"\0", b"\xff", content[100:200]])))


def jpeg_bytes_moved(content: bytes, rng: Random) -> Mutant:
    at = rng.randrange(2, len(content) - 12)
    if rng.random() < 0.5:
        return unknown(content[:at] + content[at + rng.randrange(1, 12) :])
    return unknown(content[:at] + rng.randbytes(rng.randrange(1, 40)) + content[at:])


def jpeg_segments_changed(content: bytes, rng: Random) -> Mutant:
    parts = jpeg_segments(content)
    one, other = rng.randrange(len(parts)), rng.randrange(len(parts))
    match rng.randrange(3):
        case 0:
            del parts[one]
        case 1:
            parts.insert(one, parts[other])
        case _:
            parts[one], parts[other] = parts[other], parts[one]
    return unknown(b"".join([content[:2], *parts]))


def jpeg_huge(content: bytes, rng: Random) -> Mutant:
    changed = bytearray(content)
    position = 2
    while changed[position + 1] not in {0xC0, 0xC2}:
        position += 2 + int.from_bytes(changed[position + 2 : position + 4])
    struct.pack_into(">HH", changed, position + 5, rng.choice([3000, 65_500]), rng.choice([4000, 65_500]))
    return failed(bytes(changed), "too_large")


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg_remarks(content: bytes, rng: Random) -> Mutant:
    """Put remarks behind the first marker: a turn, and what no pixel depends on, broken or huge."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    parts = rng.choice(
        [
            [segment(0xE1, exif)],
            [segment(0xE1, b"Exif\0\0" + rng.randbytes(200))],
            [segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(400))],
            [segment(0xE2, b"ICC_PROFILE\0\1\2" + rng.randbytes(50))],
            [segment(0xE2, b"MPF\0" + rng.randbytes(60))],
            [segment(0xED, b"Photoshop 3.0\0" + b"8BIM" + rng.randbytes(100))],
            [segment(0xFE, SIGNATURE + b"text" * 1000)] * 200,
            [segment(0xE1, b"Exif\0\0" + bytes(65_000))] * 100,
            [segment(0xFE, b"")] * 5000,
        ]
    )
    made = b"".join([content[:2], *parts, content[2:]])
    return turned(made) if exif in parts[0] else harmless(made)


def jpeg_of_other_precision(content: bytes, rng: Random) -> Mutant:
    """Call samples 12-bit ones, in a frame that may have them."""
    changed = bytearray(content)
    position = 2
    while changed[position + 1] not in {0xC0, 0xC2}:
        position += 2 + int.from_bytes(changed[position + 2 : position + 4])
    changed[position + 1] = rng.choice([0xC1, changed[position + 1]])
    changed[position + 4] = 12
    return failed(bytes(changed), "wrong_format")


def jpeg_of_other_frame(content: bytes, rng: Random) -> Mutant:
    """Call the frame arithmetic, lossless or hierarchical; its data are not."""
    changed = bytearray(content)
    position = 2
    while changed[position + 1] not in {0xC0, 0xC2}:
        position += 2 + int.from_bytes(changed[position + 2 : position + 4])
    changed[position + 1] = rng.choice([0xC1, 0xC2, 0xC3, 0xC5, 0xC7, 0xC9, 0xCA, 0xCB, 0xCF, 0xF7])
    return unknown(bytes(changed))


JPEG_MUTATIONS: dict[str, Mutation] = {
    "bit-flip-in-pixels": jpeg_bit_flip,
    "bit-flip-in-header": jpeg_header_bit_flip,
    "cut": jpeg_cut,
    "cut-with-end": jpeg_cut_with_end,
    "zero-tail": jpeg_zero_tail,
    "garbage-tail": jpeg_garbage_tail,
    "block-lost": jpeg_block_lost,
    "bytes-moved": jpeg_bytes_moved,
    "segments-changed": jpeg_segments_changed,
    "huge": jpeg_huge,
    "remarks": jpeg_remarks,
    "12-bit": jpeg_of_other_precision,
    "other-frame": jpeg_of_other_frame,
    "trailing-garbage": trailing_garbage,
}


def flat_jpeg(frame: int, precision: int, scans: Sequence[tuple[int, int, int]], side: int = 64) -> bytes:
    """Build a grey JPEG without any difference in it, which needs no more than one code of one bit."""
    lossless = frame in {0xC3, 0xCB}
    tables = segment(0xC4, b"\x00\x01" + bytes(15) + b"\0")
    tables += segment(0xC4, b"\x10\x01" + bytes(15) + (b"\0" if frame != 0xC2 else b"\xe0"))
    start = segment(frame, struct.pack(">BHHB", precision, side, side, 1) + b"\1\x11\0")
    data = bytes((side * side if lossless else 2 * (side // 8) ** 2) // 8 + 1)
    parts = [
        segment(0xDA, b"\1\1\0" + bytes([first, last, approximation])) + data
        for first, last, approximation in scans
    ]
    quantities = segment(0xDB, b"\0" + b"\1" * 64)
    return b"\xff\xd8" + quantities + start + tables + b"".join(parts) + b"\xff\xd9"


# --- files that are no PNG or JPEG, or no files ------------------------------------------------------------


def strangers(rng: Random) -> Iterator[Sample]:
    """Other formats under a picture's name, files of two kinds at once, and JPEGs that few programs write."""
    grey = film(rng)
    png, jpeg = saved(grey, "PNG"), saved(grey, "JPEG")
    others = {
        kind: saved(grey, kind) for kind in ("GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "ICO", "TGA")
    }
    for mode in ("1", "I", "F", "CMYK", "I;16"):
        picture = (
            Image.fromarray(np.asarray(grey).astype(np.uint16)) if mode == "I;16" else grey.convert(mode)
        )
        others[f"TIFF-{mode.replace(';', '')}"] = saved(picture, "TIFF")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.png"), png)
    others |= {
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "HTML": b"<!doctype html><title>404</title>Not found",
        "HTML-with-JPEG": b"<html>" + jpeg,
        "zip": packed.getvalue(),
        "gzip": gzip.compress(png, mtime=0),
        "PDF": b"%PDF-1.7\n" + jpeg,
        "GIF-with-PNG": b"GIF89a" + png,
        "zeros": bytes(5000),
        "noise": b"\0" + rng.randbytes(5000),
        "text-mode-PNG": png.replace(b"\r\n", b"\n"),
    }
    for name, content in others.items():
        yield Sample(f"stranger-{name}.png", content, frozenset({"wrong_format"}))
    for name, rest in (("noise", rng.randbytes(900)), ("JPEG", jpeg), ("PNG", png)):
        outcomes = BROKEN | {"wrong_format", "too_large"}
        yield Sample(f"stranger-DICOM-{name}.png", bytes(128) + b"DICM" + rest, outcomes)
    many = [(0, 0, 0), *[(1, 63, 0)] * 40]
    yield Sample("flat-8.jpg", flat_jpeg(0xC0, 8, [(0, 63, 0)]), frozenset({SCORED}))
    yield Sample("flat-progressive.jpg", flat_jpeg(0xC2, 8, many[:2]), frozenset({SCORED}))
    yield Sample("flat-half.jpg", flat_jpeg(0xC2, 8, many[:1]), frozenset({"truncated"}))
    yield Sample("flat-12.jpg", flat_jpeg(0xC1, 12, [(0, 63, 0)]), frozenset({"wrong_format"}))
    yield Sample("flat-scans.jpg", flat_jpeg(0xC2, 8, many), frozenset({"too_large"}))
    yield Sample("flat-lossless.jpg", flat_jpeg(0xC3, 8, [(1, 0, 0)]), frozenset({"damaged", SCORED}))
    yield Sample("flat-arithmetic.jpg", flat_jpeg(0xC9, 8, [(0, 63, 0)]), frozenset({"damaged", SCORED}))
    yield Sample("flat-hierarchical.jpg", flat_jpeg(0xC5, 8, [(0, 63, 0)]), frozenset({"damaged"}))
    side = int(MAX_PIXELS**0.5)
    header = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    rows = zlib.compress(bytes(side * (1 + 8 * side)), 1)
    largest = built([(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")])
    yield Sample("flat-at-the-limit.png", largest, frozenset({SCORED}))
    twelve_bits = saved(Image.fromarray(np.asarray(grey).astype(np.uint16) * 16), "PNG")
    yield Sample("12-of-16-bits.png", twelve_bits, frozenset({"wrong_depth"}))
    yield Sample("PNG-then-JPEG.png", SIGNATURE + jpeg, BROKEN)
    yield Sample("JPEG-then-PNG.png", b"\xff\xd8\xff" + png, BROKEN)
    yield Sample("empty.png", b"", frozenset({"empty"}))
    yield Sample("one-byte.png", b"\x89", frozenset({"truncated"}))


def make_oddities(folder: Path) -> dict[str, str]:
    """Make what is no file, or lies elsewhere, below a folder; gives name -> the one reason."""
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    # A socket's path has at most 107 bytes, which pytest's folders exceed.
    with tempfile.TemporaryDirectory(dir="/tmp") as short, socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"{short}/s")
        Path(short, "s").rename(folder / "socket.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("absent.png")
    with (folder / "sparse.png").open("wb") as file:
        file.truncate(2**40)
    return {
        "folder.png": "not_a_file",
        "pipe.png": "not_a_file",
        "socket.png": "not_a_file",
        "zero.png": "outside_root",
        "loop.png": "unreadable",
        "dangling.png": "missing",
        "sparse.png": "too_large",
        "absent.png": "missing",
    }


# --- the whole ---------------------------------------------------------------------------------------------


def samples(seed: int, rounds: int, real: Path | None = None) -> Iterator[Sample]:
    """Give the good files, then so many mutants of each by each mutation, then the strangers.

    `real`: the folder of real radiographs, of which a few are mutated too. A seed gives the same files again.
    """
    rng = Random(seed)
    pngs = {f"png-{name}": content for name, content in drawn_pngs(rng).items()}
    jpegs = {f"jpeg-{name}": content for name, content in drawn_jpegs(rng).items()}
    if real is not None:
        images = sorted((real / "nih" / "images").glob("*.png"))
        pngs |= {f"nih-{number}": path.read_bytes() for number, path in enumerate(rng.sample(images, 3))}
        images = sorted((real / "pneumonia" / "images" / "test").glob("*"))
        jpegs |= {
            f"pneumonia-{number}": path.read_bytes() for number, path in enumerate(rng.sample(images, 6))
        }
    for name, content in (pngs | jpegs).items():
        yield Sample(f"{name}.original", content, frozenset({SCORED}))
    for turn in range(rounds):
        for sources, mutations in ((pngs, PNG_MUTATIONS), (jpegs, JPEG_MUTATIONS)):
            for source, content in sources.items():
                for mutation, mutate in mutations.items():
                    yield _named(f"{source}.{mutation}.{turn}", mutate(content, rng), source)
        for mutation, mutate in PNG_COSTLY.items():
            source = rng.choice(list(pngs))
            yield _named(f"{source}.{mutation}.{turn}", mutate(pngs[source], rng), source)
    yield from strangers(rng)


def _named(name: str, mutant: Mutant, source: str) -> Sample:
    return Sample(name, mutant.content, mutant.outcomes, f"{source}.original" if mutant.same else None)


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of a file: outcome, message, SHA-256 of the pixels where it was scored, seconds of CPU."""

    outcome: str
    message: str
    pixels: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Night:
    """What a child process read, by how many bytes its memory's peak grew, and how it died, if it did."""

    readings: dict[str, Reading]
    grown: int
    died: str


def read_in_child(folder: Path, names: Sequence[str], timeout: float) -> Night:
    """Read files in a process of its own, so that a decoder's crash ends only that.

    A read that takes SECONDS_A_READ of CPU ends the child, and `died` names the file.
    """
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.corpus", str(folder)],
        input="\n".join(names),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
    )
    readings: dict[str, Reading] = {}
    begun, grown = "", 0
    for line in done.stdout.splitlines():
        message: dict[str, Any] = json.loads(line)
        if "begun" in message:
            begun = message["begun"]
        elif "grown" in message:
            grown = message["grown"]
        else:
            name = message.pop("name")
            readings[name] = Reading(**message)
    died = "" if done.returncode == 0 else f"{begun}: exit {done.returncode}: {done.stderr[-2000:]}"
    return Night(readings, grown, died)


def _peak() -> int:
    """Give the peak of this process' memory in bytes; getrusage would count the parent's from before exec."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def _read_all(folder: Path, names: Sequence[str]) -> None:
    card = Preprocessing(size=320, channels=1, resize="bilinear", factor=1.0, mean=(0.0,), std=(1.0,))
    before = _peak()
    clock = signal.ITIMER_PROF  # CPU and not the clock on the wall: a busy machine is no hang
    for name in names:
        print(json.dumps({"begun": name}), flush=True)  # noqa: T201
        signal.setitimer(clock, SECONDS_A_READ)
        message = pixels = ""
        try:
            picture = read_picture(FolderSource(folder), name, MAX_PIXELS)
            prepared = prepare(picture, card)
            assert prepared.shape == (320, 320, 1)
            assert np.isfinite(prepared).all()
            outcome, pixels = SCORED, hashlib.sha256(picture.values.tobytes()).hexdigest()
        except ImageUnusableError as error:
            outcome, message = error.reason, error.message
        seconds = SECONDS_A_READ - signal.setitimer(clock, 0)[0]
        found = {"name": name, "outcome": outcome, "message": message, "pixels": pixels, "seconds": seconds}
        print(json.dumps(found), flush=True)  # noqa: T201
    print(json.dumps({"grown": _peak() - before}), flush=True)  # noqa: T201


def faults(sample: Sample, reading: Reading, readings: dict[str, Reading]) -> str:
    """Say in a line what is wrong with what became of a sample; nothing where it is as it must be."""
    if reading.outcome not in sample.outcomes:
        return f"{sample.name}: {reading.outcome} ({reading.message}), not {sorted(sample.outcomes)}"
    if reading.outcome == SCORED and sample.origin and reading.pixels != readings[sample.origin].pixels:
        return f"{sample.name}: scored with other pixels than {sample.origin}"
    return ""


if __name__ == "__main__":
    _read_all(Path(sys.argv[1]), sys.stdin.read().split("\n"))
