"""What the cluster is made of. Go programs: local/cluster/go/*/go.mod and go.sum pin every module and its hash."""

KUBERNETES = "1.37.2"

# Newer in Debian's unstable suite, and they run on the C library of this one; unpacked, not installed.
UNSTABLE_PACKAGES = ("etcd-server", "containerd", "containernetworking-plugins")
# From the machine's own suite, with what they depend on; unpacked where the machine lacks them, not installed.
OWN_PACKAGES = ("runc", "nftables", "iptables", "ipset", "conntrack", "iproute2", "kmod")
