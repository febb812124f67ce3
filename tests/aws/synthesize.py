"""`python -m tests.aws.synthesize FOLDER`: the templates of both kinds of installation, by one Node.js.

Both are checked by cdk-nag on the way. What the templates say is then plain JSON.
"""

import sys
from pathlib import Path

from infra.app import build
from infra.nag import check
from infra.packages import copy_function
from infra.settings import InfraSettings

ACCOUNT = "111122223333"
INSTALLATIONS = {
    "default": InfraSettings(account=ACCOUNT),
    "serverless": InfraSettings(
        account=ACCOUNT,
        name="other",
        region="us-east-1",
        kafka="serverless",
        archive_by="archiver",
        admin_role_arn=f"arn:aws:iam::{ACCOUNT}:role/admin",
        admin_cidrs="203.0.113.7/32, 198.51.100.0/24",
        job_enabled=False,
    ),
}


def main(folder: Path) -> None:
    """Write the templates of each installation to a folder of its name."""
    function = copy_function(folder / "function")
    for name, settings in INSTALLATIONS.items():
        app = build(settings, function, folder / name)
        check(app, settings)
        app.synth()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
