"""What a source has of an image: its bytes, and a word that changes when they do."""

from typing import NamedTuple


class Content(NamedTuple):
    """An image's bytes; `tag` stays the same for as long as they do, and is compared and never read.

    A folder's is the file's size and time of change, an object store's the object's ETag or version.
    """

    data: bytes
    tag: str
