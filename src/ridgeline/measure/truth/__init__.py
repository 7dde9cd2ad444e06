"""Tables of measurements by others: what they look like and how they are read."""

from ridgeline.measure.truth.reader import Rejected, Table, read_table
from ridgeline.measure.truth.schema import SCHEMAS, Measure, Schema, detect_schema

__all__ = ["SCHEMAS", "Measure", "Rejected", "Schema", "Table", "detect_schema", "read_table"]
