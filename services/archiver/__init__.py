"""The archiver: writes every record of `purchases` to S3 exactly once."""
