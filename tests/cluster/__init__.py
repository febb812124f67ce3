"""Tests in a running cluster: `make cluster-test`. `make test` does not collect them."""
