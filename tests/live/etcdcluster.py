"""The cluster of clusterlab on an etcd of several members."""

from __future__ import annotations

import os
from pathlib import Path

from clusterlab import Cluster
from etcdlab import EtcdLab


class EtcdCluster(Cluster):
    """Two systems whose store is an etcd of three members."""

    def __init__(self, directory: Path, lab: EtcdLab) -> None:
        self.etcd = lab
        super().__init__(directory, "auto" if os.geteuid() == 0 else "marker")
        self.ttl_s = 3.0

    def load(self, main_cf: str) -> None:
        self.url = self.etcd.url
        super().load(main_cf)
