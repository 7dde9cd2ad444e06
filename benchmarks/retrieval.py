"""Retrieval and thinking questions a second, and errors of predicted searches on this machine."""

import time

from ridgeline.measure.validate.run import validate_files
from ridgeline.questions.retrieve import RetrieveAsk, retrieve
from ridgeline.questions.think import ThinkAsk, think
from ridgeline.truth_data import shipped_file


def main() -> None:
    for name, ask in (("retrieve, search alone", RetrieveAsk(docs=1e7, dim=768, index="ivf")),
                      ("retrieve, whole request", RetrieveAsk(
                          docs=1e6, index="hnsw", top_k=50, embedder="bge-large",
                          reranker="bge-reranker-v2-m3", model="Llama-3.1-8B",
                          machine="H100-SXM"))):
        retrieve(ask)
        begin = time.perf_counter()
        retrieve(ask)
        print(f"{name}: {(time.perf_counter() - begin) * 1e3:.1f} ms")
    small = ThinkAsk("Llama-3.1-8B", "H100-SXM", success_rate=0.2)
    think(small)
    begin = time.perf_counter()
    think(small)
    print(f"think: {(time.perf_counter() - begin) * 1e3:.1f} ms")
    for report in validate_files([shipped_file("retrieval.csv.xz"),
                                  shipped_file("encoder.csv.xz")]):
        for group in report.groups:
            print(f"{report.schema} {group.group} {group.metric}: {group.n} rows, median error "
                  f"{group.median_ape_pct:.1f} %, p90 {group.p90_ape_pct:.1f} %")


if __name__ == "__main__":
    main()
