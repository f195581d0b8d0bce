"""What is said of an inventory: all of its files, kept or skipped, by what they are."""

from collections import Counter
from collections.abc import Iterator

from jobs.inventory.inventory import Inventory
from jobs.inventory.skips import Skip


def summary_lines(inventory: Inventory) -> list[str]:
    """Count the files of an inventory in a few lines; no name of a file is among them."""
    kept, skipped = len(inventory.films), len(inventory.skipped)
    views = Counter(film.view or "of unknown view" for film in inventory.films)
    lines = [f"{inventory.found:,} files found: {kept:,} kept, {skipped:,} skipped"]
    if kept:
        lines.append(f"kept: {', '.join(f'{films:,} {view}' for view, films in views.most_common())}")
    if skipped:
        modalities = Counter((file.reason, file.modality) for file in inventory.skipped)
        lines.append(f"skipped: {', '.join(_reasons(inventory.reasons(), modalities))}")
    return lines


def warning_lines(inventory: Inventory) -> Iterator[str]:
    """Say what a person should look at before the films are scored."""
    kinds = Counter(film.kind for film in inventory.films)
    others = kinds.total() - kinds["DICOM"]
    if kinds["DICOM"] and others:
        yield (
            f"{others:,} PNG or JPEG files lie among DICOM files; if they are previews of them: "
            "nightread manifest --only-dicom"
        )
    if burned_in := sum(film.burned_in == "YES" for film in inventory.films):
        yield (
            f"{burned_in:,} films say that text is burned into their pixels, which may be a name and is in "
            "overlays and reports too; to pass over them: nightread manifest --skip-burned-in"
        )
    if inventory.alike:
        yield (
            f"{inventory.alike:,} films share their SOP Instance UID with another one and differ from it; "
            "all are kept"
        )


def _reasons(reasons: dict[Skip, int], modalities: Counter[tuple[Skip, str]]) -> Iterator[str]:
    for reason, files in reasons.items():
        if reason == Skip.OTHER_MODALITY:
            of = [
                f"{n:,} {modality or 'unknown'}"
                for (why, modality), n in modalities.most_common()
                if why == reason
            ]
            yield f"{files:,} {reason} ({', '.join(of)})"
        else:
            yield f"{files:,} {reason}"
