"""What each role may do, as pairs of actions and resources. Pure: no CDK."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.common.topics import ALL, DEAD_LETTERS, PRODUCTS, PURCHASES, RECOMMENDATIONS

# The consumer groups that the services have by default.
AGGREGATOR_GROUP = "tillstream-aggregator"
ARCHIVER_GROUP = "tillstream-archiver"

# The services' user in Valkey: reads, writes, scripts and transactions; of what is dangerous, INFO alone. CLUSTER names
# the members to a client.
VALKEY_ACCESS = (
    "on ~* resetchannels -@all +@read +@write +@scripting +@connection +@transaction -@dangerous -@blocking "
    "+info +cluster|slots +cluster|shards +cluster|nodes +command"
)


@dataclass(frozen=True, slots=True)
class Right:
    """Every action on every resource (ARNs)."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KafkaArns:
    """ARNs of an MSK cluster: `prefix` is that of the service in the account, `path` is `<name>/<uuid>`."""

    prefix: str
    path: str

    @property
    def cluster(self) -> str:
        """The cluster."""
        return f"{self.prefix}:cluster/{self.path}"

    def topics(self, *names: str) -> tuple[str, ...]:
        """Topics of the cluster."""
        return tuple(f"{self.prefix}:topic/{self.path}/{name}" for name in names)

    def group(self, name: str) -> str:
        """A consumer group of the cluster."""
        return f"{self.prefix}:group/{self.path}/{name}"


@dataclass(frozen=True, slots=True)
class Resources:
    """What the rights are about: the cluster and the name of the bucket."""

    kafka: KafkaArns
    bucket: str

    def connect(self) -> Right:
        """Open connections to the brokers."""
        return Right(_kafka("Connect"), (self.kafka.cluster,))

    def read(self, *topics: str) -> Right:
        """Read topics, and ask where they begin and end."""
        return Right(_kafka("DescribeTopic", "ReadData"), self.kafka.topics(*topics))

    def write(self, *topics: str) -> Right:
        """Write to topics, and ask where they begin and end."""
        return Right(_kafka("DescribeTopic", "WriteData"), self.kafka.topics(*topics))

    def write_once(self) -> Right:
        """Be an idempotent producer: a retried batch is written once."""
        return Right(_kafka("WriteDataIdempotently"), (self.kafka.cluster,))

    def join(self, group: str) -> Right:
        """Be a member of a consumer group and commit its offsets."""
        return Right(_kafka("AlterGroup", "DescribeGroup"), (self.kafka.group(group),))

    def list_bucket(self) -> Right:
        """List the bucket and see that it exists. S3 answers 404 for a missing key only to who has this right."""
        return Right(("s3:ListBucket",), (f"arn:aws:s3:::{self.bucket}",))

    def objects(self, actions: tuple[str, ...], *prefixes: str) -> Right:
        """Actions on objects below prefixes."""
        return Right(actions, tuple(f"arn:aws:s3:::{self.bucket}/{prefix}" for prefix in prefixes))


GET = ("s3:GetObject",)
PUT = ("s3:PutObject",)
NOTE = ("s3:GetObject", "s3:PutObject")
"""To add to the audit log: an answer that was lost is read back. Nothing may delete there."""
ERASED = "privacy/erased.json"
REPLACE = ("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject")


