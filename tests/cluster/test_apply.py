"""The manifests describe the cluster wholly: applied again, they change nothing."""

from local.cluster.shop import OVERLAY, Shop


def test_a_second_apply_changes_nothing(shop: Shop) -> None:
    changed = [line for line in shop.apply().splitlines() if not line.endswith(" unchanged")]
    assert changed == []


def test_the_cluster_is_as_the_manifests_say(shop: Shop) -> None:
    difference = shop.kubectl.run("diff", "-k", str(OVERLAY))
    assert (difference.returncode, difference.stdout) == (0, "")
