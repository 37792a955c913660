"""What is said about images: how it is read, merged, refused, and put into the inputs of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgefer.bundle.manifest import ImageSpec, InputSpec
from edgefer.errors import UsageError
from edgefer_export.preprocess import check_integers, refuse_normalising, with_preprocess
from edgefer_export.preprocess_fields import KEYS, preprocess
from edgefer_export.spec import BuildSpec

VISIBLE = InputSpec(name="visible", role="visible", shape=(1, 3, 8, 8), image=ImageSpec(colour="rgb"))
INFRARED = InputSpec(name="ir.1", role="infrared", shape=(1, 1, 8, 8), image=ImageSpec(colour="grey", band="lwir"))
PRESENT = InputSpec(name="present", role="present", shape=(1, 2))
INPUTS = (VISIBLE, INFRARED, PRESENT)


def images(*words: str, inputs: tuple[InputSpec, ...] = INPUTS) -> list[ImageSpec]:
    made = with_preprocess(inputs, preprocess("preprocess", list(words)), "net.py:make")
    return [spec.image for spec in made if spec.image is not None]


@pytest.mark.parametrize(
    ("text", "table", "value"),
    [
        ("range=0,255", [0, 255], (0.0, 255.0)),
        ("mean=127", 127, (127.0,)),
        ("mean=0.5,0.4,0.3", [0.5, 0.4, 0.3], (0.5, 0.4, 0.3)),
        ("std=128", [128], (128.0,)),
        ("window16=7000,9000", [7000, 9000], (7000, 9000)),
        ("crop=0.1,0,0.9,1", [0.1, 0, 0.9, 1], (0.1, 0.0, 0.9, 1.0)),
        ("keep=0.875", 0.875, 0.875),
        ("pad=114", 114, (114,)),
        ("pad=1,2,3", [1, 2, 3], (1, 2, 3)),
        ("clip-limit=3", 3, 3.0),
        ("tiles=8x4", [8, 4], (8, 4)),
        ("tiles=4", 4, (4, 4)),
        ("fit=letterbox", "letterbox", "letterbox"),
        ("preset=caffe", "caffe", "caffe"),
    ],
)
def test_values_are_read_from_text_and_from_tables(text: str, table: Any, value: Any) -> None:
    key = text.partition("=")[0]
    field = key.replace("-", "_")
    assert preprocess("preprocess", [text]) == {"": {field: value}}
    assert preprocess("preprocess", {key: table}) == {"": {field: value}}
    assert preprocess("preprocess", {"visible": {key: table}}) == {"visible": {field: value}}
    assert preprocess("preprocess", f"images.0.{text}") == {"images.0": {field: value}}
    assert preprocess("preprocess", {field: value}) == {"": {field: value}}, "values of their own types stay"


def test_every_field_of_the_manifest_can_be_said() -> None:
    assert set(KEYS) - {"preset"} == set(ImageSpec.__struct_fields__) - {"band"}


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("fit", "expected KEY=VALUE"),
        (["=3"], "expected KEY=VALUE"),
        (["fit="], "expected KEY=VALUE"),
        (3, "expected KEY=VALUE"),
        ([3], "expected KEY=VALUE"),
        (["colour=hsv"], "one of rgb, bgr, grey"),
        (["fit=contain"], "one of stretch, letterbox, centre-crop"),
        (["resize=lanczos"], "one of area-bilinear, bilinear, area, nearest, bicubic"),
        (["equalise=adaptive"], "one of none, histogram, clahe"),
        (["grey=hdtv"], "one of bt601, bt709, average"),
        (["align=left"], "one of centre, top-left"),
        (["preset=torch"], "one of imagenet, caffe, minus-one-to-one"),
        (["mean=1,2"], "three separated by commas"),
        (["mean=red"], "three separated by commas"),
        (["std="], "KEY=VALUE"),
        (["range=1"], "two numbers"),
        (["window16=0,1.5"], "two whole numbers"),
        ({"window16": [0, 1.5]}, "two whole numbers"),
        ({"pad": True}, "a level from 0 to 255"),
        (["crop=0,0,1"], "left,top,right,bottom"),
        (["keep=most"], "a number"),
        ({"keep": {"a": 1}}, "no key `a`, given for input `keep`"),
        (["tiles=8x8x8"], "such as 8x8"),
        (["fit=stretch", "fit=letterbox"], "gives `fit` twice"),
        (["clip-limit=2", "clip_limit=3"], "gives `clip_limit` twice"),
        ({"visible": {"mean": [0, {}, 0]}}, "`preprocess visible.mean` is"),
    ],
)
def test_what_cannot_be_read(said: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        preprocess("preprocess", said)
    assert says in caught.value.message


def test_an_unknown_key_is_met_with_the_nearest_known_one() -> None:
    with pytest.raises(UsageError, match="no key `equalize`") as caught:
        preprocess("preprocess", ["equalize=clahe"])
    assert caught.value.hint == "Did you mean `equalise`?"
    with pytest.raises(UsageError, match="no key `xyzzy`, given for input `visible`") as caught:
        preprocess("preprocess", ["visible.xyzzy=1"])
    assert "letterbox" not in caught.value.hint
    assert "preset, colour" in caught.value.hint


def test_flags_and_file_are_merged_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(
        'network = "net-of-others"\noutput = "out.edgefer"\n[preprocess]\npreset = "imagenet"\nfit = "letterbox"\n'
        "[preprocess.visible]\npad = 114\nclip-limit = 3.0\n"
    )
    flags = {"preprocess": ["fit=stretch", "visible.pad=0", "infrared.window16=0,100"]}
    assert BuildSpec.from_toml(path, flags).preprocess == {
        "": {"preset": "imagenet", "fit": "stretch"},
        "visible": {"pad": (0,), "clip_limit": 3.0},
        "infrared": {"window16": (0, 100)},
    }
    assert BuildSpec.from_toml(path, {}).preprocess[""]["fit"] == "letterbox"


def test_nothing_said_changes_nothing() -> None:
    assert with_preprocess(INPUTS, {}, "net") is INPUTS


def test_what_is_said_of_all_comes_before_what_is_said_of_one() -> None:
    visible, infrared = images("range=0,255", "mean=127", "ir.1.mean=120", "ir.1.window16=7000,9000")
    assert (visible.range, visible.mean) == ((0, 255), (127, 127, 127))
    assert (infrared.range, infrared.mean, infrared.window16) == ((0, 255), (120,), (7000, 9000))
    assert (visible.window16, infrared.band) == ((0, 65535), "lwir")


def test_presets() -> None:
    visible, infrared = images("preset=imagenet")
    assert (visible.colour, visible.range) == ("rgb", (0, 1))
    assert (visible.mean, visible.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert infrared.colour == "grey"
    assert (*infrared.mean, *infrared.std) == pytest.approx((0.449, 0.226))
    visible, infrared = images("preset=caffe")
    assert (visible.colour, visible.range, visible.mean, visible.std) == ("bgr", (0, 255), (104, 117, 123), ())
    assert infrared.mean == pytest.approx((344 / 3,))
    visible, infrared = images(
        "preset=imagenet",
        "ir.1.preset=minus-one-to-one",
        "colour=rgb",
        inputs=(VISIBLE, InputSpec(name="ir.1", role="infrared", shape=(1, 3, 8, 8), image=ImageSpec(colour="rgb"))),
    )
    assert (visible.mean[0], infrared.range, infrared.mean, infrared.std) == (0.485, (-1, 1), (), ())


def test_keys_win_over_the_preset_beside_them() -> None:
    (visible,) = images("std=0.5", "preset=imagenet", "colour=bgr", inputs=(VISIBLE,))
    assert (visible.std, visible.mean[0], visible.colour) == ((0.5, 0.5, 0.5), 0.485, "bgr")


def test_a_detector_of_faces_can_be_stated() -> None:
    (image,) = images("colour=rgb", "range=0,255", "mean=127", "std=128", "fit=stretch", inputs=(VISIBLE,))
    assert (image.range, image.mean, image.std) == ((0, 255), (127,) * 3, (128,) * 3)


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (("thermal.fit=stretch",), "input `thermal`, which net.py:make does not have", "visible, ir.1"),
        (("present.fit=stretch",), "input `present` of net.py:make, which is no image", "visible, ir.1"),
        (("mean=1,2,3",), "Input `ir.1` of net.py:make has 1 channels and 3 values of mean", "ir.1.KEY=VALUE"),
        (("colour=bgr",), "Input `ir.1` of net.py:make has 1 channels and the colour order 'bgr'", "ir.1.KEY"),
        (("visible.std=0",), "must be above 0", ""),
        (("range=1,0",), "the range (1.0, 0.0)", ""),
        (("range=nan,0",), "not finite", ""),
        (("visible.range=0,1e300",), "float32 cannot hold", ""),
        (("window16=9,3",), "16-bit window", ""),
        (("crop=0.5,0,0.4,1",), "the crop (0.5, 0.0, 0.4, 1.0)", ""),
        (("fit=centre-crop", "keep=1.5"), "keeps 1.5", ""),
        (("fit=letterbox", "pad=256"), "levels from 0 to 255", ""),
        (("fit=letterbox", "pad=1,2,3"), "Input `ir.1` of net.py:make has 1 channels and 3 values of pad", ""),
        (("equalise=clahe", "clip-limit=0"), "clip limit 0.0", ""),
        (("equalise=clahe", "tiles=0"), "tiles (0, 0)", ""),
        (("pad=114",), "`--preprocess pad` says something only with fit=letterbox", "Add fit=letterbox"),
        (("visible.align=top-left",), "visible.align` says something only with fit=letterbox", "visible.fit=letterbox"),
        (("fit=letterbox", "keep=0.9"), "only with fit=centre-crop", ""),
        (("equalise=histogram", "tiles=8"), "only with equalise=clahe", ""),
        (("visible.clip_limit=2", "ir.1.equalise=clahe"), "only with equalise=clahe", ""),
        (("visible.grey=bt709",), "only with colour=grey", ""),
    ],
)
def test_what_does_not_fit_the_inputs(words: tuple[str, ...], says: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        images(*words)
    assert says in caught.value.message
    assert hint in caught.value.hint


def test_what_is_said_of_all_has_to_say_something_of_one_only() -> None:
    visible, infrared = images("grey=bt709", "pad=9", "ir.1.fit=letterbox")
    assert (infrared.grey, infrared.pad, infrared.fit, visible.fit) == ("bt709", (9,), "letterbox", "stretch")


def test_a_network_of_tensors_has_no_images() -> None:
    with pytest.raises(UsageError, match="is about images, and net takes none"):
        with_preprocess((PRESENT,), {"": {"fit": "stretch"}}, "net")


def test_a_mistyped_value_in_python_is_refused_as_in_text() -> None:
    with pytest.raises(UsageError, match="three separated by commas"):
        with_preprocess(INPUTS, {"visible": {"mean": "much"}}, "net")
    with pytest.raises(UsageError, match="no key `means`"):
        with_preprocess(INPUTS, {"visible": {"means": 0.5}}, "net")


@pytest.mark.parametrize("key", ["preset", "colour", "range", "mean", "std"])
def test_networks_that_normalise_inside_do_not_normalise_twice(key: str) -> None:
    with pytest.raises(UsageError, match=f"normalises inside its graph.*--preprocess {key}") as caught:
        refuse_normalising({"visible": {key: 1}}, "viri-fusion")
    assert "norm=imagenet" in caught.value.hint
    refuse_normalising({"": {"fit": "letterbox", "equalise": "clahe", "window16": (0, 9)}}, "viri-fusion")


def test_whole_numbers_stay_whole() -> None:
    def check(*words: str, bounds: tuple[int, int]) -> None:
        made = with_preprocess((VISIBLE,), preprocess("preprocess", list(words)), "net.onnx")
        check_integers(made, {"visible": bounds}, "net.onnx")

    check("range=0,255", bounds=(0, 255))
    check("range=0,255", "mean=128", bounds=(-128, 127))
    for words, bounds in (
        (("range=0,1",), (0, 255)),
        (("range=0,255", "mean=128"), (0, 255)),
        (("range=0,255",), (-128, 127)),
        (("range=0,255", "std=2"), (0, 255)),
    ):
        with pytest.raises(UsageError, match="takes whole numbers from"):
            check(*words, bounds=bounds)
