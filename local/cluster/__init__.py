"""A Kubernetes cluster of one real node on this machine, in namespaces of its own: `python -m local.cluster`.

Containers run in it as on any cluster: containerd and runc, Services by kube-proxy, names by CoreDNS, NetworkPolicies
by kube-router, volumes by a provisioner. It uses no port, no address and no folder of the machine but its own.
"""
