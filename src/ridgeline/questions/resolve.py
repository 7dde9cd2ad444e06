"""From the names in a scenario to the objects behind them, with every rule checked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import Formats, settle_formats
from ridgeline.errors import BadInput
from ridgeline.machine import Cluster
from ridgeline.model.architecture import Architecture
from ridgeline.scenario import Scenario

__all__ = ["Resolved", "resolve"]


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

    architecture = load_architecture(scenario.model)
    cluster = parse_machine(scenario.machine)
    load_engine(scenario.deployment.engine)
    deployment = complete(scenario.deployment, architecture, cluster)
    formats = settle_formats(architecture, deployment, cluster.chip)
    broken = broken_rules(architecture, deployment, cluster)
    if broken:
        raise BadInput("; ".join(broken))
    return Resolved(dataclasses.replace(scenario, deployment=deployment), architecture, cluster,
                    deployment, formats)


def complete(deployment: Deployment, architecture: Architecture, cluster: Cluster) -> Deployment:
    """Fill in degrees the user left at 1 so that all chips work.

    With no degree given, the chips of a scale-up domain share the model by tensor parallelism (as
    far as its heads divide), stages span domains, and copies take what is left. With some degrees
    given, copies of the replica fill the machine.

    Raises:
        BadInput: the replica does not divide the machine.
    """
    given = deployment.chips_per_replica
    if deployment.chips > cluster.n_chips:
        raise BadInput(f"the deployment needs {deployment.chips} chips "
                       f"and the machine has {cluster.n_chips}")
    if deployment.chips == cluster.n_chips:
        return deployment
    if given == 1 and deployment.dp == 1:
        deployment = widest(deployment, architecture, cluster)
        given = deployment.tp
    if cluster.n_chips % given:
        raise BadInput(f"a replica of {given} chips does not divide the machine's "
                       f"{cluster.n_chips}; give tp, pp or dp that do")
    if deployment.dp == 1:
        return dataclasses.replace(deployment, dp=cluster.n_chips // given)
    raise BadInput(f"tp, pp, cp, attention_dp and dp use {deployment.chips} of the machine's "
                   f"{cluster.n_chips} chips; leave dp out to fill it")


def widest(deployment: Deployment, architecture: Architecture, cluster: Cluster) -> Deployment:
    """The deployment with the largest tensor parallelism inside a domain that breaks no rule."""
    from ridgeline.deployment.rules import broken_rules

    most = min(cluster.n_chips, cluster.domain_size)
    for tp in range(most, 1, -1):
        if cluster.n_chips % tp:
            continue
        plan = dataclasses.replace(deployment, tp=tp, dp=cluster.n_chips // tp)
        if not broken_rules(architecture, plan, cluster):
            return plan
    return deployment
