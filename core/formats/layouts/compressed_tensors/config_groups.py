"""compressed-tensors checkpoints of anybody: any number of `config_groups`, each with its linears and its scheme."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self, cast

from torch import Tensor

from core.errors import RequestError
from core.formats.base import Format
from core.formats.layouts.compressed_tensors.floats import FloatQuantized
from core.formats.layouts.compressed_tensors.integers import CompressedTensors
from core.formats.patterns import NamePattern
from core.formats.reading import section
from core.numerics.stored import StoredWeight
from core.sanitize import clean

_DAMAGED = "quantization_config holds {what}: fetch config.json again"
_EXPRESSION = "re:"


@dataclass(frozen=True)
class Target:
    """Linears that a group means: one by its full name, those whose name an expression matches, or all of a class."""

    text: str
    scheme: Format
    pattern: NamePattern | None = None

    @property
    def rank(self) -> tuple[bool, str]:
        """Names before expressions, each in alphabetical order, as the package sorts them."""
        return self.pattern is not None, self.text

    def matches(self, linear: str) -> bool:
        """Whether a linear is meant by its name."""
        return linear == self.text if self.pattern is None else self.pattern.matches(linear)


@dataclass(frozen=True)
class ConfigGroups:
    """Schemes by target. The most specific target that matches a linear counts: its name, an expression, its class."""

    targets: tuple[Target, ...]
    classes: tuple[Target, ...]
    modules: Mapping[str, str] = field(default_factory=dict)
    """Linears whose module is called otherwise than their tensors: the module's name, by which a group may mean them too."""

    name: ClassVar[str] = "compressed-tensors"

    @property
    def scheme(self) -> str:
        """The kinds of storage, for example `pack-quantized`."""
        return " and ".join(dict.fromkeys(target.scheme.scheme for target in (*self.targets, *self.classes)))

    def of(self, linear: str) -> Format:
        """The scheme of one linear. Raises RequestError: no group means it."""
        found = self.named(linear) or next(iter(self.classes), None)
        if found is None:
            raise RequestError(
                f"the linear {clean(linear, limit=200)!r} is stored as quantized, but no group of quantization_config "
                "covers it: config.json and weights do not belong together, fetch the checkpoint again"
            )
        return found.scheme

    def named(self, linear: str) -> Target | None:
        """The target that means a linear by its name, in the file or in the model; None when only its class does."""
        names = list(dict.fromkeys((linear, self.modules.get(linear, linear))))
        exact = (self._exact[name] for name in names if name in self._exact)
        return next(exact, None) or next((target for target in self._expressions if any(map(target.matches, names))), None)

    @cached_property
    def _exact(self) -> dict[str, Target]:
        return {target.text: target for target in self.targets if target.pattern is None}

    @cached_property
    def _expressions(self) -> tuple[Target, ...]:
        return tuple(target for target in self.targets if target.pattern is not None)

    def can_compress(self, weight: StoredWeight) -> bool:
        """Whether one of the groups can hold this weight."""
        return any(target.scheme.can_compress(weight) for target in (*self.targets, *self.classes))

    def compress(self, name: str, weight: StoredWeight) -> dict[str, Tensor]:
        """Tensors to store for the linear `name` (without `.weight`). Raises ValueError: the group of this linear cannot hold the weight."""
        return self.of(name).compress(name, weight)

    def decompress(self, name: str, tensors: Mapping[str, Tensor]) -> StoredWeight:
        """Undo `compress`; errors as of the group's scheme."""
        return self.of(name).decompress(name, tensors)

    def config(self, ignore: list[str], *, dequantize: bool = False) -> dict[str, object]:
        """The `quantization_config` of config.json; arguments as of `Format`."""
        groups: dict[str, dict[str, object]] = {}
        shared: dict[str, object] = {}
        schemes = {id(target.scheme): target.scheme for target in (*self.targets, *self.classes)}
        for index, (key, scheme) in enumerate(schemes.items()):
            config = scheme.config(ignore, dequantize=dequantize)
            (group,) = section(config, "config_groups").values()
            targets = [target.text for target in (*self.targets, *self.classes) if id(target.scheme) == key]
            groups[f"group_{index}"] = {**cast("dict[str, object]", group), "targets": targets}
            shared = {**config, **({"dequantize": True} if shared.get("dequantize") else {})}
        formats = {group["format"] for group in groups.values()}
        return shared | {"config_groups": groups, "format": formats.pop() if len(formats) == 1 else "mixed-precision"}

    def linear_of(self, tensor: str) -> str | None:
        """By its scales."""
        return tensor.removesuffix(".weight_scale") if tensor.endswith(".weight_scale") else None

    def parts(self, name: str) -> tuple[str, ...]:
        """Names of all tensors that the linear `name` may consist of."""
        return CompressedTensors(4, True, "channel", None).parts(name)

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> Self:
        """From a `quantization_config` of any version of the package. Raises RequestError: a scheme that cannot be read, in one sentence."""
        _refuse_what_is_beyond_a_weight(config)
        groups = config.get("config_groups")
        if groups == {} and config.get("kv_cache_scheme"):
            raise RequestError(
                "quantization_config quantizes only the KV cache (kv_cache_scheme), which is not computed here: "
                "remove quantization_config from config.json to read the weights, which are plain"
            )
        if not isinstance(groups, Mapping) or not groups:
            raise RequestError(_DAMAGED.format(what="no config_groups"))
        named: list[Target] = []
        classes: list[Target] = []
        for key, group in groups.items():
            shown = clean(str(key), limit=40)
            if not isinstance(group, Mapping) or not isinstance(group.get("weights", {}), Mapping | None):
                raise RequestError(_DAMAGED.format(what=f"a group {shown} that is not a table"))
            if not group.get("weights"):  # of attention or its cache
                continue
            texts = group.get("targets", ["Linear"])
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise RequestError(_DAMAGED.format(what=f"a group {shown} whose targets are not names"))
            scheme = scheme_of_group(group, config.get("format"))
            for text in texts:
                is_class = not text.startswith(_EXPRESSION) and "." not in text and text[:1].isupper()
                pattern = NamePattern(text.removeprefix(_EXPRESSION)) if text.startswith(_EXPRESSION) else None
                (classes if is_class else named).append(Target(text, scheme, pattern))
        if not named and not classes:
            raise RequestError(_DAMAGED.format(what="no group of quantized weights"))
        return cls(tuple(sorted(named, key=lambda target: target.rank)), tuple(classes))


