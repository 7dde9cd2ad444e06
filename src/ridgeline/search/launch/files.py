"""The launch files of a plan, by name."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterator, Sequence

from ridgeline.deployment.rules import broken_rules
from ridgeline.search.launch.bench import bench_argv, url
from ridgeline.search.launch.engines import ENGINES, Command, command, engine_facts
from ridgeline.search.launch.kubernetes import manifest, unready
from ridgeline.search.launch.spec import PORT, LaunchSpec, Service
from ridgeline.search.launch.yaml_text import yaml_text

__all__ = ["launch_files"]

Started = tuple[Service, Command, str]


def launch_files(spec: LaunchSpec) -> dict[str, str]:
    """Every file that starts the plan, by name.

    Start scripts for each engine that can run the layout (the prediction is for the plan's own),
    a Kubernetes manifest, a benchmark that would check the prediction, what it predicts, and a
    page that says how they go together and what was left out.
    """
    files: dict[str, str] = {}
    left_out, notes = [], []
    for engine in ENGINES:
        made = _started(engine, spec)
        if isinstance(made, str):
            left_out.append(f"{engine_facts()[engine]['title']}: {made}")
            continue
        files |= _scripts(engine, spec, made)
        if engine == spec.engine:
            notes += [note for _, one, _ in made for note in one.notes]
            reasons = [why for service, _, _ in made if (why := unready(service))]
            if reasons:
                left_out.append(f"Kubernetes: {reasons[0]}")
            else:
                files["kubernetes.yaml"] = manifest(spec, made)
    files["bench.sh"] = _bench(spec)
    files["predicted.json"] = json.dumps(spec.predicted, indent=2) + "\n"
    files["README.md"] = _page(spec, files, left_out, list(dict.fromkeys(notes)))
    return files


def _started(engine: str, spec: LaunchSpec) -> list[Started] | str:
    """Commands of every kind of server; or why the engine cannot run them."""
    made: list[Started] = []
    for service in spec.services:
        plan = dataclasses.replace(service.deployment, engine=engine)
        if engine != spec.engine:
            broken = broken_rules(spec.architecture, dataclasses.replace(plan, dp=1),
                                  service.cluster)
            if broken:
                return "; ".join(broken)
        config = "trtllm.yaml" if service.role == "serve" else f"trtllm-{service.role}.yaml"
        found = command(engine, dataclasses.replace(service, deployment=plan),
                        spec.architecture.weight_format, config)
        if found.impossible:
            return found.impossible
        made.append((service, found, config if found.config else ""))
    return made


def _scripts(engine: str, spec: LaunchSpec, made: Sequence[Started]) -> dict[str, str]:
    """Start scripts of one engine, and the files they read."""
    files = {}
    for service, found, config in made:
        role = "" if service.role == "serve" else f"-{service.role}"
        files[f"serve-{engine}{role}.sh"] = _script(engine, spec, service, found)
        if config:
            files[config] = yaml_text(found.config)
    if spec.pooled and engine in _ROUTERS:
        files |= _router(engine, spec)
    return files


def _script(engine: str, spec: LaunchSpec, service: Service, found: Command) -> str:
    facts = engine_facts()[engine]
    many = (f"One of {service.workers} servers" if service.workers > 1 else "The server")
    lines = [f"# {many} ({service.role}) of {spec.model} on {service.chips} x "
             f"{service.cluster.chip.name}, {facts['title']} {facts['version']}."]
    if engine != spec.engine:
        lines.append(f"# The same layout; the prediction is for {spec.engine}.")
    if service.workers > 1 and service.nodes == 1:
        lines.append("# Several on one machine: give each its own chips and PORT.")
    lines += [f"# {note}." for note in found.notes]
    needs = "a GGUF file" if engine == "llamacpp" else ""
    argv = [f"${{PORT:-{PORT}}}" if before == "--port" else word
            for before, word in zip(("", *found.argv), found.argv, strict=False)]
    settings = [_model(spec, needs)]
    if any("$DRAFT" in word for word in argv):
        settings.append('DRAFT="${DRAFT:?set DRAFT to what drafts for this model}"')
    return _shell(lines, settings, argv, here=bool(found.config))


def _model(spec: LaunchSpec, needs: str = "") -> str:
    if needs:
        return f'MODEL="${{MODEL:?set MODEL to {needs}}}"'
    return f'MODEL="${{MODEL:-{spec.model}}}"'


def _shell(comments: Sequence[str], settings: Sequence[str], argv: Sequence[str], *,
           here: bool = False) -> str:
    """A script: comments, settings, and one command, an option a line."""
    lines = ["#!/usr/bin/env bash", *comments, "set -euo pipefail"]
    if here:
        lines.append('cd "$(dirname "$0")"')
    lines += settings
    return "\n".join([*lines, "exec " + " \\\n  ".join(_lines(argv))]) + "\n"


def _lines(argv: Sequence[str]) -> Iterator[str]:
    """The command with each option beside its value."""
    line: list[str] = []
    for word in argv:
        if word.startswith("--") and line:
            yield " ".join(line)
            line = []
        # Settings of the script are expanded, everything else is taken as it is.
        line.append('"' + word.replace('"', '\\"') + '"' if "$" in word else shlex.quote(word))
    yield " ".join(line)


def _bench(spec: LaunchSpec) -> str:
    servers = spec.services[-1].workers
    comments = ["# Checks the prediction (predicted.json): the same lengths, the same load."]
    if servers > 1 or spec.pooled:
        comments.append("# URL is that of what spreads requests over the servers: a load balancer, "
                        "a Service or a router.")
    if spec.varied:
        comments.append("# The plan's lengths follow a law; this asks for their means alone, so "
                        "tails will differ.")
    return _shell(comments, [_model(spec), f'URL="${{URL:-{url()}}}"'], bench_argv(spec))


# Engines whose own router hands requests from prefill to decode servers.
_ROUTERS = ("sglang", "trtllm")


def _router(engine: str, spec: LaunchSpec) -> dict[str, str]:
    """The router of two pools; it needs each server's own address."""
    comment = ["# Hands requests from prefill to decode servers. Write in each server's address."]
    if engine == "sglang":
        argv = ["python3", "-m", "sglang_router.launch_router", "--pd-disaggregation", "--host",
                "0.0.0.0", "--port", str(PORT)]
        for service in spec.services:
            for n in range(service.workers):
                argv += [f"--{service.role}", f"http://{service.role}-{n}:{PORT}"]
        return {"router-sglang.sh": _shell(comment, [], argv)}
    first, second = (
        {"num_instances": s.workers,
         "urls": [f"{s.role}-{n}:{PORT}" for n in range(s.workers)]} for s in spec.services)
    config = {"hostname": "0.0.0.0", "port": PORT, "backend": "pytorch",
              "context_servers": first, "generation_servers": second}
    return {"router-trtllm.yaml": yaml_text(config), "router-trtllm.sh": _shell(
        comment, [], ["trtllm-serve", "disaggregated", "-c", "router-trtllm.yaml"], here=True)}


def _page(spec: LaunchSpec, files: dict[str, str], left_out: Sequence[str], notes: Sequence[str]
          ) -> str:
    facts = engine_facts()
    kinds = [f"- {s.workers} x `serve-{spec.engine}{'' if s.role == 'serve' else '-' + s.role}.sh`"
             f" on {s.chips} x {s.cluster.chip.name}" for s in spec.services]
    lines = [f"# {spec.model}", "",
             f"Planned for {facts[spec.engine]['title']} {facts[spec.engine]['version']}:", "",
             *kinds, "", "`bench.sh` runs the load of the plan; `predicted.json` has what it "
             "should find, in seconds and tokens per second. To compare:", "",
             "```", "./bench.sh", "ridgeline measure read result.json --to rows.csv", "```", ""]
    if notes:
        lines += ["See to:", "", *(f"- {note}." for note in notes), ""]
    if left_out:
        lines += ["Left out:", "", *(f"- {reason}." for reason in left_out), ""]
    lines += ["Options are those of these versions:", "",
              *(f"- {facts[name]['title']}: {facts[name]['version']}" for name in (
                  *(e for e in ENGINES if any(f.startswith(f"serve-{e}") for f in files)),
                  "vllm-bench"))]
    return "\n".join(lines) + "\n"
