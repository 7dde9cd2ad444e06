"""From the names in a scenario to the objects behind them, with every rule checked."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import Formats, settle_formats
from ridgeline.errors import BadInput
from ridgeline.machine import Cluster
from ridgeline.model.architecture import Architecture
from ridgeline.scenario import AUTO, Scenario

__all__ = ["Resolved", "resolve", "weights_read"]


@dataclass(frozen=True)
class Resolved:
    """A scenario with its names looked up.

    Attributes:
        scenario: as asked, with the deployment completed.
        architecture, cluster, deployment, formats: what the names mean.
    """

    scenario: Scenario
    architecture: Architecture
    cluster: Cluster
    deployment: Deployment
    formats: Formats


def resolve(scenario: Scenario) -> Resolved:
    """Look up names, complete the deployment and check it against the rules.

    Raises:
        BadInput: an unknown name or a broken rule, with the nearest valid choice.
    """
    from ridgeline.catalog import load_engine
    from ridgeline.deployment.rules import broken_rules
    from ridgeline.machine.parse import parse_machine
    from ridgeline.model.load import load_architecture

    architecture = load_architecture(scenario.model, fetch=bool(os.environ.get("RIDGELINE_FETCH")))
    cluster = parse_machine(scenario.machine)
    load_engine(scenario.deployment.engine)
    deployment = complete(scenario.deployment, architecture, cluster)
    formats = settle_formats(architecture, deployment, cluster.chip)
    broken = broken_rules(architecture, deployment, cluster)
    if broken:
        raise BadInput("; ".join(broken))
    if cluster.chip.levels:
        # A measured machine: bandwidth and kernels at the working set of this model.
        read = weights_read(architecture, deployment, formats)
        cluster = dataclasses.replace(cluster, chip=cluster.chip.holding(read))
    return Resolved(dataclasses.replace(scenario, deployment=deployment), architecture, cluster,
                    deployment, formats)


def weights_read(architecture: Architecture, deployment: Deployment, formats: Formats) -> float:
    """Bytes of weights that one device reads for a step of one token."""
    from ridgeline.work.step import decode_step, step_ops

    step = decode_step(sequences=1.0, context=1.0)
    return sum(float(op.repeats * op.weight_bytes)
               for op in step_ops(architecture, deployment, formats, step))


def complete(deployment: Deployment, architecture: Architecture, cluster: Cluster) -> Deployment:
    """Fill in what the user left open, so that all chips work.

    Without a tensor-parallel degree, the chips of a scale-up domain share the model as far as its
    rules allow; without a number of replicas, they fill the machine.

    Raises:
        BadInput: the replica does not divide the machine.
    """
    if deployment.tp == AUTO:
        deployment = widest(deployment, architecture, cluster)
    replica, total = deployment.chips_per_replica, cluster.n_chips
    if deployment.chips > total:
        raise BadInput(f"the deployment needs {deployment.chips} chips "
                       f"and the machine has {total}")
    if total % replica:
        raise BadInput(f"a replica of {replica} chips does not divide the machine's {total}; "
                       "give tp, pp or dp that do")
    if deployment.dp == 1:
        return dataclasses.replace(deployment, dp=total // replica)
    if deployment.chips < total:
        raise BadInput(f"tp, pp, cp, attention_dp and dp use {deployment.chips} of the machine's "
                       f"{total} chips; leave dp out to fill it")
    return deployment


def widest(deployment: Deployment, architecture: Architecture, cluster: Cluster) -> Deployment:
    """The deployment with the largest tensor parallelism inside a domain that breaks no rule.

    When none is free of broken rules, the one without tensor parallelism, whose rules then tell.
    """
    from ridgeline.deployment.rules import broken_rules

    others = deployment.pp * deployment.cp * deployment.dp
    room = max(1, cluster.n_chips // others)
    for tp in range(min(room, cluster.domain_size), 1, -1):
        if room % tp:
            continue
        copies = room // tp if deployment.dp == 1 else deployment.dp
        plan = dataclasses.replace(deployment, tp=tp, dp=copies)
        if plan.chips == cluster.n_chips and not broken_rules(architecture, plan, cluster):
            return dataclasses.replace(deployment, tp=tp)
    return dataclasses.replace(deployment, tp=1)