def scheme_of_group(group: Mapping[str, object], storage: Any = None) -> Format:
    """The scheme of one entry of `config_groups`.

    Args:
        group: the entry.
        storage: `format` of the whole checkpoint, for older ones whose groups have none.

    Raises:
        RequestError: one that cannot be read.
    """
    weights = section(group, "weights")
    kind = str(weights.get("type", "int")).lower()
    if kind == "float":
        if weights.get("num_bits") != 8:
            bits = clean(str(weights.get("num_bits")), limit=40)
            raise RequestError(f"compressed-tensors weights of {bits}-bit floats cannot be read: known are 8-bit floats and integers of 2 to 8 bits")
        return FloatQuantized.from_group(group)
    return CompressedTensors.from_group(group, storage)


def _refuse_what_is_beyond_a_weight(config: Mapping[str, object]) -> None:
    sparsity = config.get("sparsity_config")
    sparse = sparsity.get("format") if isinstance(sparsity, Mapping) else None
    if sparse not in (None, "dense"):
        raise RequestError(f"the weights are stored sparse ({clean(str(sparse), limit=40)}), which cannot be read: save them dense")
    if config.get("quantization_status") == "decompressed":
        raise RequestError(
            "quantization_status is 'decompressed': transformers unpacked these weights and saved them next to their old scales, "
            "give the checkpoint from before, or the original model"
        )
    transforms = config.get("transform_config")
    if isinstance(transforms, Mapping) and transforms.get("config_groups"):
        raise RequestError("the weights are rotated by transforms at run time (transform_config), which cannot be read: quantize without transforms")
