"""A plan's best deployment as files that start it and check it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ridgeline.errors import Infeasible

if TYPE_CHECKING:
    from ridgeline.questions.plan import PlanAnswer, PlanAsk
    from ridgeline.search.launch import LaunchSpec

__all__ = ["planned_launch", "write_launch"]

# Of a row: what a benchmark of its load finds too.
_CHECKED = ("ttft_s", "ttft_low_s", "ttft_high_s", "tpot_s", "tpot_low_s", "tpot_high_s", "e2e_s",
            "output_tokens_per_s", "output_tokens_per_s_per_chip")


def planned_launch(ask: PlanAsk, answer: PlanAnswer) -> LaunchSpec:
    """What is to be started.

    Args:
        ask: what was planned.
        answer: the plan.

    Raises:
        Infeasible: it has no best row.
    """
    from ridgeline.questions.plan_ask import planned
    from ridgeline.questions.plan_words import row_dict
    from ridgeline.search.launch import launch_spec

    if answer.best is None:
        raise Infeasible("the plan has no deployment to start")
    asked, row = planned(ask), row_dict(answer.best)
    requests = asked.requests
    return launch_spec(
        answer.best, asked.space.architecture, model=ask.model, prompt=requests.mean_prompt,
        output=requests.mean_output, longest=requests.context, prefix_hit=requests.prefix_hit,
        rate=ask.rate, varied=bool(requests.prompt.law or requests.output.law),
        predicted={name: row[name] for name in _CHECKED},
        drafted=requests.draft.length if requests.draft else 0)


def write_launch(ask: PlanAsk, answer: PlanAnswer, folder: str, *, force: bool = False
                 ) -> PlanAnswer:
    """Write the launch files of a plan, and say so in its notes.

    Args:
        ask: what was planned.
        answer: the plan.
        folder: where; made if it is not there.
        force: write over files in it.

    Returns:
        the answer with a note that names the files.

    Raises:
        BadInput: the folder is not empty, or cannot be written.
        Infeasible: the plan has no best row.
    """
    from ridgeline.search.launch import launch_files, write_folder

    files = launch_files(planned_launch(ask, answer))
    write_folder(folder, files, force=force)
    return dataclasses.replace(answer, notes=(
        *answer.notes, f"Launch files in {folder}: {', '.join(sorted(files))}."))
