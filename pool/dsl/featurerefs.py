"""Feature flags of a pool that is open for writing: their reference counts, and when one changes.

A feature is *enabled* when it has an entry, and *active* while its count is above zero. Counts are kept in two ZAPs:
of features that matter for reading, and of those that matter for writing only.

Source: OpenZFS, zfeature.c.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..dmu.mutableobjset import MutableObjset
from ..dmu.mutablezap import MutableZap
from ..errors import PoolError, UnsupportedFeatureError
from ..ondisk.features import BY_NAME, FEATURES, Feature


class FeatureCounts:
    """Reference counts by guid.

    Args:
        mos: where the ZAPs are. read_object, write_object: their numbers.
        counts: as they are on disk.
    """

    def __init__(self, mos: MutableObjset, read_object: int, write_object: int, counts: Mapping[str, int]) -> None:
        self._mos = mos
        self._objects = (read_object, write_object)
        self.counts = dict(counts)
        self._changed: set[str] = set()

    @property
    def changed(self) -> bool:
        """Counts differ from those on disk."""
        return bool(self._changed)

    def enabled(self, name: str) -> bool:
        """The feature may be used."""
        return BY_NAME[name].guid in self.counts

    def count(self, name: str) -> int:
        """How often the feature is used."""
        return self.counts.get(BY_NAME[name].guid, 0)

    def active(self) -> list[str]:
        """Guids of the features in use."""
        return [guid for guid, count in self.counts.items() if count]

    def add(self, name: str, more: int = 1) -> None:
        """Something that uses a feature came (or went, negative).

        Raises:
            UnsupportedFeatureError: the pool does not have the feature enabled.
        """
        feature = BY_NAME[name]
        if feature.guid not in self.counts:
            raise UnsupportedFeatureError(f"the pool does not have the feature {name} enabled", "enable it first")
        count = self.counts[feature.guid] + more
        if count < 0:
            raise PoolError(f"the feature {name} would be used less than not at all")
        tx, before = self._mos.tx, self.counts[feature.guid]
        tx.note(lambda: self.counts.__setitem__(feature.guid, before))
        self.counts[feature.guid] = count
        self._changed.add(feature.guid)

    def enable(self, name: str, texts: int, stamps: int) -> list[str]:
        """Enable a feature, and before it what it depends on; gives the short names of those that were not enabled.

        Args:
            texts, stamps: objects of the descriptions and of the txgs in which features were enabled (0: there is
                none).
        """
        feature = BY_NAME[name]
        if feature.guid in self.counts:
            return []
        done = [one for needed in feature.depends for one in self.enable(needed, texts, stamps)]
        counts, guid, count = self.counts, feature.guid, int(feature.active_at_once)
        MutableZap(self._mos.dnode(self._objects[_FOR_WRITE[guid]])).add(guid, count)
        MutableZap(self._mos.dnode(texts)).update(guid, feature.text.encode() + b"\0", int_size=1)
        self._mos.tx.note(lambda: counts.__delitem__(guid))
        counts[guid] = count
        if stamps and self.enabled("enabled_txg") and name != "enabled_txg":
            MutableZap(self._mos.dnode(stamps)).add(guid, self._mos.tx.txg)
            self.add("enabled_txg")
        return [*done, name]

    def write(self) -> None:
        """Changed counts into their ZAPs."""
        for guid in sorted(self._changed):
            zap = MutableZap(self._mos.dnode(self._objects[_FOR_WRITE[guid]]))
            zap.update(guid, self.counts[guid])
        self._changed.clear()


def _for_write(feature: Feature) -> bool:
    return feature.read_only_compatible


_FOR_WRITE = {feature.guid: _for_write(feature) for feature in FEATURES}
