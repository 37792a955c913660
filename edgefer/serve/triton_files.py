"""The files of the models that one bundle becomes in a repository for Triton."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from edgefer.bundle.manifest import OutputSpec
from edgefer.runtime.class_means import rejection
from edgefer.runtime.preprocess import Preprocessor
from edgefer.serve import triton_models as models
from edgefer.serve.labels import one_a_line
from edgefer.serve.pbtxt import Message, render
from edgefer.serve.plan import Plan
from edgefer.serve.settings import SETTINGS, AnswerSettings, PrepareSettings, answer_settings
from edgefer.serve.source import Source
from edgefer.serve.tensors import Batching, Tensor, answer_tensors, image_tensor, network_tensors, served
from edgefer.serve.triton_models import Model, Step, outside_name
from edgefer.serve.warm import network_samples, prepare_sample
from edgefer.version import __version__

CONFIG = "config.pbtxt"
VERSION = "1"
"""The folder of the one version of each model."""


@dataclass(frozen=True)
class TritonOptions:
    """How a repository is made.

    Args:
        name: of the ensemble, and the beginning of the other models' names; by default that of the bundle's file.
        graph: the role of the graph that is served; None is the first.
        plan: "" for ONNX; the file of a TensorRT engine, or "cached" for that of this machine's cache.
        colour: the order in which clients' images have their channels.
        deep: the cameras whose images have 16 bits.
        force: replace models of the same names that are there.
    """

    name: str = ""
    graph: str | None = None
    plan: str = ""
    colour: Literal["bgr", "rgb"] = "bgr"
    deep: tuple[str, ...] = ()
    force: bool = False


class Repository:
    """The files of one bundle's models."""

    def __init__(
        self, made_from: Source, name: str, batching: Batching, plan: Plan | None, options: TritonOptions
    ) -> None:
        self._source, self._graph, self._options = made_from, made_from.graph, options
        self._batching, self._plan, self._served = batching, plan, served(made_from.graph)
        for spec in self._served.cameras:
            Preprocessor(spec)  # which says what is wrong with it now, and not on the server
        self._rejection = rejection(made_from.bundle, self._graph)
        inputs, outputs = network_tensors(self._graph, batching)
        self._network = Model(f"{name}_network", inputs, outputs)
        self._prepare = Model(f"{name}_prepare", self._image_tensors(), self._prepared_tensors())
        self._answer = Model(f"{name}_answer", self._answer_inputs(), self._answer_outputs())
        told = self._answer.outputs or tuple(tensor.outside() for tensor in outputs)
        self._ensemble = Model(name, self._client_inputs(), told)

    def files(self) -> dict[str, bytes]:
        """All files; the ensemble, which needs the other models, comes last."""
        files = self._network_files()
        if self._prepare.inputs:
            warmup = prepare_sample(self._served, self._prepare.inputs, self._batching)
            config = models.python_model(self._prepare, self._batching, warmup)
            settings = PrepareSettings(inputs=self._served.prepared, colour=self._options.colour, edgefer=__version__)
            files |= self._python_files(self._prepare, config, "prepare_model.py", settings)
        if self._answer.outputs:
            config = models.python_model(self._answer, self._batching)
            answers = answer_settings(self._source.bundle, self._rejection)
            files |= self._python_files(self._answer, config, "answer_model.py", answers)
            files |= self._label_file(self._answer)
        files[f"{self._ensemble.name}/{CONFIG}"] = _text(models.ensemble(self._ensemble, self._batching, self._steps()))
        # A server wants the folder of a version, and stores of objects keep no empty folders.
        files[f"{self._ensemble.name}/{VERSION}/.keep"] = b""
        return files | (self._label_file(self._ensemble) if self._answer.outputs else {})

    def _network_files(self) -> dict[str, bytes]:
        model = self._network
        warmup, files = network_samples(self._source, model.inputs, self._batching)
        if self._plan is None:
            config = models.onnx_network(model, self._batching, warmup)
            content, file = self._source.onnx, "model.onnx"
        else:
            profiles = len(self._graph.batches) if self._source.free_batch else 1
            config = models.plan_network(model, self._batching, profiles, warmup)
            content, file = self._plan.content, "model.plan"
        return {
            f"{model.name}/{CONFIG}": _text(config),
            f"{model.name}/{VERSION}/{file}": content,
            **{f"{model.name}/{path}": data for path, data in files.items()},
        }

    def _python_files(
        self, model: Model, config: Message, file: str, settings: PrepareSettings | AnswerSettings
    ) -> dict[str, bytes]:
        packages = f"edgefer=={__version__}\nnumpy>=1.26\n"
        if model is self._prepare:
            packages += "opencv-python-headless>=4.10\n"
        return {
            f"{model.name}/{CONFIG}": _text(config),
            f"{model.name}/{VERSION}/model.py": Path(__file__).with_name(file).read_bytes(),
            f"{model.name}/{VERSION}/{SETTINGS}": msgspec.json.format(msgspec.json.encode(settings)),
            f"{model.name}/requirements.txt": packages.encode(),
        }

    def _label_file(self, model: Model) -> dict[str, bytes]:
        return {f"{model.name}/labels.txt": one_a_line(self._source.bundle.manifest.labels)}

    def _image_tensors(self) -> tuple[Tensor, ...]:
        masked = self._served.masked
        images = tuple(
            image_tensor(spec, self._batching, self._options.deep, optional=masked) for spec in self._served.cameras
        )
        mask = Tensor("present", "TYPE_FP32", (*self._batching.fixed, 2), optional=True)
        return (*images, mask) if masked else images

    def _prepared_tensors(self) -> tuple[Tensor, ...]:
        return tuple(
            Tensor(f"prepared_{spec.role}", "TYPE_FP32", self._batching.dims(spec.shape))
            for spec in self._served.prepared
        )

    def _answer_inputs(self) -> tuple[Tensor, ...]:
        if self._source.logits is None:
            return ()
        shapes = {spec.name: spec.shape for spec in self._graph.outputs}
        wanted = self._wanted(self._source.logits)
        return tuple(Tensor(name, "TYPE_FP32", self._batching.dims(shapes[of])) for name, of in wanted.items())

    def _wanted(self, logits: OutputSpec) -> dict[str, str]:
        """The outputs of the network that the answer is made of, by the names that they have there."""
        return {"logits": logits.name} | ({} if self._rejection is None else {"embedding": self._rejection.output})

    def _answer_outputs(self) -> tuple[Tensor, ...]:
        if self._source.logits is None:
            return ()
        classes = len(self._source.bundle.manifest.labels)
        return answer_tensors(classes, self._batching, rejects=self._rejection is not None)

    def _client_inputs(self) -> tuple[Tensor, ...]:
        passed = (
            Tensor(outside_name(spec.name), "TYPE_FP32", self._batching.dims(spec.shape)).outside()
            for spec in self._served.passed
        )
        return (*self._image_tensors(), *passed)

    def _steps(self) -> tuple[Step, ...]:
        steps = []
        feeds = {spec.name: outside_name(spec.name) for spec in self._served.passed}
        if self._prepare.inputs:
            feeds |= {spec.name: f"prepared.{spec.role}" for spec in self._served.prepared}
            given = {tensor.name: tensor.name for tensor in self._prepare.inputs}
            made = {f"prepared_{spec.role}": f"prepared.{spec.role}" for spec in self._served.prepared}
            steps.append(Step(self._prepare, given, made))
        if self._source.logits is None:
            steps.append(Step(self._network, feeds, {each.name: each.name for each in self._graph.outputs}))
            return tuple(steps)
        wanted = self._wanted(self._source.logits)
        steps.append(Step(self._network, feeds, {of: f"network.{of}" for of in wanted.values()}))
        answers = {tensor.name: tensor.name for tensor in self._answer.outputs}
        steps.append(Step(self._answer, {name: f"network.{of}" for name, of in wanted.items()}, answers))
        return tuple(steps)


def _text(config: Message) -> bytes:
    return render(config).encode("ascii")
