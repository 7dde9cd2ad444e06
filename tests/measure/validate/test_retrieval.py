"""Files of searches that others measured: few columns, other spellings, impossible rows."""

import math

from ridgeline.measure.validate.run import validate_files
from ridgeline.retrieval.cpu_time import search_time, shipped_constants
from ridgeline.retrieval.index_plan import index_plan


def test_a_file_of_one_s_own(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("index,n,dim,nlist,nprobe,ef,hnsw_m,query_us,threads,batch\n"
                    "IVF-Flat,100000,128,512,8,,,50,,\nhnswlib,100000,128,,,64,16,120,,\n"
                    "Flat,10000,64,,,,,60,4,100\nflat,10000,64,,,,,60,4,1\nivf,100,64,500,1,,,9,,\n"
                    "tree,100,64,,,,,9,,\n")
    report = validate_files([path])[0]
    assert report.schema == "retrieval" and (report.rows, report.predicted) == (6, 3)
    reasons = " ".join(u.reason for u in report.unanswered)
    assert "side by side" in reasons and "nlist 500" in reasons and "unknown index" in reasons
    _, predicted, rows = report.points["query"]
    plan = index_plan("flat", 10_000, 64, batch=100)
    alone = search_time(plan, shipped_constants()).seconds
    assert rows.tolist() == [1, 2, 3] and math.isclose(predicted[2], alone / 4)


def test_encoders_of_one_s_own(tmp_path):
    path = tmp_path / "enc.csv"
    path.write_text("model,layers,width,heads,d_ff,texts,tokens,encoded_tokens_per_s\n"
                    "a,6,384,12,1536,1,128,2500\nb,0,384,12,1536,1,128,2500\n")
    report = validate_files([path])[0]
    assert report.schema == "encoder" and report.predicted == 1
