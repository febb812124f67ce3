"""The buckets."""

from typing import Any

from tests.aws.templates import Installation


def test_buckets_are_encrypted_private_and_stay(installation: Installation) -> None:
    buckets = list(installation.resources("AWS::S3::Bucket"))
    assert len(buckets) == 2
    for bucket in buckets:
        properties = bucket["Properties"]
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert properties["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"


def test_both_buckets_refuse_plain_http_and_old_tls(installation: Installation) -> None:
    for policy in installation.all("AWS::S3::BucketPolicy"):
        denied = [each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Deny"]
        conditions = [each["Condition"] for each in denied]
        assert {"Bool": {"aws:SecureTransport": "false"}} in conditions
        assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in conditions
        assert {each["Action"] for each in denied} == {"s3:*"}
        assert {each["Principal"]["AWS"] for each in denied} == {"*"}


def test_earlier_pointers_are_kept_for_a_month_and_the_archive_for_ever(installation: Installation) -> None:
    (shop,) = [each for each in installation.all("AWS::S3::Bucket") if "VersioningConfiguration" in each]
    assert shop["BucketName"] == "tillstream-111122223333-eu-central-1"
    assert shop["VersioningConfiguration"] == {"Status": "Enabled"}
    rules: list[dict[str, Any]] = shop["LifecycleConfiguration"]["Rules"]
    assert [each["NoncurrentVersionExpiration"] for each in rules if "NoncurrentVersionExpiration" in each] == [
        {"NoncurrentDays": 30}
    ]
    assert any("AbortIncompleteMultipartUpload" in each for each in rules)
    expiring = {each.get("Prefix") for each in rules if "ExpirationInDays" in each}
    assert expiring == {"checkpoints/"}
