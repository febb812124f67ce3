"""The archiver: every record of `purchases` to S3, once, as Firehose does on AWS."""
