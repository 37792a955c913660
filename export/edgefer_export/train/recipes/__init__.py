"""The recipes by name: `--recipe NAME`, and what a specification takes from one."""

from __future__ import annotations

from typing import Any

from edgefer.errors import UsageError
from edgefer_export.networks.options import did_you_mean
from edgefer_export.train.recipes import feratt, naseem2025, raf_db, saliency, sane
from edgefer_export.train.recipes.recipe import Recipe
from edgefer_export.train.recipes.sane import SANE
from edgefer_export.train.spec import TrainSpec

__all__ = ["RECIPES", "Recipe", "find", "recipes_for", "spec_from"]

RECIPES: tuple[Recipe, ...] = (
    *naseem2025.RECIPES,
    *feratt.RECIPES,
    *raf_db.RECIPES,
    *saliency.RECIPES,
    *sane.RECIPES,
)
"""All there are. Of several with one name the first that is for the network holds."""


def find(name: str, network: str) -> Recipe:
    """The recipe `name` for a network.

    Raises:
        UsageError: there is none of that name, or none of that name for this network.
    """
    fitting = {recipe.name: recipe for recipe in recipes_for(network)}
    if name in fitting:
        return fitting[name]
    fit = ", ".join(fitting)
    named = [recipe for recipe in RECIPES if recipe.name == name]
    if named:
        networks = ", ".join(dict.fromkeys(each for recipe in named for each in recipe.networks))
        raise UsageError(f"the recipe {name} is for {networks}, not for {network}", hint=f"for {network}: {fit}")
    every = list(dict.fromkeys(recipe.name for recipe in RECIPES))
    raise UsageError(
        f"there is no recipe {name!r}; there are {', '.join(every)}",
        hint=did_you_mean(name, every) or f"for {network}: {fit}",
    )


def recipes_for(network: str) -> tuple[Recipe, ...]:
    """The recipes that a network can be trained by, one of each name."""
    found: dict[str, Recipe] = {}
    for recipe in RECIPES:
        if not recipe.networks or network in recipe.networks:
            found.setdefault(recipe.name, recipe)
    return tuple(found.values())


def spec_from(recipe: str | None, **given: Any) -> TrainSpec:
    """A specification with the settings of a recipe; what is given besides wins, options one by one.

    Args:
        recipe: its name; None takes the settings of `sane` for the network, and no name is noted.
        given: fields of `TrainSpec`, `network` among them.

    Raises:
        UsageError: there is no such recipe for the network, or a value cannot be what it is.
    """
    settings = find(recipe or SANE, str(given["network"])).settings()
    options = {**settings.pop("options"), **given.pop("options", {})}
    # A length that was asked for replaces the recipe's and is not cut short by it; without a recipe the default holds.
    if recipe is None or ("steps" in given and "epochs" not in given):
        settings.pop("epochs")
    # What belongs to copies goes with them.
    if given.get("offline") == "none" and "apart" not in given:
        settings["apart"] = False
    return TrainSpec(**{**settings, "options": options, "recipe": recipe, **given})
