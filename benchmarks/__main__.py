"""Run every benchmark: `python -m benchmarks`, or some of them by name."""

import importlib
import pkgutil
import sys

import benchmarks


def main() -> None:
    names = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__)
                   if not m.name.startswith("_"))
    asked = sys.argv[1:]
    unknown = [name for name in asked if name not in names]
    if unknown:
        sys.exit(f"usage: python -m benchmarks [{' | '.join(names)}]...")
    for name in asked or names:
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
