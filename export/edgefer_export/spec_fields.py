"""Reading the fields of a `BuildSpec` from text: the values of the flags and those of the TOML file alike."""

from __future__ import annotations

import contextlib
import difflib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

from edgefer.bundle.manifest import BudgetSpec, PluginPolicy, Precision, Role
from edgefer.engine.support.table import check_target
from edgefer.errors import UsageError
from edgefer.size import size
from edgefer_export.budget import parse_budget
from edgefer_export.preprocess_fields import preprocess, preprocess_table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OutputRole = Literal["logits", "other"]
_BUNDLE = ".edgefer"

# Tables in which a flag replaces one key and leaves the others as the file has them.
MERGED = ("input", "option", "saliency-option", "budget", "preprocess")


def read_toml(path: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a TOML file with `overrides` (the flags) put over them, keys with hyphens.

    Raises:
        UsageError: the file is missing or is not TOML.
    """
    try:
        with path.open("rb") as stream:
            raw = tomllib.load(stream)
    except FileNotFoundError as error:
        raise UsageError(f"The specification {path} does not exist.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The specification {path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The specification {path} is not TOML: {error}.") from error
    fields = {key.replace("_", "-"): value for key, value in raw.items()}
    for key, value in overrides.items():
        name = key.replace("_", "-")
        if name in MERGED and name in fields:
            fields[name] = _TABLES[name](name, fields[name]) | _TABLES[name](name, value)
        else:
            fields[name] = value
    return fields


def convert(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields named as flags, with values as text or TOML, to the keyword arguments of `BuildSpec`.

    Raises:
        UsageError: an unknown field (the nearest known one is suggested), or a value that cannot be read.
    """
    converted: dict[str, Any] = {}
    for key, value in fields.items():
        name = key.replace("_", "-")
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, _FIELDS, n=1)
            raise UsageError(
                f"The specification has no field `{key}`.",
                hint=f"Did you mean `{near[0]}`?" if near else f"Fields: {', '.join(sorted(_FIELDS))}.",
            )
        target, reader = _FIELDS[name]
        converted[target] = reader(name, value)
        if name in _SECOND:
            second, reader = _SECOND[name]
            if found := reader(name, value):
                converted[second] = found
    return converted


def _text(name: str, value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    raise _wrong(name, value, "a text that is not empty")


def _path(name: str, value: Any) -> Path:
    if isinstance(value, Path):
        return value
    return Path(_text(name, value)).expanduser()


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _wrong(name, value, "true or false")


def _whole(name: str, value: Any) -> int:
    try:
        if isinstance(value, int | str) and not isinstance(value, bool):
            return int(value)
    except ValueError:
        pass
    raise _wrong(name, value, "a whole number")


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
    except ValueError:
        pass
    raise _wrong(name, value, "a number")


def _size(name: str, value: Any) -> int:
    if isinstance(value, int | str) and not isinstance(value, bool):
        with contextlib.suppress(UsageError):
            return size(str(value))
    raise _wrong(name, value, "a size such as 500M or 2G in decimal units, 512MiB in binary ones, or bytes")


def _choice(*known: str) -> Callable[[str, Any], str]:
    def read(name: str, value: Any) -> str:
        if value in known:
            return str(value)
        raise _wrong(name, value, f"one of {', '.join(known)}")

    return read


def _wholes(name: str, value: Any) -> tuple[int, ...]:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return tuple(_whole(name, each) for each in values)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return tuple(_text(name, each) for each in values)


def _targets(name: str, value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check_target(each) for each in _texts(name, value)))


def _labels(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) and "," not in value:
        return _labels_file(name, value)
    labels = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else _texts(name, value)
    if len(labels) < 2 or len(set(labels)) != len(labels) or not all(labels):
        raise _wrong(name, value, "two or more different class names, separated by commas")
    return labels


