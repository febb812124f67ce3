"""The figures and the table of `--task baskets`, on a shop whose products go together."""

import io
import json
from pathlib import Path

from recsys.decayed_counts import DAY_MS
from recsys.evaluation.methods import SESSIONS_KNN
from spark.evaluate_baskets import CHOSEN, COSINE, POPULAR, POPULAR_WEEK, SHARE, BasketWindow, run_baskets, text
from spark.step_log import StepLog
from tests.support.purchase_log import START_MS, sets_of_six


def test_the_chosen_weights_are_compared_with_popularity_and_with_pairs_as_of_the_split(tmp_path: Path) -> None:
    window = BasketWindow(START_MS + 10 * DAY_MS, START_MS + 20 * DAY_MS, START_MS + 30 * DAY_MS)
    log = io.StringIO()
    document = run_baskets(sets_of_six(300, seed=7), window, 1000, tmp_path, StepLog(log))
    assert json.loads((tmp_path / "baskets.json").read_text()) == json.loads(json.dumps(document))
    assert set(document["methods"]) == {CHOSEN, COSINE, POPULAR, POPULAR_WEEK, SESSIONS_KNN, SHARE}
    assert document["questions"] > 60
    assert document["ratios"][POPULAR]["hr@3"][1] > 1.5
    shown = text(document)
    figure = document["methods"][CHOSEN]["ndcg@10"][0]
    assert f"{figure:.4f}" in shown
    assert "chosen: orders 1 " in shown
    assert "172 candidates" in log.getvalue()
