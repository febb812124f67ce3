"""Data Firehose: from the purchases topic through the function to the archive in S3."""

from pathlib import Path

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_lambda as functions
from aws_cdk import aws_logs as logs

from infra.policies import service_role
from infra.rights import Resources, Right, of_firehose
from infra.settings import InfraSettings
from infra.streaming import Streaming
from services.common.archive.keys import PREFIX
from services.common.topics import PURCHASES

# An object holds what arrived in 60 s, or 5 MB, as the archiver's do.
_BUFFER_MB, _BUFFER_S = 5, 60
# The request, the answer and what is around the records must fit into Lambda's 6 MB.
_BATCH_MB, _BATCH_S = 1, 60
_TIMEOUT_S = 60
_Stream = firehose.CfnDeliveryStream


def name_of_stream(settings: InfraSettings) -> str:
    """The delivery stream's name; its objects begin with it."""
    return f"{settings.name}-{PURCHASES.name}"


def build(stack: Stack, settings: InfraSettings, streaming: Streaming, package: Path) -> None:
    """The stream and its function. `package`: the folder with the function's code (infra/packages.py)."""
    function = _function(stack, settings, package)
    errors = logs.LogGroup(
        stack, "Errors", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
    )
    log_stream = logs.LogStream(
        stack, "S3Delivery", log_group=errors, log_stream_name="S3Delivery", removal_policy=RemovalPolicy.DESTROY
    )
    rights = of_firehose(
        Resources(streaming.kafka, settings.bucket),
        function.function_arn,
        f"{settings.arn('logs')}:log-group:{errors.log_group_name}:log-stream:{log_stream.log_stream_name}",
    )
    role = service_role(stack, "FirehoseRole", "firehose.amazonaws.com", rights, settings.account)
    source = _Stream.MSKSourceConfigurationProperty(
        msk_cluster_arn=streaming.cluster_arn,
        topic_name=PURCHASES.name,
        read_from_timestamp="1970-01-01T00:00:00Z",  # the earliest record; by default, those after the stream is active
        authentication_configuration=_Stream.AuthenticationConfigurationProperty(
            role_arn=role.role_arn, connectivity="PRIVATE"
        ),
    )
    _Stream(
        stack,
        "Stream",
        delivery_stream_name=name_of_stream(settings),
        delivery_stream_type="MSKAsSource",
        msk_source_configuration=source,
        extended_s3_destination_configuration=_destination(settings, role, function, errors, log_stream),
    )


def _destination(
    settings: InfraSettings,
    role: iam.Role,
    function: functions.Function,
    errors: logs.LogGroup,
    log_stream: logs.LogStream,
) -> object:
    return _Stream.ExtendedS3DestinationConfigurationProperty(
        bucket_arn=f"arn:aws:s3:::{settings.bucket}",
        role_arn=role.role_arn,
        prefix=PREFIX + "!{timestamp:yyyy/MM/dd/HH}/",
        error_output_prefix="raw-errors/purchases/!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd/HH}/",
        file_extension=".json.gz",  # Spark decompresses by the name
        compression_format="GZIP",
        buffering_hints=_Stream.BufferingHintsProperty(size_in_m_bs=_BUFFER_MB, interval_in_seconds=_BUFFER_S),
        processing_configuration=_processing(role, function),
        cloud_watch_logging_options=_Stream.CloudWatchLoggingOptionsProperty(
            enabled=True, log_group_name=errors.log_group_name, log_stream_name=log_stream.log_stream_name
        ),
    )


def _processing(role: iam.Role, function: functions.Function) -> object:
    parameters = {
        "LambdaArn": f"{function.function_arn}:$LATEST",
        "RoleArn": role.role_arn,
        "NumberOfRetries": "3",
        "BufferSizeInMBs": str(_BATCH_MB),
        "BufferIntervalInSeconds": str(_BATCH_S),
    }
    return _Stream.ProcessingConfigurationProperty(
        enabled=True,
        processors=[
            _Stream.ProcessorProperty(
                type="Lambda",
                parameters=[
                    _Stream.ProcessorParameterProperty(parameter_name=name, parameter_value=value)
                    for name, value in parameters.items()
                ],
            )
        ],
    )


def _function(stack: Stack, settings: InfraSettings, package: Path) -> functions.Function:
    log_group = logs.LogGroup(
        stack, "FunctionLog", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
    )
    streams = f"{settings.arn('logs')}:log-group:{log_group.log_group_name}:log-stream:*"
    writes_log = Right(("logs:CreateLogStream", "logs:PutLogEvents"), (streams,))
    role = service_role(stack, "FunctionRole", "lambda.amazonaws.com", [writes_log])
    return functions.Function(
        stack,
        "Function",
        description="Adds partition, offset and broker time to the records of the archive",
        code=functions.Code.from_asset(str(package)),
        handler="infra.delivery.transform.handler",
        runtime=functions.Runtime.PYTHON_3_14,
        architecture=functions.Architecture.ARM_64,
        memory_size=512,
        timeout=Duration.seconds(_TIMEOUT_S),
        role=role,
        log_group=log_group,
    )