def _labels_file(name: str, value: str) -> tuple[str, ...]:
    """The labels in a file, one a line; empty lines at the end do not count."""
    path = Path(value).expanduser()
    if not path.is_file():
        raise _wrong(name, value, "two or more different class names, separated by commas, or a file with one a line")
    try:
        lines = path.read_bytes().decode("utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The labels in {path} cannot be read: {error}.", hint="Save the file as UTF-8.") from error
    labels = tuple(line.strip() for line in lines)
    for number, label in enumerate(labels, 1):
        if not label:
            raise UsageError(f"Line {number} of {path} is empty; a label is expected on each.")
        if label in labels[: number - 1]:
            raise UsageError(f"Line {number} of {path} repeats the label `{label}`; each class needs its own.")
    if len(labels) < 2:
        raise UsageError(f"{path} has {len(labels)} labels; two or more are expected, one a line.")
    return labels


def _pairs(name: str, value: Any, form: str) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    pairs: dict[str, Any] = {}
    for item in _texts(name, value):
        key, equals, text = item.partition("=")
        if not (key and equals and text):
            raise _wrong(name, item, form)
        if key in pairs:
            raise UsageError(f"`--{name}` gives `{key}` twice.")
        pairs[key] = text
    return pairs


def _options(name: str, value: Any) -> dict[str, str]:
    pairs = _pairs(name, value, "KEY=VALUE")
    for key, each in pairs.items():
        if not isinstance(each, str | int | float | bool):
            raise _wrong(f"{name}.{key}", each, "a text, a number, true or false")
    return {key: str(each).lower() if isinstance(each, bool) else str(each) for key, each in pairs.items()}


def _input_table(name: str, value: Any) -> dict[str, Any]:
    return _pairs(name, value, "NAME=CxHxW")


def _inputs(name: str, value: Any) -> dict[str, tuple[int, ...]]:
    table = _input_table(name, value)
    return {key: _shape(f"{name} {key}", _split_role(f"{name} {key}", each)[0]) for key, each in table.items()}


def _input_roles(name: str, value: Any) -> dict[str, Role]:
    table = {key: _split_role(f"{name} {key}", each)[1] for key, each in _input_table(name, value).items()}
    return {key: role for key, role in table.items() if role is not None}


def _split_role(name: str, value: Any) -> tuple[Any, Role | None]:
    """`3x224x224:visible` as a shape and a role; a shape alone has none."""
    if not isinstance(value, str) or ":" not in value:
        return value, None
    shape, _, role = value.rpartition(":")
    if role not in get_args(Role):
        raise _wrong(name, value, f"a role out of {', '.join(get_args(Role))} behind the colon")
    return shape, cast(Role, role)


def _shape(name: str, value: Any) -> tuple[int, ...]:
    if isinstance(value, str) and re.fullmatch(r"\d+([x×]\d+)*", value):
        value = [int(part) for part in re.split("[x×]", value)]
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return tuple(_whole(name, each) for each in value)
    raise _wrong(name, value, "CxHxW, such as 3x224x224")


def _bundle_path(name: str, value: Any) -> Path | None:
    """The one value of `--output` that is a path."""
    paths = [each for each in _outputs(name, value) if isinstance(each, Path)]
    if len(paths) > 1:
        raise UsageError(
            f"`--output` names {len(paths)} files: {', '.join(map(str, paths))}; a build writes one bundle.",
            hint="The role of an output is written NAME:logits or NAME:other.",
        )
    return paths[0] if paths else None


def _output_roles(name: str, value: Any) -> dict[str, OutputRole]:
    roles: dict[str, OutputRole] = {}
    for each in _outputs(name, value):
        if isinstance(each, Path):
            continue
        output, role = each
        if output in roles:
            raise UsageError(f"`--output` gives a role to `{output}` twice.")
        roles[output] = role
    return roles


