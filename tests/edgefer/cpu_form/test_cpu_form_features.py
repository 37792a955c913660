"""What /proc/cpuinfo says of a CPU. The texts are written after the Linux kernel's own, shortened."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgefer.runtime.cpu_form.features import cpu_features

X86 = """\
processor\t: 0
vendor_id\t: GenuineIntel
flags\t\t: fpu sse2 avx2 {}
bugs\t\t: spectre_v1

processor\t: 1
flags\t\t: fpu sse2 avx2 {}
"""
ARM = """\
processor\t: 0
BogoMIPS\t: 62.50
Features\t: fp asimd {}
CPU implementer\t: 0x41
"""


@pytest.mark.parametrize(
    ("architecture", "text", "found"),
    [
        ("x86_64", X86.format("avx512f avx512_vnni", ""), "avx512_vnni"),
        ("x86_64", X86.format("avx_vnni", "avx_vnni"), "avx_vnni"),
        ("AMD64", X86.format("avx512_vnni avx_vnni", ""), "avx512_vnni"),
        ("x86_64", X86.format("avx512f", ""), None),
        ("x86_64", ARM.format("asimddp"), None),
        ("aarch64", ARM.format("asimdhp asimddp"), "asimddp"),
        ("aarch64", ARM.format("asimdhp"), None),
        ("riscv64", "processor\t: 0\nisa\t: rv64imafdc\n", None),
        ("x86_64", "", None),
    ],
)
def test_the_instruction_for_products_of_8_bits(
    tmp_path: Path, architecture: str, text: str, found: str | None
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert cpu_features(path, architecture).dot_product == found


def test_no_cpuinfo_is_no_feature(tmp_path: Path) -> None:
    features = cpu_features(tmp_path / "none", "arm64")
    assert features.flags == frozenset()
    assert features.dot_product is None


def test_only_x86_was_measured() -> None:
    assert cpu_features(architecture="x86_64").measured
    assert not cpu_features(architecture="aarch64").measured
