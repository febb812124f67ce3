"""The recommender: factors in memory, top-k over gRPC."""

import os

# One core a request: OpenBLAS threads that spin for a 0.1 ms product cost every other process on the machine
# more than they save here. NumPy reads this once, when it is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
