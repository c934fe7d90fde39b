# SPDX-License-Identifier: Apache-2.0
"""benchmarks/bench_training.py: which operators count as matrix products."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_training.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_training", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_counts_as_a_matrix_product(bench) -> None:
    products = "addmm mm bmm linear mkldnn_convolution convolution_backward cudnn_convolution _flash_attention_backward"
    attention = "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention_backward"
    assert all(bench.is_product(f"aten::{name}") for name in f"{products} {attention}".split())
    others = "mul addcmul_ _softmax native_layer_norm upsample_bilinear2d copy_ gelu_backward _foreach_add_"
    assert not any(bench.is_product(f"aten::{name}") for name in others.split())
    assert not bench.is_product("Optimizer.step#AdamW.step")


@pytest.mark.parametrize(("work", "low", "high"), [("product", 0.7, 1.0), ("sine", 0.0, 0.2)])
def test_share_of_products_in_known_work(bench, work: str, low: float, high: float) -> None:
    x = torch.randn(400, 400)

    class Steps:
        device = torch.device("cpu")

        def __init__(self) -> None:
            self.numbers: list[int] = []

        def __call__(self, parts: list, number: int, elapsed: float) -> None:
            self.numbers.append(number)
            for _ in range(20):
                x @ x if work == "product" else x.sin()

    steps = Steps()
    assert low <= bench.products_share(steps, [[], []], 7) <= high
    assert steps.numbers == [7, 8]
