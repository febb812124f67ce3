"""Data Firehose and its function."""

from services.common.archive.keys import PREFIX, hour_end_ms, partition_and_first_offset
from tests.aws.templates import Installation, Properties


def destination(installation: Installation) -> Properties:
    found: Properties = installation.only("AWS::KinesisFirehose::DeliveryStream")["ExtendedS3DestinationConfiguration"]
    return found


def test_it_reads_the_topic_from_its_beginning_over_private_link(installation: Installation) -> None:
    stream = installation.only("AWS::KinesisFirehose::DeliveryStream")
    assert stream["DeliveryStreamType"] == "MSKAsSource"
    source = stream["MSKSourceConfiguration"]
    assert source["TopicName"] == "purchases"
    assert source["AuthenticationConfiguration"]["Connectivity"] == "PRIVATE"
    assert source["ReadFromTimestamp"] == "1970-01-01T00:00:00Z"


def test_objects_are_small_and_gzip_by_name(installation: Installation) -> None:
    found = destination(installation)
    assert found["BufferingHints"] == {"IntervalInSeconds": 60, "SizeInMBs": 5}
    assert (found["CompressionFormat"], found["FileExtension"]) == ("GZIP", ".json.gz")


def test_prefixes_name_the_hour_as_the_archivers_do(installation: Installation) -> None:
    prefix = destination(installation)["Prefix"]
    assert prefix.startswith(PREFIX)
    folder = prefix.replace("!{timestamp:yyyy/MM/dd/HH}", "2023/11/14/22")
    key = f"{folder}tillstream-purchases-1-2023-11-14-22-13-20-4a1f.json.gz"
    assert hour_end_ms(key) == 1_700_002_800_000
    assert partition_and_first_offset(key) is None  # the archiver's chain does not mistake it for its own


def test_errors_are_outside_of_the_archive_and_named_by_their_kind(installation: Installation) -> None:
    """Firehose demands both where the prefix has an expression; cfn-lint does not notice."""
    prefix = destination(installation)["ErrorOutputPrefix"]
    assert not prefix.startswith(PREFIX)
    assert "!{firehose:error-output-type}" in prefix


def test_the_function_is_the_only_processor(installation: Installation) -> None:
    """AppendDelimiterToRecord would add a second newline."""
    (processor,) = destination(installation)["ProcessingConfiguration"]["Processors"]
    assert processor["Type"] == "Lambda"
    parameters = {each["ParameterName"]: each["ParameterValue"] for each in processor["Parameters"]}
    assert parameters["BufferSizeInMBs"] == "1"


def test_the_function_is_the_packaged_one(installation: Installation) -> None:
    function = installation.only("AWS::Lambda::Function")
    assert function["Handler"] == "infra.delivery.transform.handler"
    assert function["Architectures"] == ["arm64"]
    assert function["Runtime"] == "python3.14"
