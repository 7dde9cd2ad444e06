"""The search's part of the Python surface: the best deployment, and whole ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ridgeline.questions.answer import Answer

__all__ = ["plan", "sweep"]


def plan(model: str, on: str | tuple[str, ...] = (), *, launch: str | None = None,
         force: bool = False, **fields: Any) -> Answer:
    """The best deployment of a model under targets and a budget, of every valid one.

    Args:
        model: as in `estimate`.
        on: one machine on offer or several; none: the whole catalog.
        launch: folder for what starts the best deployment, and the benchmark that would check it.
        force: write over files there.
        **fields: any other field of `questions.plan_ask.PlanAsk`: `prompt=4000, output=1000,
            ttft=1.0, tpot=0.03, rate=50.0, budget=40.0, minimize="cost", formats=("bf16", "fp8")`.

    Returns:
        an Answer with the best row's numbers; `to_dict()["answer"]` also has `best`, `frontier`,
        `runner_ups` and `rejected`.

    Raises:
        BadInput: an unknown name, a value out of range, targets that contradict each other.
        Infeasible: nothing fits, or nothing meets the targets.

    >>> answer = plan("Llama-3.1-8B", "2xH100-SXM", minimize="latency", batches=(1, 8),
    ...               mode="aggregated")
    >>> answer.to_dict()["answer"]["best"]["tp"]
    2
    """
    from ridgeline.questions.plan import plan as ask
    from ridgeline.questions.plan_ask import plan_ask

    asked = plan_ask(model, on, fields)
    if launch is None:
        return ask(asked)
    from ridgeline.questions.plan_launch import write_launch
    from ridgeline.search.launch import check_folder

    check_folder(launch, force=force)
    return write_launch(asked, ask(asked), launch, force=force)


def sweep(question: str = "estimate", *, out: str, scenario: str | None = None, jobs: int = 1,
          on_ray: str | None = None, limit: int = 100_000, force: bool = False,
          **fields: Any) -> Answer:
    """One question asked of every combination of lists and ranges, kept as Parquet in a folder.

    Args:
        question: "estimate", "fit" or "train".
        out: folder of the rows; asked again with the same fields, it is filled, not begun anew.
        scenario: .toml or .json file of fields; those given here win.
        jobs: processes; more than 1 needs a script guarded by `if __name__ == "__main__"`.
        on_ray: address of a Ray cluster, or "local".
        limit: combinations at most.
        force: forget another sweep's rows in the folder.
        **fields: of the question, each a value, a list, or a range
            `{"from": 100, "to": 10000, "steps": 5, "scale": "log"}`.

    Returns:
        an Answer with `rows`, `answered`, `refused`, `file` (all rows as Parquet).

    Raises:
        BadInput: an unknown field, an empty list, too many combinations, a folder in other use.
        MissingExtra: DuckDB or Ray is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = sweep("fit", out=folder, model="Llama-3.1-8B", machine="RTX-4090",
    ...                   context=[1024, 8192], concurrency={"from": 1, "to": 4, "steps": 2})
    >>> found["rows"], found["refused"]
    (4, 0)
    """
    from ridgeline.questions.sweep import SweepAsk
    from ridgeline.questions.sweep import sweep as ask
    from ridgeline.scenario import read_scenario

    written = {name: ({k: v for k, v in value.items() if k not in fields}
                      if isinstance(value, dict) else value)
               for name, value in (read_scenario(scenario) if scenario else {}).items()
               if name != "question"}
    return ask(SweepAsk({**written, **fields}, out, question, jobs, on_ray, limit, force=force))
