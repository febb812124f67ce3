"""`python -m infra`: CloudFormation templates of the AWS resources, offline. Deploying them is in docs/aws.md."""

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from infra.costs import PAGE as COSTS_PAGE
from infra.costs import page as costs_page
from infra.packages import FUNCTION, NotPackaged, build_function, require_function
from infra.permissions import PAGE, permissions_page, roles
from infra.settings import InfraSettings
from services.common.settings import explain
from spark.submit.packing import pack_job


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except ValidationError as error:
        print(explain(error), file=sys.stderr)
    except NotPackaged as error:
        print(f"infra: {error}", file=sys.stderr)
    return 2


def synth(options: argparse.Namespace) -> int:
    """`synth`: write the templates; cdk-nag checks them on the way."""
    from infra.app import build  # noqa: PLC0415 (starts Node.js)
    from infra.nag import check  # noqa: PLC0415

    settings = InfraSettings()
    app = build(settings, require_function(options.function), options.out)
    check(app, settings)
    app.synth()
    return 0


def package(options: argparse.Namespace) -> int:
    """`package`: the function's folder and the batch job's archive."""
    for built in (build_function(options.out / FUNCTION.name), pack_job(options.out / "job")):
        print(built)
    return 0


def costs(_options: argparse.Namespace) -> int:
    """`costs`: write the page of costs."""
    COSTS_PAGE.write_text(costs_page())
    return 0


def permissions(options: argparse.Namespace) -> int:
    """`permissions`: write the page of all roles from the templates."""
    PAGE.write_text(permissions_page(roles(options.out)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m infra", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    synth_parser = commands.add_parser("synth", help="write the templates to cdk.out")
    synth_parser.add_argument("--function", type=Path, default=FUNCTION, help="the function's folder")
    synth_parser.set_defaults(command=synth)
    page_parser = commands.add_parser("permissions", help="write docs/aws-permissions.md from the templates")
    page_parser.set_defaults(command=permissions)
    commands.add_parser("costs", help="write docs/aws-costs.md").set_defaults(command=costs)
    for parser_of_templates in (synth_parser, page_parser):
        parser_of_templates.add_argument("--out", type=Path, help="the folder of the templates")
    package_parser = commands.add_parser("package", help="pack the function and the batch job")
    package_parser.add_argument("--out", type=Path, default=FUNCTION.parent, help="where they are written")
    package_parser.set_defaults(command=package)
    return parser


if __name__ == "__main__":
    sys.exit(main())
