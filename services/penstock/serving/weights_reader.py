"""From an update to the verified bytes of its weights, however they travel; remembers what deltas build on."""

from dataclasses import dataclass, field, replace

import numpy as np

from penstock import failpoints
from penstock.errors import RefusedUpdateError
from penstock.flow import Delta, ModelUpdate
from penstock.learning.predictor import Kin, Predictor
from penstock.learning.weights_content import Content, Digest, FileContent, MemoryContent, read
from penstock.learning.weights_delta import PatchedContent
from penstock.learning.weights_layout import Layout
from penstock.make_way import MakeWay, go_on
from penstock.serving.ports import WeightsFetcher

PAGE_BYTES = 4096
TOUCHED_BYTES = 1 << 20
"""In one step."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """Whole weights that were fetched, in a file without a name; `kin` is the first model that was built on them."""

    sha256: str
    content: Content = field(repr=False)
    layout: Layout = field(repr=False)
    digest: Digest = field(repr=False)
    kin: Kin | None = None


@dataclass(frozen=True, kw_only=True)
class VerifiedWeights:
    """Bytes whose size and sha256 are those announced; `same_as_base` names tensors that are the base's."""

    content: Content = field(repr=False)
    same_as_base: frozenset[str] = frozenset()
    kin: Kin | None = None
    """A model with which the new one may share memory."""
    is_finite: bool = False
    """Somebody has looked already."""


class WeightsReader:
    """Used by one thread, but for updates that carry their weights inline: any may read these.

    Args:
        max_bytes: larger weights are refused before they are fetched.
        make_way: called between the small steps of reading.
    """

    def __init__(self, fetcher: WeightsFetcher, *, max_bytes: int | None = None, make_way: MakeWay = go_on) -> None:
        self._fetcher = fetcher
        self._max_bytes = max_bytes
        self._make_way = make_way
        self._base: Base | None = None

    def needs_fetch(self, update: ModelUpdate) -> bool:
        """True if something must be fetched for this update."""
        return update.uri is not None or (update.delta is not None and not self._has(update.delta))

    def verified(self, update: ModelUpdate) -> VerifiedWeights:
        """The whole weights that `update` announces.

        Raises:
            RefusedUpdateError: `size`, `digest` or `uri`; of a delta also `base` or `delta`.
            UnavailableError: the weights' store does not answer.
        """
        self._check_size(update.size_bytes, update.version)
        if update.inline is not None:
            content = MemoryContent(update.inline)
            _check_all_has_come(content, update.size_bytes, update.version)
            if update.is_checked:
                _touch(update.inline, self._make_way)
            else:
                self._digested(content, update.size_bytes, update.sha256, update.version)
            return VerifiedWeights(content=content, is_finite=update.is_checked)
        if update.delta is not None:
            return self._rebuilt(update, update.delta)
        assert update.uri is not None  # an update carries its weights in one of these ways
        self._base = self._fetched(update.uri, update.size_bytes, update.sha256, update.version)
        return VerifiedWeights(content=self._base.content, same_as_base=frozenset(self._base.layout.places))

    def built(self, weights: VerifiedWeights, predictor: Predictor) -> None:
        """Models of later deltas may share memory with this one, if it is the first on its base."""
        if self._base is not None and self._base.kin is None and weights.same_as_base:
            self._base = replace(self._base, kin=Kin(predictor=predictor, same=weights.same_as_base))

    def _rebuilt(self, update: ModelUpdate, delta: Delta) -> VerifiedWeights:
        base = self._base if self._has(delta) else self._fetched_base(delta)
        assert base is not None
        self._base = base
        content = PatchedContent(base.content, base.layout, delta.content)
        _check_all_has_come(content, update.size_bytes, update.version)
        start = content.layout.first_difference(base.layout, content.changed)
        _check_digest(base.digest.with_changes_from(start, content, self._make_way), update.sha256, update.version)
        same = frozenset(content.layout.places) - content.changed
        kin = None if base.kin is None else replace(base.kin, same=base.kin.same & same)
        return VerifiedWeights(content=content, same_as_base=same, kin=kin)

    def _has(self, delta: Delta) -> bool:
        return self._base is not None and self._base.sha256 == delta.base_sha256

    def _fetched_base(self, delta: Delta) -> Base:
        try:
            self._check_size(delta.base_size_bytes, delta.base_version)
            return self._fetched(delta.base_uri, delta.base_size_bytes, delta.base_sha256, delta.base_version)
        except RefusedUpdateError as error:
            raise RefusedUpdateError("base", f"The base of the delta is refused: {error}") from None

    def _fetched(self, uri: str, size_bytes: int, sha256: str, version: int) -> Base:
        content = FileContent(self._fetcher.fetch(uri, size_bytes), size_bytes)
        digest = self._digested(content, size_bytes, sha256, version)
        return Base(sha256=sha256, content=content, layout=Layout.of(content), digest=digest)

    def _digested(self, content: Content, size_bytes: int, sha256: str, version: int) -> Digest:
        _check_all_has_come(content, size_bytes, version)
        digest = Digest(content, self._make_way)
        _check_digest(digest.hexdigest, sha256, version)
        return digest

    def _check_size(self, size_bytes: int, version: int) -> None:
        if self._max_bytes is not None and size_bytes > self._max_bytes:
            raise RefusedUpdateError(
                "size",
                f"The weights of version {version} have {size_bytes} bytes, more than serving.max_weights_bytes, "
                f"{self._max_bytes}.",
            )


def whole_weights(update: ModelUpdate, fetcher: WeightsFetcher) -> bytes:
    """All bytes of the weights that an update announces, verified. Raises as `WeightsReader.verified`."""
    content = WeightsReader(fetcher).verified(update).content
    return bytes(update.inline) if update.inline is not None else read(content, 0, content.size_bytes)


def _touch(content: bytes | memoryview, make_way: MakeWay) -> None:
    """Have the system map what another process wrote: the first pass would wait for it."""
    for start in range(0, len(content), TOUCHED_BYTES):
        make_way()
        np.frombuffer(content[start : start + TOUCHED_BYTES], np.uint8)[::PAGE_BYTES].max()


def _check_digest(found: str, sha256: str, version: int) -> None:
    if found != sha256:
        raise RefusedUpdateError("digest", f"The weights of version {version} have sha256 {found}, not {sha256}.")


def _check_all_has_come(content: Content, size_bytes: int, version: int) -> None:
    failpoints.reach("swap.fetched")
    if content.size_bytes != size_bytes:
        raise RefusedUpdateError(
            "size", f"The weights of version {version} are {content.size_bytes} bytes, not {size_bytes}."
        )
