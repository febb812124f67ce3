"""Command line of the offline evaluation: `python -m spark.evaluate`."""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from recsys.als_settings import AlsSettings
from recsys.decayed_counts import DAY_MS
from recsys.evaluation import holdout, html_report, rolling
from recsys.evaluation.baskets import possible_questions
from recsys.evaluation.methods import CANDIDATES, COMPOSED, FactorCache, ModelConfig, als_candidates, methods
from recsys.evaluation.purchase_log import ANONYMOUS, PurchaseLog, read_log
from recsys.evaluation.rolling import Answers
from recsys.evaluation.search_window import windows_until
from recsys.evaluation.summary import summary
from recsys.evaluation.training_view import TrainingView, view_at
from recsys.evaluation.weight_search import choose
from services.common.entrypoint import run_command
from services.common.times import format_time
from services.producer.source import BadFile
from spark import evaluate_baskets, similar_text
from spark.evaluate_baskets import BasketWindow, run_baskets
from spark.evaluate_similar import run_similar, shop_at
from spark.import_csv import import_file
from spark.jars import JarsMissing
from spark.session import spark_session
from spark.settings import STATE, JobSettings
from spark.step_log import StepLog

DESCRIPTION = """\
Offline evaluation of the recommendations. The serving scorer answers every order after a split with the state just
before it, and the products bought are the hits. Baselines: popular products, ALS and item-item.

  import      the file's purchases, as the batch job curates them (Spark)
  choose      search for weights and ALS settings among --candidates, on the two weeks before the split
  rolling     the orders after the split, one by one; the state follows them
  static      holdout: one answer per customer at the split, evaluated against all later purchases
  repeats     rolling, with all products of an order as hits; only if the chosen weights recommend purchased products

With --task baskets instead: basket completion. One product is taken out of each order of two or more, and the others
ask for it. Chooses the weights of baskets before the split, and compares them with popular products and with pairs of
products in the orders before the split.

With --task similar: whether substitutes are what customers change to, whether complements are in the same orders, and
what variety costs, all with default weights as of the split. Nothing is chosen.
"""
EPILOG = """\
examples:
  python -m spark.evaluate --csv kz.csv.gz
  python -m spark.evaluate --csv kz.csv.gz --split 2020-10-22 --candidates 2000
  python -m spark.evaluate --csv shop.csv --until choose       only choose, without a test-set look
  python -m spark.evaluate --csv kz.csv.gz --task baskets --split 2020-10-22
  python -m spark.evaluate --csv kz.csv.gz --task similar --split 2020-10-22 --questions 2000

Writes metrics.json and report.html into --out. Imported purchases, fitted factors and the choice are kept there and
reused: delete the folder to start again. looks.json counts the test-set looks: evaluations on the purchases after the
split. The report shows their number.

Exit status: 0 done, 1 failed, 2 wrong usage or settings.
"""
Json = dict[str, Any]
_PAGE_PRODUCTS = 50


class DamagedChoice(Exception):
    """The kept choice cannot be read; the message names the file."""


