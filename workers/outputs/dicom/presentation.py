"""Presentation states: boxes and probabilities that a viewer lays over the film itself."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from highdicom import PresentationLUTShapeValues, PresentationLUTTransformation, pr
from pydicom import Dataset
from pydicom.tag import Tag

from db.scored_images import Score
from workers.outputs.dicom.identity import LABEL, Identity, finding_text
from workers.outputs.dicom.report import corners

_LAYER: Final = "FINDINGS"
_CONTENT: Final = "AI_FINDINGS"


def states(identity: Identity, _: object) -> Iterator[tuple[None, Dataset]]:
    """Yield the presentation state of an image, none where no finding is over its threshold."""
    film, image = identity.film.stand_in(), identity.image
    flagged = [score for score in image.scores if score.flagged]
    if not flagged:
        return
    layer = pr.GraphicLayer(_LAYER, order=1, description=LABEL)
    annotation = pr.GraphicAnnotation(
        referenced_images=[film],
        graphic_layer=layer,
        graphic_objects=[_outline(score) for score in flagged if score.box is not None] or None,
        text_objects=[*_captions(flagged), _headline(identity)],
    )
    common: dict[str, Any] = {
        "referenced_images": [film],
        "sop_instance_uid": identity.uid(),
        "instance_number": image.row,
        "content_label": _CONTENT,
        "content_description": LABEL,
        "graphic_annotations": [annotation],
        "graphic_layers": [layer],
        **identity.series,
    }
    state: pr.GrayscaleSoftcopyPresentationState | pr.ColorSoftcopyPresentationState
    if film.SamplesPerPixel == 1:
        state = pr.GrayscaleSoftcopyPresentationState(
            **common, presentation_lut_transformation=_polarity(film)
        )
    else:
        state = pr.ColorSoftcopyPresentationState(**common)
    aspect = identity.film.aspect()
    if aspect is not None:
        state.DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio = aspect
    laterality = Tag("Laterality")
    state.Laterality = ""
    if laterality in identity.film.dataset:
        state[laterality] = identity.film.element(laterality)
    yield None, state


def _polarity(film: Dataset) -> PresentationLUTTransformation:
    """Say which end is white: a state's word goes before its image's photometric interpretation."""
    said = {film.PhotometricInterpretation, film.get("PresentationLUTShape")}
    negative = not said.isdisjoint({"MONOCHROME1", "INVERSE"})
    shape = PresentationLUTShapeValues.INVERSE if negative else PresentationLUTShapeValues.IDENTITY
    return PresentationLUTTransformation(presentation_lut_shape=shape)


def _outline(score: Score) -> pr.GraphicObject:
    if score.box is None:
        raise ValueError("a finding without a box has no outline")
    return pr.GraphicObject(
        graphic_type=pr.GraphicTypeValues.POLYLINE,
        graphic_data=corners(score.box),
        units=pr.AnnotationUnitsValues.PIXEL,
    )


def _captions(flagged: Sequence[Score]) -> Iterator[pr.TextObject]:
    """Yield a line at the upper left corner of each box, or below the headline where there is no box."""
    lines = 1
    for score in flagged:
        text = finding_text(score.finding, score.probability)
        if score.box is not None:
            yield pr.TextObject(
                text,
                units=pr.AnnotationUnitsValues.PIXEL,
                anchor_point=(float(score.box.x), float(score.box.y)),
                anchor_point_visible=False,
            )
        else:
            yield _line(text, lines)
            lines += 1


def _headline(identity: Identity) -> pr.TextObject:
    return _line(f"{LABEL}: {identity.origin.model}", 0)


def _line(text: str, number: int) -> pr.TextObject:
    """Return a line in the upper left corner of what is shown, whatever that is."""
    top = 0.02 + 0.04 * number
    return pr.TextObject(
        text,
        units=pr.AnnotationUnitsValues.DISPLAY,
        bounding_box=tuple(np.clip((0.02, top, 0.6, top + 0.03), 0.0, 1.0).tolist()),
        text_justification=pr.TextJustificationValues.LEFT,
    )
