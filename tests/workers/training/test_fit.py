"""A training that cannot come to a model is refused before it begins."""

from pathlib import Path
from typing import Any

import pytest
from training_support import plan_of, split_of

from config.errors import ConfigError
from config.findings import FINDINGS
from workers.training.fit import train


@pytest.mark.parametrize(
    "fields", [{"name": "No Name"}, {"train": split_of([[0, 1], [1, 0]]).only((FINDINGS[0],) * 2)}]
)
def test_what_no_card_could_say_is_refused_before_the_training(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    def never(*_: Any) -> None:
        pytest.fail("it began")

    from workers.training.plan import Reporter

    with pytest.raises(ConfigError, match="name") as caught:
        train(plan_of(tmp_path, **fields), tmp_path / "models", tmp_path / "kept", Reporter(*[never] * 4))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_training_of_a_taken_name_is_refused_before_it_begins(tmp_path: Path) -> None:
    def never(*_: Any) -> None:
        pytest.fail("it began")

    from workers.training.plan import Reporter

    (tmp_path / "models" / "mine").mkdir(parents=True)
    with pytest.raises(ConfigError, match="is there already; choose another --name"):
        train(plan_of(tmp_path), tmp_path / "models", tmp_path / "kept", Reporter(*[never] * 4))
    assert not (tmp_path / "kept").exists()
