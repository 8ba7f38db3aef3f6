"""Which features a new pool gets, and what its feature ZAPs hold when it is created.

By default: what every OpenZFS from 2.2 on imports for reading and writing, except ``log_spacemap``, whose logs this
package does not write. Enabling a feature enables what it depends on. Enabled is not active: a feature whose count is 0
has changed nothing on disk.

Source: OpenZFS, zfeature.c (``feature_enable_sync``), zpool_main.c (``zpool_do_create``), zpool-features(7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..errors import UsageError
from ..ondisk.features import BY_GUID, BY_NAME, FEATURES, Feature
from .compatsets import SETS, Compatibility

#: Short names of what a new pool gets.
DEFAULT = SETS["openzfs-2.2"] - {"log_spacemap"}

PROPERTY = "feature@"
ENABLED_TXG = BY_NAME["enabled_txg"]
VDEV_ZAPS = BY_NAME["vdev_zaps_v2"]


@dataclass(frozen=True, slots=True)
class FeatureChoice:
    """Features of a new pool, in the order in which they are enabled: what one depends on comes before it.

    Attributes:
        pulled_in: short names that nobody asked for, or that were to be disabled, but that others depend on.
        warnings: sentences about what was asked for.
    """

    features: tuple[Feature, ...]
    pulled_in: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Short names."""
        return frozenset(feature.name for feature in self.features)


def choose(
    properties: Mapping[str, str] | None = None,
    compatibility: Compatibility | None = None,
    *,
    none: bool = False,
) -> FeatureChoice:
    """The features of a new pool.

    Args:
        properties: ``feature@NAME`` (or the guid for NAME) -> ``enabled`` or ``disabled``.
        compatibility: enable what this set allows instead of the default set.
        none: enable nothing that is not named (``zpool create -d``).

    Raises:
        UsageError: an unknown feature, or another value.
    """
    allowed = compatibility.features if compatibility is not None else None
    wanted = set() if none else set(DEFAULT if allowed is None else allowed)
    disabled = set()
    warnings = list(_compat_warnings(compatibility))
    for name, value in (properties or {}).items():
        feature = _named(name)
        if value == "disabled":
            disabled.add(feature.name)
        elif value != "enabled":
            raise UsageError(f"property {name!r} can only be set to 'enabled' or 'disabled'", value=value)
        else:
            wanted.add(feature.name)
            if allowed is not None and feature.name not in allowed:
                warnings.append(
                    f'feature "{feature.name}" enabled but is not in specified \'compatibility\' feature set.'
                )
    wanted -= disabled
    order: dict[str, Feature] = {}
    for feature in FEATURES:
        if feature.name in wanted:
            _with_dependencies(feature, order)
    return FeatureChoice(tuple(order.values()), tuple(name for name in order if name not in wanted), tuple(warnings))


def _compat_warnings(compatibility: Compatibility | None) -> Iterable[str]:
    if compatibility is not None and compatibility.warnings:
        words = " ".join(compatibility.warnings)
        yield f"unrecognized feature name(s) in distribution compatibility files: {words}"


def _named(name: str) -> Feature:
    short = name.removeprefix(PROPERTY)
    feature = BY_NAME.get(short) or BY_GUID.get(short)
    if feature is None:
        raise UsageError(f"feature {short!r} is not known", property=name)
    return feature


def _with_dependencies(feature: Feature, order: dict[str, Feature]) -> None:
    if feature.name in order:
        return
    for name in feature.depends:
        _with_dependencies(BY_NAME[name], order)
    order[feature.name] = feature


@dataclass(slots=True)
class FeatureCounts:
    """The feature ZAPs of a pool: guid -> reference count, txg or text. Counts never go below 0.

    Attributes:
        read, write: ``features_for_read`` and ``features_for_write``.
        descriptions: of every enabled feature.
        enabled_txg: of the features enabled since that feature itself was.
    """

    read: dict[str, int] = field(default_factory=dict)
    write: dict[str, int] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)
    enabled_txg: dict[str, int] = field(default_factory=dict)

    def zap(self, feature: Feature) -> dict[str, int]:
        """The one a feature is counted in."""
        return self.write if feature.read_only_compatible else self.read

    def count(self, name: str) -> int | None:
        """The count of a feature by short name or guid; None: it is disabled."""
        feature = _named(name)
        return self.zap(feature).get(feature.guid)

    def enable(self, feature: Feature, txg: int) -> None:
        """Enable a feature in a txg, and before it what it depends on; nothing happens if it is enabled."""
        counts = self.zap(feature)
        if feature.guid in counts:
            return
        for name in feature.depends:
            self.enable(BY_NAME[name], txg)
        self.descriptions[feature.guid] = feature.text
        counts[feature.guid] = int(feature.active_at_once)
        enabled = self.zap(ENABLED_TXG)
        if ENABLED_TXG.guid in enabled:
            enabled[ENABLED_TXG.guid] += 1
            self.enabled_txg[feature.guid] = txg

    def add(self, name: str, more: int = 1) -> bool:
        """Count a use of a feature, or with a negative number that it has ended.

        Returns:
            True if this made a label feature active or inactive: all labels have to be written anew.

        Raises:
            UsageError: the feature is disabled. ValueError: the count would become negative.
        """
        feature = _named(name)
        counts = self.zap(feature)
        before = counts.get(feature.guid)
        if before is None:
            raise UsageError(f"this needs the feature {feature.name!r}, which is disabled", feature=feature.guid)
        if before + more < 0:
            raise ValueError(f"the count of feature {feature.guid} would become {before + more}")
        counts[feature.guid] = before + more
        return feature.label and bool(before) is not bool(before + more)

    @property
    def label_features(self) -> tuple[str, ...]:
        """Guids that labels have to name."""
        return tuple(f.guid for f in FEATURES if f.label and self.zap(f).get(f.guid))


def initial(choice: FeatureChoice, txg: int, uses: Mapping[str, int] | None = None) -> FeatureCounts:
    """The feature ZAPs of a pool that is being created.

    Args:
        uses: what is active from the start (``NewVdevs.feature_counts``, ``vdev_zaps_v2`` if there is a root ZAP):
            short name or guid -> count.

    Raises:
        UsageError: a feature is used that is not enabled.
    """
    counts = FeatureCounts()
    for feature in choice.features:
        counts.enable(feature, txg)
    for name, number in (uses or {}).items():
        if number:
            counts.add(name, number)
    return counts
