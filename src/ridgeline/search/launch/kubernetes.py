"""A Kubernetes manifest: a Deployment and a Service for each kind of server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ridgeline.search.launch.engines import DRAFT_HERE, Command, engine_facts
from ridgeline.search.launch.spec import PORT, LaunchSpec, Service
from ridgeline.search.launch.yaml_text import yaml_text

__all__ = ["manifest", "unready"]

# What a pod asks its node for, by the chip's vendor: names of the vendors' device plugins.
_RESOURCES = {"NVIDIA": "nvidia.com/gpu", "AMD": "amd.com/gpu"}
_CONFIG_FOLDER = "/etc/launch"
# Loading weights may take long: probes give up after this many tries, ten seconds apart.
_STARTUP_TRIES = 360
_LONGEST_NAME = 40


def unready(service: Service) -> str:
    """Why there is no manifest for a kind of server; "" where there is one."""
    engine, vendor = service.deployment.engine, service.cluster.chip.vendor
    if service.nodes > 1:
        return (f"a server spans {service.nodes} machines, and a Deployment's pod is on one; use "
                "the script under a job scheduler")
    facts = engine_facts()[engine]
    if vendor not in _RESOURCES or vendor not in facts["images"]:
        return f"no public image of {facts['title']} for {vendor} is recorded here"
    return ""


def manifest(spec: LaunchSpec, commands: Sequence[tuple[Service, Command, str]]) -> str:
    """All documents of the manifest as YAML.

    Args:
        spec: what is started.
        commands: each kind of server, its command and the name of its configuration file.
    """
    name = _name(spec.model)
    documents: list[dict[str, Any]] = []
    for service, made, config in commands:
        own = name if service.role == "serve" else f"{name}-{service.role}"
        if made.config:
            documents.append({"apiVersion": "v1", "kind": "ConfigMap",
                              "metadata": {"name": own},
                              "data": {config: yaml_text(made.config)}})
        documents += [_deployment(spec, service, made, own, config), _service(own)]
    return "---\n".join(yaml_text(document) for document in documents)


def _name(model: str) -> str:
    """The model's name as Kubernetes takes names."""
    plain = re.sub(r"[^a-z0-9]+", "-", model.rsplit("/", 1)[-1].lower()).strip("-")
    return re.sub(r"^[^a-z]+", "m-", plain)[:_LONGEST_NAME].rstrip("-") or "model"


def _service(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"selector": {"app": name},
                     "ports": [{"name": "http", "port": PORT, "targetPort": PORT}]}}


def _deployment(spec: LaunchSpec, service: Service, made: Command, name: str, config: str
                ) -> dict[str, Any]:
    chip = service.cluster.chip
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name},
                     "annotations": {"ridgeline/chip": chip.name}},
        "spec": {
            "replicas": service.workers,
            "selector": {"matchLabels": {"app": name}},
            # Chips for a second set of servers are seldom there: the old ones go first.
            "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": {"app": name}},
                         "spec": {"containers": [_container(spec, service, made, config)],
                                  "volumes": _volumes(made, name)}}}}


def _container(spec: LaunchSpec, service: Service, made: Command, config: str) -> dict[str, Any]:
    engine, vendor = service.deployment.engine, service.cluster.chip.vendor
    argv = [word.replace("$MODEL", spec.model).replace("$DRAFT", DRAFT_HERE)
            for word in made.argv]
    argv = [f"{_CONFIG_FOLDER}/{config}" if config and word == config else word for word in argv]
    mounts = [{"name": "shm", "mountPath": "/dev/shm"},
              {"name": "cache", "mountPath": "/root/.cache"}]
    if made.config:
        mounts.append({"name": "config", "mountPath": _CONFIG_FOLDER})
    return {
        "name": engine, "image": engine_facts()[engine]["images"][vendor],
        "command": argv,
        "ports": [{"containerPort": PORT, "name": "http"}],
        "env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {
            "name": "hf-token", "key": "token", "optional": True}}}],
        "resources": {"limits": {_RESOURCES[vendor]: service.chips}},
        "startupProbe": _probe(10, _STARTUP_TRIES), "readinessProbe": _probe(10, 3),
        "livenessProbe": _probe(30, 6), "volumeMounts": mounts}


def _probe(period: int, tries: int) -> dict[str, Any]:
    return {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": period,
            "timeoutSeconds": 5, "failureThreshold": tries}


def _volumes(made: Command, name: str) -> list[Mapping[str, Any]]:
    volumes: list[Mapping[str, Any]] = [
        # Ranks on one machine pass messages through shared memory; the usual 64 MB are too few.
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}},
        {"name": "cache", "emptyDir": {}}]
    if made.config:
        volumes.append({"name": "config", "configMap": {"name": name}})
    return volumes