def of_services(on: Resources) -> Mapping[str, tuple[Right, ...]]:
    """The rights of each Kubernetes service account; what it does is in docs/architecture.md, Connections."""
    purchases, dead_letters, recommendations = PURCHASES.name, DEAD_LETTERS.name, RECOMMENDATIONS.name
    return {
        "aggregator": (
            on.connect(),
            on.write_once(),
            on.read(purchases, dead_letters),
            on.write(dead_letters),
            on.join(AGGREGATOR_GROUP),
            on.list_bucket(),
            on.objects(GET, ERASED, "raw/purchases/*"),
            on.objects(("s3:DeleteObject", "s3:PutObject"), "reports/live/*"),
        ),
        "batch": of_job(on),
        "gateway": (
            on.connect(),
            on.write_once(),
            on.read(PRODUCTS.name),
            on.write(purchases, PRODUCTS.name),
            on.list_bucket(),
            on.objects(GET, "models/als/*", "reports/gate/*", "reports/reconciliation/*"),
            on.objects(PUT, "models/als/current.json"),
            on.objects(("s3:GetObject", "s3:PutObject"), ERASED),
            on.objects(NOTE, "audit/*"),
        ),
        "privacy": (
            on.list_bucket(),
            on.objects(GET, ERASED),
            on.objects(("s3:GetObject", "s3:PutObject"), "curated/*", "raw/purchases/*", "reports/*"),
            on.objects(("s3:DeleteObject", "s3:GetObject", "s3:PutObject"), "models/als/*"),
            on.objects(NOTE, "audit/*"),
        ),
        "producer": (
            on.connect(),
            on.write_once(),
            Right(_kafka("DescribeCluster"), (on.kafka.cluster,)),
            on.write(purchases, dead_letters, PRODUCTS.name),
        ),
        "provision": (
            on.connect(),
            Right(
                _kafka(
                    "AlterTopic",
                    "AlterTopicDynamicConfiguration",
                    "CreateTopic",
                    "DescribeTopic",
                    "DescribeTopicDynamicConfiguration",
                ),
                on.kafka.topics(*(topic.name for topic in ALL)),
            ),
        ),
        "recommender": (
            on.connect(),
            on.read(purchases, PRODUCTS.name),
            on.write(recommendations),
            on.list_bucket(),
            on.objects(GET, ERASED, "models/als/*"),
        ),
        "tools": (
            on.connect(),
            on.write_once(),
            on.read(purchases, dead_letters),
            on.write(purchases),
            on.list_bucket(),
            on.objects(GET, "models/als/*"),
            on.objects(("s3:DeleteObject", "s3:PutObject"), "models/als/current.json"),
            on.objects(NOTE, "audit/*"),
        ),
    }


def of_archiver(on: Resources) -> tuple[Right, ...]:
    """The archiver, where Firehose does not fill the archive."""
    return (
        on.connect(),
        on.read(PURCHASES.name),
        on.join(ARCHIVER_GROUP),
        on.list_bucket(),
        on.objects(("s3:GetObject", "s3:PutObject"), "raw/purchases/*"),
    )


def of_job(on: Resources) -> tuple[Right, ...]:
    """The batch job, in a pod or on EMR Serverless. It cannot change the archive."""
    return (
        on.list_bucket(),
        on.objects(GET, ERASED, "raw/purchases/*"),
        on.objects(REPLACE, "checkpoints/*", "curated/*", "models/als/*", "reports/*"),
    )


def of_firehose(on: Resources, function: str, log_stream: str) -> tuple[Right, ...]:
    """Data Firehose: it reads the topic, calls the function, writes objects and logs errors."""
    topic = on.kafka.topics(PURCHASES.name)
    bucket = f"arn:aws:s3:::{on.bucket}"
    return (
        Right(("kafka:DescribeCluster", "kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"), (on.kafka.cluster,)),
        on.connect(),
        Right(_kafka("DescribeTopic", "DescribeTopicDynamicConfiguration", "ReadData"), topic),
        # The name of its group is Firehose's own.
        Right(_kafka("DescribeGroup"), (on.kafka.group("*"),)),
        Right(("lambda:GetFunctionConfiguration", "lambda:InvokeFunction"), (f"{function}:$LATEST",)),
        Right(("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"), (bucket,)),
        on.objects(("s3:AbortMultipartUpload", "s3:PutObject"), "raw/purchases/*", "raw-errors/purchases/*"),
        Right(("logs:PutLogEvents",), (log_stream,)),
    )


def _kafka(*actions: str) -> tuple[str, ...]:
    return tuple(f"kafka-cluster:{action}" for action in actions)
