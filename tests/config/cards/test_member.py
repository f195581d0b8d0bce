"""An ensemble is found with its members as they were when it was made, or refused by name."""

from pathlib import Path
from typing import Any

import pytest
from support import CLASSIFIER_CARD, STUB_CARD, write_card

from config.cards.classification import ENSEMBLE
from config.cards.member import Member, members_sha256
from config.cards.model import (
    find_model,
    networks_of,
    read_model,
    require_classifier,
    require_network,
)
from config.errors import ConfigError


def write_members(models: Path, *names: str) -> list[Member]:
    members = []
    for number, name in enumerate(names, start=1):
        write_card(models, CLASSIFIER_CARD | {"name": name, "sha256": f"{number}" * 64})
        card = read_model(models / name).card
        members.append(Member(name=name, sha256=card.sha256, card_sha256=card.fingerprint))
    return members


def ensemble_card(members: list[Member], /, **fields: object) -> dict[str, Any]:
    whole = CLASSIFIER_CARD | {
        "name": "ours",
        "architecture": ENSEMBLE,
        "sha256": members_sha256(members),
        "members": [member.model_dump() for member in members],
        "weights": None,
    }
    return whole | fields


def refusal(models: Path, name: str = "ours") -> str:
    with pytest.raises(ConfigError) as caught:
        find_model(name, models)
    return str(caught.value)


def test_an_ensemble_is_found_with_its_members_in_their_order(tmp_path: Path) -> None:
    write_card(tmp_path, ensemble_card(write_members(tmp_path, "b", "a", "c")))
    ours = require_classifier(find_model("ours", tmp_path))
    assert [network.card.name for network in networks_of(ours)] == ["b", "a", "c"]
    alone = require_classifier(find_model("a", tmp_path))
    assert networks_of(alone) == (alone,)


def test_another_member_makes_another_ensemble(tmp_path: Path) -> None:
    members = write_members(tmp_path, "a", "b", "c")
    prints = set()
    for part in (members[:2], members[1:], members, members[::-1]):
        write_card(tmp_path, ensemble_card(part))
        card = read_model(tmp_path / "ours").card
        prints.add((card.sha256, card.fingerprint))
    assert len(prints) == 4
    assert len({fingerprint for _, fingerprint in prints}) == 4


def test_a_missing_member_is_named_with_what_to_do(tmp_path: Path) -> None:
    members = write_members(tmp_path, "a", "b")
    write_card(tmp_path, ensemble_card(members))
    (tmp_path / "b" / "card.yaml").unlink()
    assert f"its member b is not here; copy that model's folder to {tmp_path}" in refusal(tmp_path)


@pytest.mark.parametrize("field", ["thresholds", "sha256", "description", "golden"])
def test_a_member_of_which_anything_has_changed_is_refused(tmp_path: Path, field: str) -> None:
    write_card(tmp_path, ensemble_card(write_members(tmp_path, "a", "b")))
    other = {"thresholds": [0.4] * 14, "golden": [0.3] * 14, "sha256": "9" * 64, "description": "another"}
    write_card(tmp_path, CLASSIFIER_CARD | {"name": "b", "sha256": "2" * 64} | {field: other[field]})
    message = refusal(tmp_path)
    assert "member b has changed since" in message
    assert str(tmp_path / "b" / "card.yaml") in message


def test_a_member_must_be_one_network_with_the_ensembles_findings_and_pixels(tmp_path: Path) -> None:
    members = write_members(tmp_path, "a", "b")
    write_card(tmp_path, ensemble_card(members))
    inner = read_model(tmp_path / "ours").card
    nested = [members[0], Member(name="ours", sha256=inner.sha256, card_sha256=inner.fingerprint)]
    write_card(tmp_path, ensemble_card(nested, name="outer"))
    assert "model ours is an ensemble" in refusal(tmp_path, "outer")

    write_card(tmp_path, STUB_CARD)
    stub = read_model(tmp_path / "stub").card
    with_stub = [members[0], Member(name="stub", sha256=stub.sha256, card_sha256=stub.fingerprint)]
    write_card(tmp_path, ensemble_card(with_stub))
    assert "model stub is of the kind stub" in refusal(tmp_path)

    fewer = {"findings": ["Mass"], "thresholds": [0.5], "golden": [0.5]}
    write_card(tmp_path, ensemble_card(members, **fewer))
    assert "its findings are not those of a" in refusal(tmp_path)
    write_card(tmp_path, ensemble_card(members, pixels=CLASSIFIER_CARD["pixels"] | {"size": 224}))
    assert "its pixels are not those of a" in refusal(tmp_path)


def test_an_ensemble_is_no_network(tmp_path: Path) -> None:
    write_card(tmp_path, ensemble_card(write_members(tmp_path, "a", "b")))
    with pytest.raises(ConfigError, match="ours is an ensemble; one network is needed"):
        require_network(find_model("ours", tmp_path))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"members": None}, "members and the architecture ensemble belong together"),
        ({"architecture": "densenet121"}, "members and the architecture ensemble belong together"),
        ({"weights": "weights.npz"}, "no weights or seed of its own"),
        ({"seed": 1}, "no weights or seed of its own"),
        ({"sha256": "0" * 64}, "sha256 is not that of the members"),
    ],
)
def test_a_card_that_is_half_an_ensemble_is_refused(
    tmp_path: Path, fields: dict[str, object], says: str
) -> None:
    write_card(tmp_path, ensemble_card(write_members(tmp_path, "a", "b"), **fields))
    assert says in refusal(tmp_path)


def test_one_member_or_one_twice_is_refused(tmp_path: Path) -> None:
    members = write_members(tmp_path, "a", "b")
    write_card(tmp_path, ensemble_card(members[:1]))
    assert "members: Tuple should have at least 2 items" in refusal(tmp_path)
    write_card(tmp_path, ensemble_card([members[0], members[0]]))
    assert "members names one twice" in refusal(tmp_path)


def test_the_hash_that_leads_to_a_members_weights_must_be_its_cards(tmp_path: Path) -> None:
    first, second = write_members(tmp_path, "a", "b")
    write_card(tmp_path, ensemble_card([first, second.model_copy(update={"sha256": "9" * 64})]))
    assert "member b has changed since" in refusal(tmp_path)
