"""The card of a model that answers without a network: for tests and benchmarks of queue and database."""

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from config.cards.card import Findings, Frozen, ModelName, Numbers, Sha256, Views, require_one_per_finding


class StubCard(Frozen):
    """A stub's card: the findings it answers for, and a hash that its answers follow from."""

    reads_images: ClassVar[bool] = False
    channels: ClassVar[tuple[str, ...]] = ()
    """Its manifests have none: an image is one file."""

    kind: Literal["stub"] = "stub"
    name: ModelName
    description: str
    sha256: Sha256
    findings: Findings
    thresholds: Numbers
    views: Views | None = None
    trained: bool = False
    clinical_use: bool = False
    provenance: str
    licence: str

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        require_one_per_finding(self.findings, thresholds=self.thresholds)
        return self
