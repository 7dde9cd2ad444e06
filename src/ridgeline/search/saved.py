"""Every evaluated row in a Parquet file, written in pieces so that memory stays bounded."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ridgeline.errors import BadInput, MissingExtra
from ridgeline.search.findings import Piece
from ridgeline.search.goal import VERDICTS
from ridgeline.search.pools import DECODE_WORKERS, TwoPools

__all__ = ["RowWriter"]

_MODEL = ("model INTEGER, chip VARCHAR, tp INTEGER, pp INTEGER, ep INTEGER, cp INTEGER, "
          "attention_dp INTEGER, weights VARCHAR, kv VARCHAR, engine VARCHAR, mode VARCHAR, "
          "prefill_chip VARCHAR, prefill_tp INTEGER, prefill_pp INTEGER")
_MOST_BYTES = "512MB"


class RowWriter:
    """Takes pieces of a sweep; on a clean exit the file is there, whole, else nothing is.

    Raises:
        MissingExtra: DuckDB is not installed.
        BadInput: the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        self.target = Path(path)
        self.models: dict[int, tuple[Any, ...]] = {}

    def __enter__(self) -> RowWriter:
        try:
            import duckdb
        except ImportError:
            raise MissingExtra.needed("saving rows as Parquet", "data") from None
        try:
            self.folder = Path(tempfile.mkdtemp(dir=self.target.parent or ".",
                                                prefix=f".{self.target.name}."))
        except OSError as error:
            raise BadInput(f"cannot write {self.target}: {error.strerror or error}") from error
        self.base = duckdb.connect(str(self.folder / "rows.duckdb"))
        self.base.execute(f"SET memory_limit = '{_MOST_BYTES}'")
        self.base.execute("SET threads = 1")
        self.made = False
        return self

    def write(self, piece: Piece, model: Any) -> None:
        """Add a piece's rows."""
        if piece.model not in self.models:
            self.models[piece.model] = _model(piece.model, model)
        # Registered under a name of its own: DuckDB reads the arrays where they lie.
        self.base.register("piece", _columns(piece, model))
        verb = "INSERT INTO evaluated" if self.made else "CREATE TABLE evaluated AS"
        self.base.execute(f"{verb} SELECT * FROM piece")
        self.base.unregister("piece")
        self.made = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            if kind is None and self.made:
                self._finish()
        finally:
            self.base.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _finish(self) -> None:
        """Join rows with what their deployments share, and put the file in its place."""
        self.base.execute(f"CREATE TABLE models ({_MODEL})")
        marks = ", ".join("?" * _MODEL.count(",")) + ", ?"
        self.base.executemany(f"INSERT INTO models VALUES ({marks})", list(self.models.values()))
        part = self.folder / "rows.parquet"
        verdicts = ", ".join(f"'{name}'" for name in VERDICTS)
        self.base.execute(
            f"COPY (SELECT m.* EXCLUDE (model), e.* EXCLUDE (model, verdict), "
            f"[{verdicts}][e.verdict + 1] AS verdict "
            f"FROM evaluated e JOIN models m USING (model)) TO '{part}' (FORMAT parquet)")
        try:
            part.replace(self.target)
        except OSError as error:
            raise BadInput(f"cannot write {self.target}: {error.strerror or error}") from error


def _model(number: int, model: Any) -> tuple[Any, ...]:
    """What a deployment's rows share, in the order of _MODEL."""
    pooled = isinstance(model, TwoPools)
    shape = model.decode.shape if pooled else model.rated.shape
    first = model.prefill.shape if pooled else None
    plan, formats = shape.deployment, shape.formats
    return (number, shape.offer.chip.name, plan.tp, plan.pp, plan.ep, plan.cp, plan.attention_dp,
            formats.dense.name, formats.kv.name, plan.engine,
            "disaggregated" if pooled else "aggregated",
            first.offer.chip.name if first else None, first.deployment.tp if first else None,
            first.deployment.pp if first else None)


def _columns(piece: Piece, model: Any) -> dict[str, Any]:
    """Numbers of a piece's rows; units as in the JSON of an answer."""
    scored, times, setting = piece.scored, piece.times, np.asarray(piece.setting)
    if isinstance(model, TwoPools):
        workers = np.array(DECODE_WORKERS)[setting]
        chunk = np.zeros(len(setting), np.int32)
    else:
        workers = np.ones(len(setting), np.int64)
        chunk = np.array(list(model.rated.budgets.values()), np.int32)[setting]
    return {
        "model": np.full(len(setting), piece.model, np.int32),
        "batch": piece.batch.astype(np.int32), "max_num_batched_tokens": chunk,
        "decode_workers": workers.astype(np.int32),
        "replicas": np.nan_to_num(scored.replicas).astype(np.float64),
        "chips": np.nan_to_num(scored.chips).astype(np.float64),
        "ttft_s": scored.ttft, "tpot_s": times.tpot, "e2e_s": times.e2e,
        "output_tokens_per_s": scored.tokens_per_s, "usd_per_hour": scored.usd_per_hour,
        "usd_per_mtok": scored.usd_per_mtok,
        "joules_per_output_token": np.broadcast_to(scored.joules_per_token, len(setting)).copy(),
        "verdict": scored.verdict.astype(np.int32)}
