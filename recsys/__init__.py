"""The ranking library: top-k, fold-in, live state, model format, evaluation. NumPy and Arrow; no client, no Spark.

Used by the recommender, the batch job and the benchmarks.
"""

import os

# One core a request: OpenBLAS threads that spin for a 0.1 ms product cost every other process on the machine
# more than they save here. NumPy reads this once, when it is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
