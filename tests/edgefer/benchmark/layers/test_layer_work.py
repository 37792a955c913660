"""Operations and traffic by hand, and the record made of rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgefer.benchmark.layers.rows import Profile, Row, record
from edgefer.benchmark.layers.work import Tensor, is_product, is_reformat, operations, traffic


def tensor(*shape: int, dtype: str = "fp32") -> Tensor:
    return Tensor(dtype, shape)


SCALE, ZERO = tensor(), tensor(dtype="uint8")


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "expected"),
    [
        # 2 × outputs × channels in × kernel: 16·32·32 outputs of 3·7·7 multiply-adds
        ("Conv", [tensor(1, 3, 64, 64), tensor(16, 3, 7, 7), tensor(16)], tensor(1, 16, 32, 32), 2 * 16384 * 147),
        ("FusedConv", [tensor(1, 8, 4, 4), tensor(8, 1, 3, 3)], tensor(1, 8, 4, 4), 2 * 128 * 9),  # depthwise
        (
            "QLinearConv",
            [
                tensor(1, 3, 8, 8, dtype="uint8"),
                SCALE,
                ZERO,
                tensor(4, 3, 3, 3, dtype="int8"),
                SCALE,
                ZERO,
                SCALE,
                ZERO,
            ],
            tensor(1, 4, 8, 8, dtype="uint8"),
            2 * 256 * 27,
        ),
        ("GroupConvolution", [tensor(1, 8, 4, 4), tensor(2, 4, 4, 3, 3)], tensor(1, 8, 4, 4), 2 * 128 * 36),
        ("ConvTranspose", [tensor(1, 8, 4, 4), tensor(8, 2, 2, 2)], tensor(1, 2, 8, 8), 2 * 128 * 8),
        ("Gemm", [tensor(2, 64), tensor(5, 64), tensor(5)], tensor(2, 5), 2 * 2 * 64 * 5),
        ("Gemm", [tensor(64, 2), tensor(64, 5)], tensor(2, 5), 2 * 2 * 64 * 5),  # the first operand transposed
        ("MatMul", [tensor(4, 10, 6), tensor(6, 3)], tensor(4, 10, 3), 2 * 120 * 6),
        ("Add", [tensor(1, 8, 4, 4), tensor(8, 1, 1)], tensor(1, 8, 4, 4), 128),
        ("GlobalAveragePool", [tensor(1, 8, 4, 4)], tensor(1, 8, 1, 1), 128),
        ("Reshape", [tensor(1, 8), tensor(2)], tensor(8, 1), 0),
        ("QuantizeLinear", [tensor(1, 8), SCALE, ZERO], tensor(1, 8, dtype="uint8"), 0),
        ("NobodyKnowsThis", [tensor(1, 8)], tensor(1, 8), 8),
    ],
)
def test_operations(kind: str, inputs: list[Tensor], output: Tensor, expected: float) -> None:
    assert operations(kind, inputs, [output]) == expected


def test_traffic_counts_every_byte_and_knows_what_it_does_not_know() -> None:
    assert traffic([tensor(2, 3), tensor(4, dtype="int8"), tensor(4, dtype="fp16")]) == 24 + 4 + 8
    assert traffic([tensor(2), tensor(2, dtype="of nobody")]) is None
    assert traffic([tensor(-1, 3)]) is None


def test_kinds() -> None:
    assert all(map(is_product, ("Conv", "QLinearConv", "FullyConnected", "MatMulInteger", "FusedGemm")))
    assert not any(map(is_product, ("Relu", "ReorderInput", "Reorder")))
    assert all(map(is_reformat, ("ReorderInput", "ReorderOutput", "Cast", "QuantizeLinear", "DequantizeLinear")))
    assert not any(map(is_reformat, ("Conv", "Transpose", "MaxPool")))


CONV = Row("a", "one", "Conv", "int8", 3.0, False, True, 300.0, 30.0, 10.0)
FLOAT = Row("b", "two", "Conv", "fp32", 4.0, False, True, 100.0, 40.0, 10.0)
MOVE = Row("c", "one", "Reorder", "fp32", 1.0, True, False, 0.0, 10.0, 0.0)


def test_shares_blocks_reformats_and_coverage() -> None:
    found = record(Profile("onnxruntime-profiler", (CONV, FLOAT, MOVE), "of the profile"), note="of the caller")
    assert [layer.share for layer in found.layers] == [3 / 8, 4 / 8, 1 / 8]
    assert [(block.block, block.layers, block.seconds, block.share, block.operations) for block in found.blocks] == [
        ("one", 2, 4.0, 0.5, 300.0),
        ("two", 1, 4.0, 0.5, 100.0),
    ]
    assert found.reformats == 1 / 8
    assert found.coverage == 300 / 400
    assert found.note == "of the profile; of the caller"


def test_without_times_and_operations_layers_are_counted() -> None:
    rows = [replace(row, seconds=None, operations=None) for row in (CONV, FLOAT, MOVE)]
    found = record(Profile("compile-report", tuple(rows)))
    assert found.reformats == 1 / 3
    assert found.coverage == 1 / 2
    assert {layer.share for layer in found.layers} == {None}
    assert {block.seconds for block in found.blocks} == {None}


def test_a_part_does_not_pass_for_the_whole() -> None:
    found = record(Profile("tensorrt-profiler", (CONV, replace(MOVE, seconds=None, traffic=None))))
    assert found.blocks[0].seconds is None
    assert found.blocks[0].traffic is None
    assert record(Profile("compile-report", (MOVE,))).coverage is None
