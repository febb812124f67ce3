"""`kubectl delete -k` takes everything away again."""

from local.cluster.shop import Shop


def test_delete_leaves_nothing(shop: Shop) -> None:
    shop.delete()
    assert "tillstream" not in shop.kubectl("get", "namespaces", "-o", "name")