class TooLittle(Exception):
    """There are too few purchases to evaluate; the message says what is missing."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)

    def run_all(settings: JobSettings) -> int:
        run(options, settings, StepLog(sys.stderr))
        return 0

    return run_command("error", JobSettings, run_all, {BadFile: 1, JarsMissing: 1, TooLittle: 1, DamagedChoice: 2})


def run(options: argparse.Namespace, settings: JobSettings, step_log: StepLog) -> None:
    """All steps. Raises BadFile, JarsMissing, TooLittle, DamagedChoice."""
    out: Path = (options.out or STATE / "evaluate" / options.csv.name.split(".")[0]).resolve()
    out.mkdir(parents=True, exist_ok=True)
    with step_log.step("import") as step:
        step.says(_imported(options.csv, options.mapping, out, settings))
    log = read_log(out / "purchases")
    split_ms, until_ms = _window(log, options)
    if options.task == "baskets":
        _baskets(
            log, BasketWindow(split_ms - options.validation_days * DAY_MS, split_ms, until_ms), options, out, step_log
        )
        return
    if options.task == "similar":
        _similar(log, (split_ms, until_ms), options, out, step_log)
        return
    cache = FactorCache(out / "factors")
    with step_log.step("choose") as step:
        choice = _chosen(log, split_ms, cache, options, out / "choice.json")
        step.says(f"{sum(choice['tried'].values()):,} trials; {choice['composition']}")
    if options.until == "choose":
        return
    config = ModelConfig.read(choice)
    view = view_at(log, split_ms)
    document: Json = {
        "file": options.csv.name,
        "split": format_time(split_ms),
        "until": format_time(until_ms),
        "sample": options.test_sample,
        "validation": choice["validation"],
        "looks": _look(out / "looks.json"),
        "recipe": config.record(),
        "tried": choice["tried"],
        "search": choice["trials"],
        "seconds": step_log.seconds,
    }
    for protocol, answers in _measured(view, until_ms, config, cache, options=options, step_log=step_log):
        document[protocol] = summary(answers, view.popularity(None), COMPOSED)
        # Results are kept even if the next step is stopped.
        (out / "metrics.json").write_text(json.dumps(document, indent=1))
        (out / "report.html").write_text(html_report.page(document))
    print(html_report.text(document), flush=True)
    print(f"{out / 'report.html'}", file=sys.stderr)


def _baskets(log: PurchaseLog, window: BasketWindow, options: argparse.Namespace, out: Path, step_log: StepLog) -> None:
    """Basket completion: the table to stdout, its figures to baskets.json. Raises TooLittle."""
    for first, last in ((window.validation, window.split), (window.split, window.until)):
        if not possible_questions(log, log.at(first), log.at(last)):
            raise TooLittle(f"no order from {format_time(first)} to {format_time(last)} has two products or more")
    looks = _look(out / "looks-baskets.json")
    print(evaluate_baskets.text(run_baskets(log, window, options.questions, out, step_log)), flush=True)
    print(f"{out / 'baskets.json'}; test-set looks at baskets so far: {looks}", file=sys.stderr)


def _similar(
    log: PurchaseLog, window: tuple[int, int], options: argparse.Namespace, out: Path, step_log: StepLog
) -> None:
    """Substitutes, complements and variety: the tables to stdout, the figures to similar.json, products to a page."""
    split_ms, until_ms = window
    with step_log.step("view") as step:
        shop = shop_at(log, split_ms, out)
        step.says(f"{len(shop.catalogue):,} products, {int(shop.on_sale.sum()):,} on sale")
    if options.page:
        options.page.write_text(similar_text.product_page(shop, _PAGE_PRODUCTS))
    looks = _look(out / "looks-similar.json")
    print(similar_text.text(run_similar(shop, until_ms, options.questions, out, step_log)), flush=True)
    print(f"{out / 'similar.json'}; test-set looks at similar products so far: {looks}", file=sys.stderr)


def _measured(
    view: TrainingView,
    until_ms: int,
    config: ModelConfig,
    cache: FactorCache,
    *,
    options: argparse.Namespace,
    step_log: StepLog,
) -> Iterator[tuple[str, Answers]]:
    """The answers after the split, by protocol; repeats only if purchased products are recommended again."""
    protocol = rolling.EvaluationProtocol(sample=options.test_sample)
    with step_log.step("rolling") as step:
        answers = rolling.evaluate(view, until_ms, methods(view, config, cache, live=True), protocol, "rolling")
        step.says(_in_words(answers))
    yield "rolling", answers
    if options.until == "rolling":
        return
    with step_log.step("static") as step:
        answers = holdout.evaluate(
            view, until_ms, methods(view, config, cache, live=False), rolling.EvaluationProtocol()
        )
        step.says(_in_words(answers))
    yield "static", answers
    if config.weights.mask_bought:
        return
    with step_log.step("repeats") as step:
        again = methods(view, config, cache, live=True, mask_bought=False)
        protocol = rolling.EvaluationProtocol(who="warm", sample=options.test_sample, new_only=False)
        answers = rolling.evaluate(view, until_ms, again, protocol, "repeats")
        step.says(_in_words(answers))
    yield "repeats", answers


def _in_words(answers: Answers) -> str:
    return f"{len(answers):,} questions to {len(answers.methods)} methods"


def _imported(csv: Path, mapping: Path | None, out: Path, settings: JobSettings) -> str:
    """Import the file unless it was imported before."""
    if (out / "purchases" / "_SUCCESS").exists():
        return "already imported"
    shutil.rmtree(out / "raw", ignore_errors=True)
    shutil.rmtree(out / "purchases", ignore_errors=True)
    with spark_session(settings) as spark:
        imported = import_file(spark, csv, out / "raw", out / "purchases", mapping)
    shutil.rmtree(out / "raw")
    return f"{imported.rows:,} rows, {imported.refused:,} rejected"


def _window(log: PurchaseLog, options: argparse.Namespace) -> tuple[int, int]:
    """The split and the end of the test window, epoch ms; by default its days end with the newest purchase."""
    if not len(log):
        raise TooLittle("the file contains no valid purchase")
    until_ms = log.newest_ms + 1
    split_ms = options.split or (until_ms // DAY_MS - options.test_days + 1) * DAY_MS
    validation_ms = split_ms - options.validation_days * DAY_MS
    for name, first, last in (
        ("before", 0, validation_ms),
        ("in", validation_ms, split_ms),
        ("after", split_ms, until_ms),
    ):
        lines = slice(log.at(first), log.at(last))
        if not (log.customers[lines] != ANONYMOUS).any():
            raise TooLittle(
                f"no known customer bought anything {name} the validation window before {format_time(split_ms)}"
            )
    return split_ms, until_ms


def _chosen(log: PurchaseLog, split_ms: int, cache: FactorCache, options: argparse.Namespace, kept: Path) -> Json:
    """The kept choice, or that of a search."""
    if kept.exists():
        choice = kept_choice(kept)
        if choice["split"] != format_time(split_ms):
            raise TooLittle(f"{kept} was chosen for a split at {choice['split']}: give --split, or delete the file")
        return choice
    first_ms = split_ms - options.validation_days * DAY_MS
    windows = windows_until(log, first_ms, split_ms, options.sample, options.seed)
    choice = {
        "split": format_time(split_ms),
        "validation": {"from": format_time(first_ms), "sample": options.sample, "seed": options.seed},
        "windows": len(windows),
        **choose(windows, cache, options.candidates, options.als).record(),
    }
    kept.write_text(json.dumps(choice, indent=1))
    return choice


def kept_choice(file: Path) -> Json:
    """The choice of an earlier run. Raises DamagedChoice."""
    try:
        choice: Json = json.loads(file.read_text())
        ModelConfig.read(choice)
        choice["split"], choice["tried"], choice["trials"], choice["validation"]
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedChoice(f"{file} is damaged ({type(error).__name__}): delete it to choose again") from None
    return choice


def _look(ledger: Path) -> int:
    """Count this test-set look. Returns the number of looks so far, including this one."""
    looks: list[str] = json.loads(ledger.read_text()) if ledger.exists() else []
    looks.append(format_time(time.time_ns() // 1_000_000_000 * 1000))
    ledger.write_text(json.dumps(looks))
    return len(looks)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m spark.evaluate",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--csv", type=Path, required=True, metavar="FILE", help="purchases in the seed layout, plain or .gz"
    )
    parser.add_argument(
        "--mapping", type=Path, metavar="FILE", help="how a file in another layout is read (services.producer inspect)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="output folder (default: .tillstream/evaluate/FILE)")
    parser.add_argument("--split", type=_date, metavar="DATE", help="first day (UTC) of the test window")
    parser.add_argument(
        "--test-days", type=int, default=31, help="days of the test window without --split (default: 31)"
    )
    parser.add_argument(
        "--validation-days", type=int, default=14, help="days of the validation window, before the split (default: 14)"
    )
    parser.add_argument(
        "--candidates", type=int, default=720, help="weights that the search tries after its starts (default: 720)"
    )
    parser.add_argument(
        "--als",
        type=_als,
        default=CANDIDATES,
        metavar="LIST",
        help="ALS settings to choose from, as rank:regularisation:alpha (default: 64:1:40,128:1:40,64:1:10)",
    )
    parser.add_argument(
        "--sample",
        type=float,
        default=1.0,
        help="share of the validation window's orders in the score tables (default: 1)",
    )
    parser.add_argument(
        "--test-sample",
        type=float,
        default=1.0,
        help="share of the orders in the test window (default: 1); static asks every customer",
    )
    parser.add_argument(
        "--task",
        choices=("customers", "baskets", "similar"),
        default="customers",
        help="what to evaluate (default: customers)",
    )
    parser.add_argument(
        "--questions", type=int, default=6000, help="questions of --task baskets and similar (default: 6000)"
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="with --task similar: also write fifty products, as Markdown",
    )
    parser.add_argument("--seed", type=int, default=1, help="random seed of samples and search (default: 1)")
    parser.add_argument(
        "--until", choices=("choose", "rolling", "report"), default="report", help="the last step to run"
    )
    return parser


def _als(text: str) -> tuple[AlsSettings, ...]:
    try:
        return als_candidates(text)
    except ValueError:
        message = f"{text!r} is not a list of rank:regularisation:alpha such as 64:1:40,128:1:40"
        raise argparse.ArgumentTypeError(message) from None


def _date(text: str) -> int:
    try:
        return int(datetime.fromisoformat(f"{text}T00:00:00+00:00").timestamp() * 1000)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2020-10-22") from None


if __name__ == "__main__":
    sys.exit(main())
