"""Ridgeline: what is possible, what is the limit, what does it cost, and why.

    import ridgeline
    ridgeline.estimate("Llama-3.1-70B", "8xH100-SXM", prompt=4000, output=1000, concurrency=32)
"""

from ridgeline.api import (
    ask,
    cache,
    capacity,
    check,
    demand,
    draw,
    energy,
    estimate,
    exercise,
    fit,
    fleet,
    infer_price,
    measure_engine,
    measure_machine,
    plan,
    price,
    queue,
    rack,
    retrieve,
    roofline,
    roofline_matmul,
    scale,
    simulate,
    sweep,
    think,
    train,
)
from ridgeline.errors import BadInput, Infeasible, MissingExtra, RidgelineError, UnknownName
from ridgeline.scenario import Scenario

__version__ = "0.1.0"

__all__ = ["BadInput", "Infeasible", "MissingExtra", "RidgelineError", "Scenario", "UnknownName",
           "__version__", "ask", "cache", "capacity", "check", "demand", "draw", "energy",
           "estimate", "exercise", "fit", "fleet", "infer_price", "measure_engine",
           "measure_machine", "plan", "price",
           "queue", "rack", "retrieve", "roofline",
           "roofline_matmul", "scale", "simulate", "sweep", "think", "train"]
