"""The checks that the facts name: each looks at one node and says in a sentence what is wrong, or nothing.

A check that cannot decide, because a value is computed or a shape is not known, answers `Undecided`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgefer.engine.support.graph import Node
from edgefer.engine.support.schema import Restriction


@dataclass(frozen=True)
class Undecided:
    """What a check could not see."""

    reason: str


Finding = str | Undecided | None
Check = Callable[[Node, Restriction], Finding]

CHECKS: dict[str, Check] = {}
_LARGEST_LIMIT = 2**31 - 1


def check(function: Check) -> Check:
    """Register a check under its name."""
    CHECKS[function.__name__] = function
    return function


@check
def spatial_rank(node: Node, rule: Restriction) -> Finding:
    shape = node.input(0).shape
    if shape is None:
        return Undecided("the rank of its input is not known")
    if len(shape) - 2 in rule.allowed:
        return None
    return f"its input has {len(shape) - 2} spatial dimensions; {_listed(rule.allowed)} are taken"


@check
def input_rank(node: Node, rule: Restriction) -> Finding:
    if not node.input_name(rule.input):
        return None
    shape = node.input(rule.input).shape
    if shape is None:
        return Undecided(f"the rank of {node.input_name(rule.input)} is not known")
    if len(shape) in rule.allowed:
        return None
    return f"{node.input_name(rule.input)} has {len(shape)} dimensions; {_listed(rule.allowed)} are taken"


@check
def input_type(node: Node, rule: Restriction) -> Finding:
    if not node.input_name(rule.input):
        return None
    found = node.input(rule.input).type
    if found is None:
        return Undecided(f"the type of {node.input_name(rule.input)} is not known")
    return (
        None if found in rule.allowed else f"{node.input_name(rule.input)} is {found}; {_listed(rule.allowed)} is taken"
    )


@check
def static_shape(node: Node, rule: Restriction) -> Finding:
    shape = node.input(rule.input).shape
    if shape is not None and all(isinstance(size, int) for size in shape):
        return None
    return f"the sizes of {node.input_name(rule.input)} are not fixed"


@check
def attribute_in(node: Node, rule: Restriction) -> Finding:
    found = node.attributes.get(rule.attribute)
    if found is None or found in rule.values:
        return None
    return f"{rule.attribute} is {found}; {_listed(rule.values)} is taken"


@check
def attribute_all_ones(node: Node, rule: Restriction) -> Finding:
    found = list(node.attributes.get(rule.attribute, ()))
    return None if all(each == 1 for each in found) else f"{rule.attribute} is {found}; only ones are taken"


@check
def attribute_absent(node: Node, rule: Restriction) -> Finding:
    return f"{rule.attribute} is given" if rule.attribute in node.attributes else None


@check
def lacks_attributes(node: Node, rule: Restriction) -> Finding:
    given = [name for name in rule.attributes if name in node.attributes]
    return f"{', '.join(given)} is given, which is not taken" if given else None


@check
def lacks_inputs(node: Node, rule: Restriction) -> Finding:
    given = [node.input_name(index) for index in rule.inputs if node.input_name(index)]
    return f"{', '.join(given)} is given as an input that is not taken" if given else None


@check
def attribute_iota(node: Node, rule: Restriction) -> Finding:
    """The attribute, where it is given together with an input, has to name all axes in order."""
    found = node.attributes.get(rule.attribute)
    if found is None or not node.input_name(rule.with_input):
        return None
    shape = node.input(0).shape
    if shape is None:
        return Undecided("the rank of its input is not known")
    if list(found) == list(range(len(shape))):
        return None
    return f"{rule.attribute} is {list(found)}; all {len(shape)} axes in order are taken"


@check
def outputs_at_most(node: Node, rule: Restriction) -> Finding:
    further = [name for name in node.proto.output[rule.count :] if name]
    return f"it has the further outputs {', '.join(further)}" if further else None


@check
def constant_input(node: Node, rule: Restriction) -> Finding:
    name = node.input_name(rule.input)
    if not name:
        return None
    origin = node.origin(rule.input)
    if origin == "constant" or (origin == "folded" and rule.foldable):
        return None
    if origin == "data":
        return f"{rule.what} ({name}) is computed from the network's inputs; it has to be a constant"
    how = "from constants" if origin == "folded" else "from the sizes of tensors"
    return Undecided(f"{rule.what} ({name}) is computed {how}; it has to be a constant by the time it is parsed")


@check
def constant_false_input(node: Node, rule: Restriction) -> Finding:
    name = node.input_name(rule.input)
    if not name:
        return None
    value = node.constant(rule.input)
    if value is None:
        return f"{rule.what} ({name}) is not stored in the graph; it has to be, and to be false"
    return f"{rule.what} is true" if bool(value.any()) else None


@check
def constant_below(node: Node, rule: Restriction) -> Finding:
    value = node.constant(rule.input)
    if value is None or int(value.max()) < rule.limit:
        return None
    return f"{rule.what} is {int(value.max())}; less than {rule.limit} is taken"


@check
def even_pads(node: Node, rule: Restriction) -> Finding:
    pads = list(node.attributes.get("pads", ()))
    half = len(pads) // 2
    return None if pads[:half] == pads[half:] else f"pads is {pads}: the ends of an axis differ"


@check
def same_activations(node: Node, rule: Restriction) -> Finding:
    if node.attributes.get("direction", "forward") != "bidirectional":
        return None
    for name in ("activations", "activation_alpha", "activation_beta"):
        found = list(node.attributes.get(name, ()))
        half = len(found) // 2
        if found[:half] != found[half:]:
            return f"{name} differs between the two directions"
    return None


@check
def same_ranks_in_branches(node: Node, rule: Restriction) -> Finding:
    if node.origin(0) == "constant":  # then only the branch that is taken is read
        return None
    types = [[each.type.tensor_type for each in branch.output] for branch in _branches(node)]
    if not all(each.HasField("shape") for branch in types for each in branch):
        return Undecided("the ranks of the outputs of its branches are not known")
    ranks = [[len(each.shape.dim) for each in branch] for branch in types]
    return None if len(ranks) < 2 or ranks[0] == ranks[1] else f"the outputs of its branches have ranks {ranks}"


@check
def different_names_in_branches(node: Node, rule: Restriction) -> Finding:
    names = [{each.name for each in branch.output} for branch in _branches(node)]
    shared = names[0] & names[1] if len(names) == 2 else set()
    return f"both branches have an output named {', '.join(sorted(shared))}" if shared else None


@check
def scan_outputs_of_known_length(node: Node, rule: Restriction) -> Finding:
    """Outputs beyond the values that a loop carries grow by one entry an iteration."""
    carried = max(0, len(node.proto.input) - 2)
    if len(node.proto.output) <= carried or not any(node.proto.output[carried:]):
        return None
    if node.input_name(0) and node.origin(0) == "constant" and (not node.input_name(1) or node.origin(1) == "constant"):
        return None
    return "how long its scan outputs become is not known from the graph"


@check
def loop_counter_exists(node: Node, rule: Restriction) -> Finding:
    """A loop without a limit, or with one that does not fit into 32 bits, has no counter that its body could read."""
    body = next((each.g for each in node.proto.attribute if each.name == "body"), None)
    if body is None or not body.input:
        return None
    counter = body.input[0].name
    if not any(counter in inner.input for inner in body.node):
        return None
    limit = node.constant(0)
    if node.input_name(0) and (limit is None or int(limit.max()) < _LARGEST_LIMIT):
        return None
    return f"its body reads the counter {counter}, which exists only where the number of iterations is below 2147483647"


@check
def equal_last_sizes(node: Node, rule: Restriction) -> Finding:
    shapes = [node.input(index).shape for index in rule.inputs]
    known = {size for shape in shapes if shape and len(shape) == 4 and isinstance(size := shape[-1], int)}
    return f"the last sizes of its inputs differ: {sorted(known)}" if len(known) > 1 else None


@check
def einsum_plain(node: Node, rule: Restriction) -> Finding:
    equation = str(node.attributes.get("equation", "")).replace(" ", "")
    operands = equation.partition("->")[0].split(",")
    if "." in equation:
        return f"its equation {equation} has an ellipsis"
    repeated = [operand for operand in operands if len(set(operand)) != len(operand)]
    return f"its equation {equation} repeats an index within an operand" if repeated else None


@check
def needs_plugin(node: Node, rule: Restriction) -> Finding:
    return f"it becomes the plugin {rule.plugin}"


@check
def attribute_needs_plugin(node: Node, rule: Restriction) -> Finding:
    found = node.attributes.get(rule.attribute)
    if found is None or found in rule.values:
        return None
    return f"with {rule.attribute} {found} it becomes the plugin {rule.plugin}"


def _branches(node: Node) -> list[Any]:
    named = {each.name: each.g for each in node.proto.attribute if each.name in ("then_branch", "else_branch")}
    return [named[name] for name in ("then_branch", "else_branch") if name in named]


def _listed(values: tuple[int | float | str, ...]) -> str:
    return ", ".join(str(value) for value in values)
