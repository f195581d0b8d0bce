"""VinDr-CXR: a row per reader and box, or (PhysioNet's image labels) per reader with a column per finding."""

from collections.abc import Sequence
from typing import Final

from jobs.tables.cells import is_unknown
from jobs.tables.columns import ABSENT, ColumnError, shown
from jobs.tables.label_columns import is_present
from jobs.tables.layouts.layout import SetLayout
from jobs.tables.layouts.readers import Readers
from jobs.tables.layouts.shape import BOXES, Shape
from jobs.tables.reading import ReadOptions
from jobs.tables.spellings import is_no_finding, key_of

CLASSES: Final = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD"),
    *("Infiltration", "Lung Opacity", "Nodule/Mass", "Other lesion", "Pleural effusion"),
    *("Pleural thickening", "Pneumothorax", "Pulmonary fibrosis"),
)
"""What boxes were drawn around: a reader without one for a class did not see it in the image."""

_LOCAL: Final = (
    *("Clavicle fracture", "Edema", "Emphysema", "Enlarged PA", "Lung cavity", "Lung cyst"),
    *("Mediastinal shift", "Rib fracture"),
)
"""Classes that PhysioNet's release has boxes for beside those of Kaggle's, whose table numbers its own."""

_ENDINGS: Final = (".dicom", ".dcm", ".png", ".jpg", "")


def _reshape(shape: Shape, told: ReadOptions) -> None:
    if shape.header.find("rad_id") == ABSENT:  # the test split's consensus
        shape.add("rad_id", [], lambda: "")
        shape.used.add("rad_id")
        readers = Readers(shape, "rad_id", "any")
    else:
        readers = Readers(shape, "rad_id", told.readers)
        shape.notes.append(readers.said())
    if shape.header.find("class_name") == ABSENT:
        _merge_columns(shape, readers)
    else:
        _merge_boxes(shape, readers, ignore=told.ignore_labels)
    _name_images(shape)


def _boxes(shape: Shape) -> Sequence[str]:
    shape.keep("x_min", lambda cell: not is_unknown(cell), "rows without a box")
    _name_images(shape)
    return (*CLASSES, *_LOCAL)


def _name_images(shape: Shape) -> None:
    shape.image(
        *(f"{folder}{{image_id}}{ending}" for folder in ("", "train/", "test/") for ending in _ENDINGS)
    )


def _merge_boxes(shape: Shape, readers: Readers, *, ignore: bool) -> None:
    header = shape.header
    image, reader, word = (header.named(name) for name in ("image_id", "rad_id", "class_name"))
    passed = shape.counter("classes that are not the set's, passed over (--ignore-labels)")
    classes = CLASSES if header.find("class_id") != ABSENT else (*CLASSES, *_LOCAL)
    known = {key_of(name): name for name in classes}

    def check(fields: list[str]) -> bool:
        name = known.get(key_of(fields[word]))
        if name is None and not is_no_finding(fields[word]):
            if not ignore:
                problem = f"{shown(fields[word])} is none of the set's classes"
                advice = f"They are {', '.join(known.values())}; --ignore-labels passes over others."
                raise ColumnError(problem, advice, "class_name")
            passed[fields[word].strip()] += 1
        return True

    shape.each(check, passed)

    def merge(rows: list[list[str]]) -> list[str]:
        found: dict[str, set[str]] = {}
        for fields in rows:
            found.setdefault(fields[reader].strip(), set()).add(known.get(key_of(fields[word]), ""))
        votes = ({who: name in names for who, names in found.items()} for name in classes)
        return [rows[0][image], *map(readers.label, votes)]

    shape.group("image_id", ["image_id", *classes], merge)
    shape.notes.append(BOXES)


def _merge_columns(shape: Shape, readers: Readers) -> None:
    header = shape.header
    image, reader = header.named("image_id"), header.named("rad_id")
    columns = [index for index, name in enumerate(shape.names) if name and index not in {image, reader}]

    def merge(rows: list[list[str]]) -> list[str]:
        labels = [
            readers.label({fields[reader].strip(): is_present(fields[index]) for fields in rows})
            for index in columns
        ]
        return [rows[0][image], *labels]

    shape.group("image_id", ["image_id", *(shape.names[index] for index in columns)], merge)


LAYOUT = SetLayout(
    "VinDr-CXR",
    (("image_id", "class_name", "x_min", "y_min"), ("image_id", "Aortic enlargement", "Nodule/Mass")),
    _reshape,
    boxes=_boxes,
)
