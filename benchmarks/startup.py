"""How fast the command line starts: whole processes, as ratios to `python -c pass`.

Run: python benchmarks/startup.py [runs]. Budgets of the design: --help 0.15 s, estimate 0.5 s.
Machines differ and are noisy, so each command is paired with a bare interpreter in turn, and the
median ratio is what to compare between versions.
"""

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "--help": ["--help"],
    "catalog chips H100-SXM": ["catalog", "chips", "H100-SXM"],
    "fit": ["fit", "Llama-3.1-70B", "--on", "8xH100-SXM", "--json"],
    "estimate": ["estimate", "Llama-3.1-70B", "--on", "8xH100-SXM", "--prompt", "4000",
                 "--output", "1000", "--concurrency", "32", "--json"],
    "estimate --ideal": ["estimate", "Llama-3.1-70B", "--on", "8xH100-SXM", "--ideal", "--json"],
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    runs = int(sys.argv[1]) if sys.argv[1:2] and sys.argv[1].isdecimal() else 7
    print(f"{'command':26s} {'median s':>9s} {'python -c pass':>15s} {'ratio':>7s}")
    for name, arguments in COMMANDS.items():
        command = [sys.executable, "-m", "ridgeline", *arguments]
        seconds(command)
        pairs = [(seconds(command), seconds([sys.executable, "-c", "pass"]))
                 for _ in range(runs)]
        print(f"{name:26s} {statistics.median(p[0] for p in pairs):9.3f} "
              f"{statistics.median(p[1] for p in pairs):15.3f} "
              f"{statistics.median(p[0] / p[1] for p in pairs):7.1f}")


if __name__ == "__main__":
    main()
