"""One way to name a model: a bundled name, a file, a folder, or a hub repository."""

from __future__ import annotations

import functools
import importlib.resources
import os
import re
from collections.abc import Mapping
from pathlib import Path

from ridgeline.errors import BadInput, MissingExtra, UnknownName
from ridgeline.model.architecture import Architecture

__all__ = ["bundled_models", "find_bundled", "load_architecture"]

# Endings of a repository name that do not change the architecture.
_VARIANTS = ("instruct", "chat", "it", "hf", "base", "pt", "fp8", "bf16", "awq", "gptq",
             "nvfp4", "fp4", "thinking")


def load_architecture(ref: str, *, fetch: bool = False) -> Architecture:
    """The architecture behind a reference.

    Args:
        ref: a bundled name in any spelling ("Llama-3.1-70B", "meta-llama/Llama-3.1-70B",
            "llama 3.1 70b instruct"), the path of a config.json, a folder with one, a .gguf or a
            .safetensors file, or with `fetch` a repository of the Hugging Face hub.
        fetch: look at the hub for what is not local.

    Returns:
        the model, as layers.

    Raises:
        UnknownName: no such model, with the nearest names.
        BadInput: a file that cannot be read as a model, or a hub that cannot be reached.
        MissingExtra: `fetch` without the package for it.

    >>> load_architecture("llama 3.1 70b instruct").total_params
    70553706496
    """
    if not isinstance(ref, str) or not ref.strip() or "\0" in ref:
        raise BadInput(f"cannot read {ref!r} as a model; give a name or a path")
    place = _local(ref)
    if place is not None:
        return _read(place, ref)
    found = find_bundled(ref)
    if found is not None:
        return _bundled(found)
    if fetch:
        return _fetched(ref)
    names = [name.split("/", 1)[-1] for name in bundled_models()]
    raise UnknownName.among("model", ref, names, "List them with `ridgeline catalog models`, or "
                            "give the path of a config.json.")


def bundled_models() -> Mapping[str, Path]:
    """Repository name -> config file of every model of the catalog and the user's folders."""
    return _listing(os.environ.get("RIDGELINE_CATALOG", ""))


@functools.lru_cache(maxsize=4)
def _listing(extra: str) -> Mapping[str, Path]:
    """Names without reading a file: "org__name.json" is "org/name"; the user's come first."""
    folders = [Path(part) for part in extra.split(os.pathsep) if part]
    folders = [f for base in folders if base.is_dir() for f in (base, base / "models")]
    bundled = Path(str(importlib.resources.files("ridgeline.catalog") / "data" / "models"))
    found: dict[str, Path] = {}
    for folder in (*folders, bundled):
        for file in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            found.setdefault(file.stem.replace("__", "/"), file)
    return found


def _key(name: str) -> str:
    """Letters and digits only: spelling differences vanish."""
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("__", "/").rsplit("/", 1)[-1]
                  .removesuffix(".json"))


@functools.lru_cache(maxsize=4)
def _index(extra: str) -> dict[str, list[Path]]:
    """Spelling key -> files, with and without the endings of variants."""
    index: dict[str, list[Path]] = {}
    for name, file in _listing(extra).items():
        for key in dict.fromkeys((_key(name), _stem(name))):
            index.setdefault(key, []).append(file)
    return index


def _stem(name: str) -> str:
    """The key without variant endings ("-Instruct", "-hf", "-2507")."""
    words = re.split(r"[-_ ]+", name.lower().replace("__", "/").rsplit("/", 1)[-1])
    while len(words) > 1 and (words[-1] in _VARIANTS
                              or re.fullmatch(r"\d{4}|v\d[.\d]*", words[-1])):
        words.pop()
    return re.sub(r"[^a-z0-9]", "", "".join(words)).removeprefix("meta")


def find_bundled(ref: str) -> Path | None:
    """The one bundled config that a name means.

    Raises:
        BadInput: it may mean several.
    """
    extra = os.environ.get("RIDGELINE_CATALOG", "")
    exact = _listing(extra).get(ref.strip().replace("__", "/").removesuffix(".json"))
    if exact is not None:
        return exact
    index = _index(extra)
    for key in (_key(ref), _stem(ref)):
        files = index.get(key, [])
        exact_files = [f for f in files if _key(f.stem) == key]
        if len(exact_files or files) == 1:
            return (exact_files or files)[0]
        if files:
            names = ", ".join(f.stem.replace("__", "/") for f in files[:4])
            raise BadInput(f"model {ref!r} may be {names}; write one of them whole")
    return None


@functools.lru_cache(maxsize=64)
def _bundled(file: Path) -> Architecture:
    from ridgeline.model.huggingface import architecture_from_config, read_config

    return architecture_from_config(read_config(file), file.stem.replace("__", "/"))


def _local(ref: str) -> Path | None:
    """A path that exists, or that can only be meant as one."""
    place = Path(ref).expanduser()
    try:
        if place.exists():
            return place
    except OSError as error:
        raise BadInput(f"cannot read {ref!r}: {error.strerror}") from None
    looks_like_path = ref.startswith((".", "/", "~")) or place.suffix in (
        ".json", ".gguf", ".safetensors")
    if looks_like_path and find_bundled(ref) is None:
        raise BadInput(f"no such file or folder: {ref}")
    return None


def _read(place: Path, ref: str) -> Architecture:
    """A model from a file or folder on this machine."""
    from ridgeline.model.huggingface import architecture_from_config, read_config

    if place.is_dir():
        config = place / "config.json"
        if config.is_file():
            return architecture_from_config(read_config(config), place.resolve().name)
        files = sorted(place.glob("*.gguf"))
        if not files:
            raise BadInput(f"{ref} holds neither a config.json nor a .gguf file")
        place = files[0]
    if place.suffix == ".gguf":
        from ridgeline.model.gguf import architecture_from_gguf

        return architecture_from_gguf(place)
    if place.name.endswith((".safetensors", ".safetensors.index.json")):
        config = place.parent / "config.json"
        if not config.is_file():
            raise BadInput(f"{place.name} has tensors but no layout; put its config.json beside it")
        return architecture_from_config(read_config(config), place.resolve().parent.name)
    name = place.stem if place.stem != "config" else place.resolve().parent.name
    return architecture_from_config(read_config(place), name.replace("__", "/"))


def _fetched(ref: str) -> Architecture:
    """A config from the Hugging Face hub."""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise MissingExtra.needed("reading a model from the hub", "hub") from None
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call,unused-ignore]  # its retries would be lines of their own
    try:
        file = hf_hub_download(ref, "config.json")
    except Exception as error:  # the package raises many kinds; all mean the same to the user
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        reason = ("no connection, and it is not in the local cache"
                  if "local cache" in said or "connection" in said.lower() else said[:120])
        raise BadInput(f"cannot fetch {ref!r} from the hub: {reason}") from None
    from ridgeline.model.huggingface import architecture_from_config, read_config

    return architecture_from_config(read_config(file), ref)
