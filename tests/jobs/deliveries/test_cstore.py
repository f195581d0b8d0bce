"""C-STORE's answers, by a receiver that gives each of them."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE, evt
from pynetdicom.sop_class import Comprehensive3DSRStorage, Verification  # type: ignore[attr-defined]
from results_support import Shelf, complete_film, origin, scored
from support import free_port

from config.settings import Settings
from jobs.deliveries.cstore import StorePeer
from jobs.deliveries.peer import Answer, DicomObject, PeerAwayError, PeerError
from workers.outputs.dicom.objects import make_objects


@pytest.fixture(scope="module")
def report() -> DicomObject:
    made = make_objects(
        ("dicom-sr",), origin(), scored(), Shelf(complete_film()), 1_000_000, Path("/nowhere")
    )
    assert made
    return made[0]


@contextmanager
def receiver(store: Any, **attributes: Any) -> Iterator[tuple[StorePeer, list[bytes]]]:
    """A receiver that answers with what `store` returns; gives a peer of it, and what it got."""
    got: list[bytes] = []

    def handle(event: Any) -> int:
        got.append(event.request.DataSet.getvalue())
        answer: int = store(event)
        return answer

    entity = AE(ae_title="PACS")
    for name, value in attributes.items():
        setattr(entity, name, value)
    entity.add_supported_context(Verification)
    entity.add_supported_context(Comprehensive3DSRStorage, [ExplicitVRLittleEndian])
    port = free_port()
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
    assert server is not None
    try:
        with StorePeer(f"PACS@127.0.0.1:{port}", Settings(), False) as peer:
            yield peer, got
    finally:
        server.shutdown()


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xB007, 0x0111])
def test_success_a_warning_and_what_it_has_already_are_taken(report: DicomObject, status: int) -> None:
    with receiver(lambda _: status) as (peer, got):
        assert peer.send(report) == Answer(taken=True, status=f"0x{status:04X}")
        assert peer.send(report).taken  # in the same association
    written = dcmread(io.BytesIO(report.content))
    length = struct.unpack_from("<I", report.content, 140)[0]
    assert written.file_meta.FileMetaInformationGroupLength == length
    assert got == [report.content[144 + length :]] * 2  # to the byte


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0x0122, 0x0124])
def test_a_refusal_has_its_status(report: DicomObject, status: int) -> None:
    with receiver(lambda _: status) as (peer, _):
        assert peer.send(report) == Answer(taken=False, status=f"0x{status:04X}")


def test_a_receiver_without_room_may_have_some_later(report: DicomObject) -> None:
    answers = iter([0xA700, 0x0000])
    with receiver(lambda _: next(answers)) as (peer, _):
        with pytest.raises(PeerAwayError, match="no room for what it is sent"):
            peer.send(report)
        assert peer.send(report).taken


def test_a_receiver_that_hangs_up_is_away_and_is_called_again(report: DicomObject) -> None:
    calls = []

    def hang_up(event: Any) -> int:
        calls.append(event)
        if len(calls) == 1:
            event.assoc.abort()
        return 0x0000

    with receiver(hang_up) as (peer, _):
        with pytest.raises(PeerAwayError, match="ended the association without an answer"):
            peer.send(report)
        assert peer.send(report).taken


def test_a_kind_that_the_receiver_does_not_take_is_refused(report: DicomObject) -> None:
    capture = DicomObject("dicom-sc", "Mass", "1.2.840.10008.5.1.4.1.1.7", "1.2.3", JPEGBaseline8Bit, b"")
    with receiver(lambda _: 0) as (peer, got):
        assert peer.send(capture) == Answer(
            taken=False,
            status="it does not take Secondary Capture Image Storage as JPEG Baseline (Process 1)",
        )
        assert got == []
        assert peer.send(report).taken


def test_a_title_that_the_receiver_does_not_know_is_named() -> None:
    with (
        receiver(lambda _: 0, require_calling_aet=["FRIEND"]) as (peer, _),
        pytest.raises(PeerError, match="does not know us as NIGHTREAD; name us by NIGHTREAD_AE_TITLE"),
    ):
        peer.check()
    with (
        receiver(lambda _: 0, require_called_aet=True, ae_title="OTHER") as (peer, _),
        pytest.raises(PeerError, match="it is not PACS; its title may be another"),
    ):
        peer.check()


def test_nobody_at_the_port_is_away() -> None:
    with (
        StorePeer(f"PACS@127.0.0.1:{free_port()}", Settings(), False) as peer,
        pytest.raises(PeerAwayError, match="does not answer: Connection refused"),
    ):
        peer.check()


def test_a_receiver_without_tls_is_not_sent_anything_over_tls() -> None:
    with receiver(lambda _: 0) as (peer, got):
        with StorePeer(peer.target, Settings(), True) as secured, pytest.raises((PeerError, PeerAwayError)):
            secured.check()
        assert got == []
