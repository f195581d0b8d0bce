"""The settings of one process, read from the environment once and passed down."""

import os
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ByteSize, Field, PositiveFloat, PositiveInt, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.engines import EngineChoice
from config.errors import ConfigError

ENVIRONMENT_PREFIX = "NIGHTREAD_"


def _supported_broker(url: SecretStr | None) -> SecretStr | None:
    schemes = ("redis://", "rediss://", "redis+socket://")
    if url is not None and not url.get_secret_value().startswith(schemes):
        raise ValueError(f"must start with one of {', '.join(schemes)}")
    if url is not None and not url.get_secret_value().startswith("redis+socket://"):
        _require_parts(url.get_secret_value())
    return url


def _require_parts(url: str) -> None:
    """Raise ValueError for a URL that is split at the wrong places: messages would show its password."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.port != 0 and "@" not in f"{parts.path}{parts.query}{parts.fragment}":
            return
    raise ValueError(
        "cannot be read; it is redis://:password@host:port/0, and in the password each of @ : / ? # % is "
        "written as % and its code, %40 for @"
    )


def _supported_database(url: SecretStr | None) -> SecretStr | None:
    schemes = ("postgresql://", "postgresql+psycopg://", "sqlite:///")
    if url is not None and not url.get_secret_value().startswith(schemes):
        raise ValueError(f"must start with one of {', '.join(schemes)}")
    return url


def _supported_webhook(url: SecretStr | None) -> SecretStr | None:
    if url is not None and not url.get_secret_value().startswith(("https://", "http://")):
        raise ValueError("must start with https:// or http://")
    return url


class Settings(BaseSettings):
    """Every setting with its default and purpose; its variable is its name in capitals behind NIGHTREAD_."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", allow_inf_nan=False
    )

    home: Annotated[
        Path, Field(description="Folder of the embedded database, queue, heatmaps and models.")
    ] = Path("nightread-home")
    database_url: Annotated[
        SecretStr | None,
        AfterValidator(_supported_database),
        Field(
            description="PostgreSQL instead of the SQLite file below home: postgresql://user:password@host/name"
        ),
    ] = None
    broker_url: Annotated[
        SecretStr | None,
        AfterValidator(_supported_broker),
        Field(description="Redis or Valkey instead of the embedded one: redis://:password@host:6379/0"),
    ] = None
    heatmap_dir: Annotated[
        Path | None,
        Field(description="Folder of the overlays; shared by all workers. Default: home/heatmaps"),
    ] = None
    models_dir: Annotated[
        Path | None,
        Field(description="Folder of model folders. Default: home/models, beside the shipped ones"),
    ] = None
    cache_dir: Annotated[
        Path | None,
        Field(
            description="Folder where prepared pixels are kept for the next model or run. Default: nowhere"
        ),
    ] = None
    cache_bytes: Annotated[
        ByteSize,
        Field(
            gt=0,
            description="Size of that folder, such as 100GB; what was not used for longest goes first.",
        ),
    ] = ByteSize(20 * 10**9)
    lease_seconds: Annotated[
        PositiveFloat,
        Field(description="Seconds after which a worker that did not renew its lease has lost its batch."),
    ] = 60.0
    tick_seconds: Annotated[
        PositiveFloat, Field(description="How often beat asks for a reconciliation of the ledger.")
    ] = 10.0
    max_attempts: Annotated[
        PositiveInt,
        Field(description="Workers that may die on a batch before its images are tried one by one."),
    ] = 3
    max_image_pixels: Annotated[
        PositiveInt, Field(description="A picture with more pixels is refused before it is decoded.")
    ] = 64_000_000
    model: Annotated[str, Field(description="The model that is used where a command names none.")] = "demo"
    children: Annotated[
        PositiveInt | None,
        Field(description="A worker's processes. Default: one per GPU, or one per core without a GPU."),
    ] = None
    engine: Annotated[
        EngineChoice,
        Field(
            description="What runs the network: tensorflow (CPU or GPU), or for CPUs openvino; openvino-bf16 "
            "is less exact. auto: tensorflow where there is a GPU, else openvino where it is installed."
        ),
    ] = "auto"
    threads: Annotated[
        PositiveInt | None,
        Field(
            description="Threads of one process's network, and at least two that read its pictures. "
            "Default: cores / children"
        ),
    ] = None
    webhook_url: Annotated[
        SecretStr | None,
        AfterValidator(_supported_webhook),
        Field(description="Where alerts are posted as JSON: https://host/path, which may hold a secret."),
    ] = None
    dicomweb_token: Annotated[
        SecretStr | None, Field(description="Bearer token for services named as dicomweb+https://…")
    ] = None
    dicomweb_user: Annotated[
        str | None, Field(description="User for services named as dicomweb+https://…, instead of a token.")
    ] = None
    dicomweb_password: Annotated[SecretStr | None, Field(description="That user's password.")] = None
    dicomweb_ca: Annotated[
        Path | None,
        Field(description="File with the certificates of the authority that signed such a service's own."),
    ] = None
    ae_title: Annotated[
        str,
        Field(
            pattern=r"^[^\\\s](?:[^\\\n\r]{0,14}[^\\\s])?$",
            description="Our application entity title, by which a PACS knows who sends.",
        ),
    ] = "NIGHTREAD"
    dicom_tls_ca: Annotated[
        Path | None,
        Field(description="File with the certificates of the authority that signed a receiver's own."),
    ] = None
    dicom_tls_certificate: Annotated[
        Path | None, Field(description="Our certificate, for receivers that ask for one.")
    ] = None
    dicom_tls_key: Annotated[
        Path | None, Field(description="That certificate's key. Default: it is in the same file.")
    ] = None
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    log_format: Annotated[
        Literal["text", "json"], Field(description="Log lines for people, or as JSON with run and batch.")
    ] = "text"
    flower_user: str = "nightread"
    flower_password: Annotated[
        SecretStr | None,
        Field(description="Flower asks for it, and does not start on an open address without it."),
    ] = None

    @cached_property
    def overlays(self) -> Path:
        """The folder below which overlays are written."""
        return (self.heatmap_dir or self.home / "heatmaps").absolute()

    @cached_property
    def models(self) -> Path:
        """The folder of the user's own models."""
        return (self.models_dir or self.home / "models").absolute()

    @cached_property
    def graphs(self) -> Path:
        """The folder in which exported networks are kept."""
        return self.home.absolute() / "graphs"

    @property
    def embedded_database(self) -> bool:
        """Whether results go into the SQLite file below home."""
        return self.database_url is None

    @property
    def database_file(self) -> Path:
        """The embedded database."""
        return self.home.absolute() / "nightread.db"

    @cached_property
    def database(self) -> str:
        """The database's URL, its secrets included."""
        if self.database_url is None:
            return f"sqlite:///{self.database_file}"
        return self.database_url.get_secret_value()


def _require_spelling(environment: Iterable[str]) -> None:
    """Raise ConfigError for a name that is nearly a setting's; other names may belong to somebody else."""
    known = [ENVIRONMENT_PREFIX + field.upper() for field in Settings.model_fields]
    for name in environment:
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known:
            meant = get_close_matches(name, known, n=1, cutoff=0.84)
            if meant:
                raise ConfigError(f"{name} is no setting; is {meant[0]} meant?")


def load_settings() -> Settings:
    """Read the environment; ConfigError names the variable that is misspelt or has a bad value."""
    _require_spelling(os.environ)
    try:
        return Settings()
    except ValidationError as error:
        # The value itself may hold a password, so only the variable and the rule are shown.
        problems = [
            f"{ENVIRONMENT_PREFIX}{'.'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigError("; ".join(problems)) from None
