"""Tillstream's resources on AWS, as a CDK app. See docs/aws.md."""
