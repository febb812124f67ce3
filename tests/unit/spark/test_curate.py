"""Curated purchases as Arrow tables, read without Spark."""

import io

import numpy as np
import pyarrow.parquet as pq

from recsys.evaluation.purchase_log import COLUMNS, sampled_log
from spark.curate import curated_tables
from tests.support.bucket import Bucket
from tests.support.purchase_log import curated_lines


def test_purchases_are_read_from_every_month() -> None:
    bucket = Bucket()
    for month, users in (("2020-04", ["ann", "bob"]), ("2020-05", ["cid", None])):
        out = io.BytesIO()
        pq.write_table(curated_lines(users), out)
        bucket.objects[f"curated/purchases/v/month={month}/part-0.parquet"] = out.getvalue()
        bucket.objects["curated/purchases/v/_SUCCESS"] = b""
    log = sampled_log(curated_tables(bucket, "curated/purchases/v/", COLUMNS), 1.0)
    assert list(log.users) == ["ann", "bob", "cid"]
    assert np.array_equal(log.at_ms, [0, 0, 1, 1])
