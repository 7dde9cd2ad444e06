"""Parameter counts of published models, from their configs alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ridgeline.measure.truth.names import look_up
from ridgeline.measure.truth.reader import Table
from ridgeline.measure.validate.prediction import Advance, Interval, Predictions, each_row


def predict(table: Table, advance: Advance) -> Predictions:
    """Checkpoint element counts and active parameters of every model of the table.

    A config_file is looked for beside the table, in a `models` folder beside it, in the mapping
    given with `--models`, then among the bundled configs.
    """
    folders = (Path(table.name).parent, Path(table.name).parent / "models")

    def answer(row: dict[str, Any]) -> dict[str, Interval]:
        from ridgeline.model.load import load_architecture

        own = [f / row["config_file"] for f in folders if (f / row["config_file"]).is_file()]
        named = look_up(row["name"]).config
        wanted = str(own[0]) if own else named or row["config_file"] or row["name"]
        architecture = load_architecture(wanted)
        # Publishers round their active counts, each by a rule of its own: no interval for those.
        return {"total_params": _exact(architecture.checkpoint_params),
                "active_params": Interval(float(architecture.active_params))}

    return each_row(table, advance, answer)


def _exact(count: int) -> Interval:
    """A count has no spread: its interval is a point."""
    value = float(count)
    return Interval(value, value, value, value, value)