def _outputs(name: str, value: Any) -> list[Path | tuple[str, OutputRole]]:
    """Each value of `--output`: NAME:ROLE is the role of a graph's output; anything else is the path of the bundle.

    A path that ends in .edgefer is always a path; what has a single word behind a colon and is neither is refused.
    """
    found: list[Path | tuple[str, OutputRole]] = []
    values = [value] if isinstance(value, Path) else value if isinstance(value, list | tuple) else [_text(name, value)]
    for each in values:
        output, colon, role = ("", "", "") if isinstance(each, Path) else _text(name, each).rpartition(":")
        if output and role in get_args(OutputRole):
            found.append((output, cast(OutputRole, role)))
        elif colon and role.isidentifier() and not str(each).endswith(_BUNDLE):
            raise _wrong(name, each, f"NAME:ROLE with {' or '.join(get_args(OutputRole))} as role, or OUT{_BUNDLE}")
        else:
            found.append(_path(name, each))
    return found


def _budget_table(name: str, value: Any) -> dict[str, str]:
    items = [part for part in value.split(",") if part] if isinstance(value, str) else value
    table = _pairs(name, items, "KEY=NUMBER, such as accuracy=0.5")
    return {key: str(_number(f"{name} {key}", each)) for key, each in table.items()}


def _budget(name: str, value: Any) -> BudgetSpec:
    if isinstance(value, BudgetSpec):
        return value
    return parse_budget(",".join(f"{key}={each}" for key, each in _budget_table(name, value).items()))


def _wrong(name: str, value: Any, expected: str) -> UsageError:
    return UsageError(f"`{name}` is {value!r}; expected {expected}.")


_TABLES: dict[str, Callable[[str, Any], dict[str, Any]]] = {
    "input": _input_table,
    "option": _options,
    "saliency-option": _options,
    "budget": _budget_table,
    "preprocess": preprocess_table,
}

# Name of the flag (and TOML key) -> field of BuildSpec and how its value is read.
_FIELDS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "network": ("network", _text),
    "weights": ("weights", _path),
    "calibration": ("calibration", _text),
    "evaluation": ("evaluation", _text),
    "embedding": ("embedding", _text),
    "saliency": ("saliency", _path),
    "saliency-option": ("saliency_options", _options),
    "saliency-every": ("saliency_every", _whole),
    "precision": ("precision", _choice(*get_args(Precision))),
    "layout": ("layout", _text),
    "input": ("inputs", _inputs),
    "option": ("options", _options),
    "preprocess": ("preprocess", preprocess),
    "labels": ("labels", _labels),
    "band": ("band", _choice("nir", "lwir")),
    "batch": ("batches", _wholes),
    "exclude": ("exclude", _texts),
    "budget": ("budget", _budget),
    "strict": ("strict", _flag),
    "allow-over-budget": ("allow_over_budget", _flag),
    "flavour": ("flavour", _choice("auto", "tensorrt", "tensorrt_rtx", "none")),
    "plugins": ("plugins", _choice(*get_args(PluginPolicy))),
    "target": ("targets", _targets),
    "engine-out": ("engine_out", _path),
    "print-trtexec": ("print_trtexec", _flag),
    "output": ("output", _bundle_path),
    "golden-from-data": ("golden_from_data", _flag),
    "exporter": ("exporter", _choice("auto", "torchscript", "dynamo")),
    "fuse-attention": ("fuse_attention", _choice("auto", "off")),
    "method": ("method", _choice("max", "entropy", "percentile")),
    "percentile": ("percentile", _number),
    "seed": ("seed", _whole),
    "report": ("report", _path),
    "cache": ("cache", _path),
    "require-cached": ("require_cached", _flag),
    "workspace": ("workspace", _size),
}


# A flag that says two things: the second field of BuildSpec, which it fills where it says something of it.
_SECOND: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "input": ("input_roles", _input_roles),
    "output": ("output_roles", _output_roles),
}


def field_names() -> tuple[str, ...]:
    """The fields of the TOML file, which are the flags of `edgefer build-engine` without their hyphens in front."""
    return tuple(_FIELDS)
