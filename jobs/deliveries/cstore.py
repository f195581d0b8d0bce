"""A receiver by C-STORE: one association for many objects, with TLS where it is asked for."""

import io
import logging
import socket
import ssl
from contextlib import suppress
from typing import Final, Self

from pydicom import dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ColorSoftcopyPresentationStateStorage,
    Comprehensive3DSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    Verification,
)

from config.dicom import silence_pydicom
from config.settings import Settings
from jobs.deliveries.peer import Answer, DicomObject, PeerAwayError, PeerError

silence_pydicom()
# It writes what is sent and what is answered; what went wrong is said by this module.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)

_CONTEXTS: Final = (
    (Comprehensive3DSRStorage, ExplicitVRLittleEndian),
    (GrayscaleSoftcopyPresentationStateStorage, ExplicitVRLittleEndian),
    (ColorSoftcopyPresentationStateStorage, ExplicitVRLittleEndian),
    (SecondaryCaptureImageStorage, JPEGBaseline8Bit),
    (SegmentationStorage, ExplicitVRLittleEndian),
)
"""Each kind of object, as it is written: the receiver takes it so or not at all."""

_CONNECT_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 60.0
_PERMANENT: Final = 1  # the result of a rejected association (PS3.8 9.3.4)
_REASONS: Final[dict[tuple[int | None, int | None], str]] = {
    (1, 2): "its version of DICOM is another",
    (1, 3): "it does not know us as {calling}; name us by NIGHTREAD_AE_TITLE as it knows us",
    (1, 7): "it is not {called}; its title may be another",
}
"""By the source and reason of a rejection (PS3.8 9.3.4)."""

_SUCCESS: Final = 0x0000
_DUPLICATE: Final = 0x0111
_WARNINGS: Final = range(0xB000, 0xC000)
_OUT_OF_RESOURCES: Final = range(0xA700, 0xA800)


class StorePeer:
    """An application entity that takes objects by C-STORE."""

    def __init__(self, target: str, settings: Settings, tls: bool) -> None:
        """Take an address TITLE@HOST:PORT."""
        self.target = target
        self._called, _, address = target.rpartition("@")
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._calling = settings.ae_title
        self._tls = _tls_context(settings) if tls else None
        self._association: Association | None = None

    def __enter__(self) -> Self:
        """Begin; nothing is asked yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the association."""
        if self._association is not None and self._association.is_established:
            self._association.release()
        self._association = None

    def check(self) -> None:
        """Open an association, which is kept for what is sent."""
        self._connected()

    def send(self, result: DicomObject) -> Answer:
        """Send one object, in a new association where the last one is gone."""
        association = self._connected()
        name = UID(result.sop_class_uid).name
        accepted = {
            (context.abstract_syntax, context.transfer_syntax[0]) for context in association.accepted_contexts
        }
        if (result.sop_class_uid, result.transfer_syntax_uid) not in accepted:
            syntax = UID(result.transfer_syntax_uid).name
            return Answer(taken=False, status=f"it does not take {name} as {syntax}")
        try:
            answer = association.send_c_store(dcmread(io.BytesIO(result.content)))
        except (RuntimeError, ValueError):
            answer = None  # the association was closed meanwhile
        if not answer:
            association.abort()
            raise PeerAwayError(f"{self.target} ended the association without an answer")
        status = int(answer.Status)
        if status in (_SUCCESS, _DUPLICATE) or status in _WARNINGS:
            return Answer(taken=True, status=f"0x{status:04X}")
        if status in _OUT_OF_RESOURCES:
            raise PeerAwayError(f"{self.target} has no room for what it is sent (status 0x{status:04X})")
        return Answer(taken=False, status=f"0x{status:04X}")

    def _connected(self) -> Association:
        if self._association is not None and self._association.is_established:
            return self._association
        self._require_port()
        entity = AE(ae_title=self._calling)
        entity.connection_timeout = _CONNECT_SECONDS
        entity.acse_timeout = entity.dimse_timeout = _ANSWER_SECONDS
        entity.network_timeout = None  # an association may wait for the next object to be made
        entity.add_requested_context(Verification)
        for abstract, transfer in _CONTEXTS:
            entity.add_requested_context(abstract, transfer)
        tls = None if self._tls is None else (self._tls, self._host)
        association = entity.associate(self._host, self._port, ae_title=self._called, tls_args=tls)
        if association.is_rejected:
            raise self._rejection(association)
        if not association.is_established:
            raise PeerAwayError(f"{self.target} answers, but opens no association")
        self._association = association
        return association

    def _rejection(self, association: Association) -> PeerError | PeerAwayError:
        primitive = association.acceptor.primitive
        if primitive is None or primitive.result != _PERMANENT:
            return PeerAwayError(f"{self.target} opens no association now")
        reason = _REASONS.get((primitive.result_source, primitive.diagnostic), "it gives no reason")
        said = reason.format(calling=self._calling, called=self._called)
        return PeerError(f"{self.target} refuses the association: {said}")

    def _require_port(self) -> None:
        """Connect once beforehand: pynetdicom tells nobody why a connection failed."""
        try:
            with socket.create_connection((self._host, self._port), _CONNECT_SECONDS) as connection:
                if self._tls is not None:
                    with self._tls.wrap_socket(connection, server_hostname=self._host) as secured:
                        # A client's certificate is judged after the handshake: a refusal would be here.
                        secured.settimeout(0.2)
                        with suppress(TimeoutError):
                            secured.recv(1)
        except ssl.SSLCertVerificationError:
            raise PeerError(
                f"{self.target}: its certificate is not trusted; name the file of its authority's in "
                "NIGHTREAD_DICOM_TLS_CA"
            ) from None
        except ssl.SSLError as error:
            raise PeerError(f"{self.target} speaks no TLS with us: {error.reason or 'no reason'}") from None
        except OSError as error:
            # A name that there is not has numbers of its own, which `errno` knows nothing of.
            raise PeerAwayError(f"{self.target} does not answer: {error.strerror or error}") from None


def _tls_context(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.dicom_tls_ca)
        if settings.dicom_tls_certificate is not None:
            context.load_cert_chain(settings.dicom_tls_certificate, settings.dicom_tls_key)
    except OSError as error:  # ssl's errors are of this kind, too
        raise PeerError(
            f"NIGHTREAD_DICOM_TLS_CA, _CERTIFICATE or _KEY cannot be read: {error.strerror or error}"
        ) from None
    return context
