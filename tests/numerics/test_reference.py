"""The reference against numbers worked out by hand; the derivations stand in the comments."""

import numpy as np
import pytest
from layers import FLOAT32, INT8, INT16, UINT8, float32, int8, ofmap_of, step_of, uint8

from accelsim.network.graph import LayerSpec, build_network
from accelsim.network.ops import (
    OPS,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Dropout,
    Flatten,
    LeakyRelu,
    Lrn,
    MatMul,
    MaxPool,
    Mul,
    Op,
    Relu,
    Reshape,
    Sigmoid,
    Softmax,
    Tanh,
)
from accelsim.numerics.arithmetic import arithmetic_of
from accelsim.numerics.formats import Array, Quantization, Tensor
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.reference import _compute, compute, reference

RAMP = [[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]  # (1, 3, 3)


def weights(values: object, bias: list[int] | None = None) -> dict[str, Array]:
    arrays = {"weight": np.array(values, np.int8)}
    return arrays if bias is None else arrays | {"bias": np.array(bias, np.int32)}


# --- Convolution ----------------------------------------------------------------------------------


def test_conv_asymmetric_padding_and_stride() -> None:
    # top 1, bottom 0, left 0, right 2, stride (1, 2): 3 x 2 windows over
    #   0 0 0 0 0
    #   1 2 3 0 0
    #   4 5 6 0 0
    #   7 8 9 0 0
    # with w = [[1, 2], [3, 4]]: row 0: 3*1+4*2 = 11, 3*3 = 9; row 1: 1+4+12+20 = 37, 3+18 = 21;
    # row 2: 4+10+21+32 = 67, 6+27 = 33
    op = Conv(out_channels=1, kernel=(2, 2), stride=(1, 2), padding=(1, 0, 0, 2), bias=False)
    ofmap = ofmap_of(op, int8(RAMP), arrays=weights([[[[1, 2], [3, 4]]]]))
    assert ofmap.tolist() == [[[[11, 9], [37, 21], [67, 33]]]]


def test_conv_dilation() -> None:
    # taps two apart: the corners of the 3 x 3 ramp, 1*1 + 3*2 + 7*3 + 9*4 = 64, + 5
    op = Conv(out_channels=1, kernel=(2, 2), dilation=(2, 2))
    assert ofmap_of(op, int8(RAMP), arrays=weights([[[[1, 2], [3, 4]]]], [5])).tolist() == [
        [[[69]]]
    ]


def test_conv_sums_over_channels_and_images() -> None:
    # 1 x 1: k = 0 weighs channels 1, 10; k = 1 weighs 2, -1
    x = Tensor(np.array([[[[1, 2]], [[3, 4]]], [[[5, 6]], [[7, 8]]]], np.int8))
    op = Conv(out_channels=2, kernel=(1, 1), bias=False)
    ofmap = ofmap_of(op, x, arrays=weights([[[[1]], [[10]]], [[[2]], [[-1]]]]))
    assert ofmap.tolist() == [[[[31, 42]], [[-1, 0]]], [[[75, 86]], [[3, 4]]]]


def test_conv_groups() -> None:
    # 4 channels in 2 groups, one filter each: 1*1 + 2*10 = 21, 3*100 + 4*-50 = 100
    op = Conv(out_channels=2, kernel=(1, 1), groups=2, bias=False)
    x = int8([[[1]], [[2]], [[3]], [[4]]])
    ofmap = ofmap_of(op, x, arrays=weights([[[[1]], [[10]]], [[[100]], [[-50]]]]))
    assert ofmap.tolist() == [[[[21]], [[100]]]]


def test_conv_depthwise_bias_and_scale_stay_with_their_channel() -> None:
    # channel sums 1+2, 3+4, times -1 + 1 and 2 - 4, times scales 1 and 4: -2, 40
    op = Conv(out_channels=2, kernel=(1, 2), groups=2)
    arrays = weights([[[[-1, -1]]], [[[2, 2]]]], [1, -4])
    ofmap = ofmap_of(op, int8([[[1, 2]], [[3, 4]]]), arrays=arrays, weight_scale=[1, 4])
    assert ofmap.tolist() == [[[[-2]], [[40]]]]


def test_conv_zero_points() -> None:
    # uint8, zero at 100; padding is real zero. x - 100 = [-100, 5, 155]; w - 2 = [-1, 3]
    # outputs at left padding and inside: 3*-100 = -300, 100 + 15 = 115, -5 + 465 = 460
    # scale 0.25, zero at 10: -65 -> 0, 28.75 -> 29 + 10, 115 + 10
    op = Conv(out_channels=1, kernel=(1, 2), padding=(0, 0, 1, 0), bias=False)
    ofmap = ofmap_of(
        op,
        uint8([[[0, 105, 255]]], Quantization(0.5, 100)),
        output=Quantization(2.0, 10),
        arithmetic=UINT8,
        arrays=weights([[[[1, 5]]]]),
        weight_zero_point=2,
    )
    assert ofmap.tolist() == [[[[0, 39, 125]]]]


@pytest.mark.parametrize(
    ("psum", "expected"),
    [(1, 0), (3, 2), (5, 2), (-1, 0), (-3, -2), (-5, -2), (7, 4), (120, 60), (-120, -60)],
    ids=lambda value: str(value),
)
def test_requantization_rounds_halves_to_even(psum: int, expected: int) -> None:
    op = Dense(out_features=1, bias=False)
    ofmap = ofmap_of(op, int8([psum]), arrays=weights([[1]]), weight_scale=0.5)
    assert ofmap.tolist() == [[expected]]


@pytest.mark.parametrize(
    ("activation", "expected"), [(None, [-128, -11, 127]), ("relu", [-10, -10, 127])]
)
def test_clipping_and_relu_at_the_zero_point(activation: None, expected: list[int]) -> None:
    # psums -1000, -1, 1000 around the zero point -10
    op = Dense(out_features=3, activation=activation)
    ofmap = ofmap_of(
        op,
        int8([10]),
        output=Quantization(1.0, -10),
        arrays=weights([[-100], [0], [100]], [0, -1, 0]),
    )
    assert ofmap.tolist() == [expected]


def test_multiplier_is_float32_from_left_to_right() -> None:
    # 0.1 * 0.1 / 0.1: in float32 steps 0.10000001, times 5 just over a half, so 1; in float64,
    # or rounded to float32 only in the end, it is a half, so 0
    ofmap = ofmap_of(
        Dense(out_features=1, bias=False),
        int8([5], Quantization(0.1, 0)),
        output=Quantization(0.1, 0),
        arrays=weights([[1]]),
        weight_scale=0.1,
    )
    assert ofmap.tolist() == [[1]]


def test_dense_flattens_in_channel_order() -> None:
    # (2, 1, 2) -> 1, 2, 3, 4: 1*1 + 2*2 + 3*4 + 4*8 = 49
    ofmap = ofmap_of(
        Dense(out_features=1, bias=False),
        int8([[[1, 2]], [[3, 4]]]),
        arrays=weights([[1, 2, 4, 8]]),
    )
    assert ofmap.tolist() == [[49]]


def test_dense_maps_a_matrix_row_by_row() -> None:
    # rows [1, 2], [3, 4] by [[1, 10], [0, -1], [2, 0]], + [0, 0, 1]
    arrays = weights([[1, 10], [0, -1], [2, 0]], [0, 0, 1])
    ofmap = ofmap_of(Dense(out_features=3), int8([[1, 2], [3, 4]]), arrays=arrays)
    assert ofmap.tolist() == [[[21, -2, 3], [43, -4, 7]]]


def test_matmul_multiplies_image_by_image() -> None:
    x = Tensor(np.array([[[1, 2]], [[3, 4]]], np.int8), Quantization(0.5, 1))
    y = Tensor(np.array([[[5], [6]], [[7], [8]]], np.int8), Quantization(4.0, 0))
    # (0, 1) . (5, 6) = 6, (2, 3) . (7, 8) = 38, times 0.5 * 4
    assert ofmap_of(MatMul(), x, y).tolist() == [[[12]], [[76]]]


def test_narrow_psum_is_counted() -> None:
    # int8 psum: 127 + 127 = 254 wraps to -2 and saturates at 127; the second output fits
    arrays = weights([[127, 127], [1, 1]])
    for overflow, first in (("wrap", -2), ("saturate", 127)):
        arithmetic = arithmetic_of("int8", "int8", "int8", "int8", overflow)  # type: ignore[arg-type]
        op = Dense(out_features=2, bias=False)
        ofmap = compute(step_of(op, int8([1, 1]), arithmetic=arithmetic, arrays=arrays))
        assert (ofmap.values.tolist(), ofmap.overflowed) == ([[first, 2]], 1)


# --- Pooling --------------------------------------------------------------------------------------


def test_max_pool_padding_never_wins() -> None:
    op = MaxPool(kernel=(2, 2), stride=(2, 2), padding=(1, 0, 1, 0))
    negative = (-np.array(RAMP)).tolist()
    assert ofmap_of(op, int8(negative)).tolist() == [[[[-1, -2], [-4, -5]]]]
    assert ofmap_of(op, float32(negative), arithmetic=FLOAT32).tolist() == [[[[-1, -2], [-4, -5]]]]


def test_max_pool_ceil_mode() -> None:
    # the last window of each axis holds one row or column of data
    x = int8(RAMP)
    assert ofmap_of(MaxPool(kernel=(2, 2)), x).tolist() == [[[[5]]]]
    assert ofmap_of(MaxPool(kernel=(2, 2), ceil_mode=True), x).tolist() == [[[[5, 6], [8, 9]]]]


def test_max_pool_rescales() -> None:
    # real 9 * 0.5 = 4.5; in steps of 0.25 from 3: 18 + 3
    op = MaxPool(kernel="global")
    ofmap = ofmap_of(op, int8(RAMP, Quantization(0.5, 0)), output=Quantization(0.25, 3))
    assert ofmap.tolist() == [[[[21]]]]


@pytest.mark.parametrize(
    ("count_padding", "expected"),
    [
        # windows start at -1 and 1 and hold 10 | 20 30 // 40 70 | 50 60 80 90
        (True, [[[2, 12], [28, 70]]]),  # 10/4 = 2.5, 50/4 = 12.5, 110/4 = 27.5, 280/4
        (False, [[[10, 25], [55, 70]]]),  # 10/1, 50/2, 110/2, 280/4
    ],
)
def test_avg_pool_counts(count_padding: bool, expected: list[object]) -> None:
    op = AvgPool(kernel=(2, 2), padding=(1, 1, 1, 1), count_padding=count_padding)
    x = int8((10 * np.array(RAMP)).tolist())
    assert ofmap_of(op, x).tolist() == [expected]


def test_avg_pool_never_counts_what_ceil_mode_adds() -> None:
    # padding on the right is counted: (36 + 0) / 2
    x = int8([[[12, 24, 36]]])
    op = AvgPool(kernel=(1, 2), padding=(0, 0, 0, 1))
    assert ofmap_of(op, x).tolist() == [[[[18, 18]]]]
    # kernel 2, stride 2, no padding: ceil_mode adds a column that no divisor counts
    op = AvgPool(kernel=(1, 2), ceil_mode=True)
    assert ofmap_of(op, x).tolist() == [[[[18, 36]]]]


def test_avg_pool_zero_point() -> None:
    # (90 - 100 + 120 - 100) / 2 = 5, + 100; padding is real zero: (110 - 100) / 2 = 5
    x = uint8([[[90, 120, 110]]], Quantization(1.0, 100))
    op = AvgPool(kernel=(1, 2), padding=(0, 0, 0, 1))
    ofmap = ofmap_of(op, x, output=Quantization(1.0, 100), arithmetic=UINT8)
    assert ofmap.tolist() == [[[[105, 105]]]]


def test_global_avg_pool() -> None:
    assert ofmap_of(AvgPool(kernel="global"), int8(RAMP)).tolist() == [[[[5]]]]


# --- Element by element ---------------------------------------------------------------------------


def test_add_clips_once_at_the_end() -> None:
    # 100 + 100 - 90 = 110: the first sum alone would clip
    assert ofmap_of(Add(), int8([100]), int8([100]), int8([-90])).tolist() == [[110]]
    assert ofmap_of(Add(), int8([100]), int8([100])).tolist() == [[127]]


def test_add_rounds_the_sum_at_the_output_scale() -> None:
    # as DequantizeLinear, Add, QuantizeLinear: 3 * 0.5 + 5 * 0.5 = 4, + 7;
    # 1 * 0.5 + 1 * 0.5 = 1, + 7, although each alone rounds to 0
    x, y = int8([3, 1], Quantization(0.5, 0)), int8([6, 2], Quantization(0.5, 1))
    assert ofmap_of(Add(), x, y, output=Quantization(1.0, 7)).tolist() == [[11, 8]]


def test_add_and_mul_spread_a_channel() -> None:
    x, y = int8([[[1, 2]], [[3, 4]]]), int8([[[10]], [[20]]])
    assert ofmap_of(Add(activation="relu"), x, y).tolist() == [[[[11, 12]], [[23, 24]]]]
    assert ofmap_of(Mul(), x, y).tolist() == [[[[10, 20]], [[60, 80]]]]
    assert ofmap_of(Mul(), y, x).tolist() == [[[[10, 20]], [[60, 80]]]]


def test_mul_zero_points() -> None:
    # (3 - 1) * (10 - 4) = 12, * 0.5 * 0.25 / 0.5 = 3, + 2
    x, y = int8([3], Quantization(0.5, 1)), int8([10], Quantization(0.25, 4))
    assert ofmap_of(Mul(), x, y, output=Quantization(0.5, 2)).tolist() == [[5]]


def test_batch_norm() -> None:
    # channel 0: 3 (x - 1) / sqrt(3 + 1) + 2: x = 5 -> 8; channel 1: -1 (x - 0) / 1 + 0.5 -> -4.5
    arrays = {
        "gamma": np.float32([3, -1]),
        "beta": np.float32([2, 0.5]),
        "mean": np.float32([1, 0]),
        "variance": np.float32([3, 0]),
    }
    x = [[[5]], [[5]]]
    ofmap = ofmap_of(BatchNorm(epsilon=1.0), int8(x), arrays=arrays)
    assert ofmap.tolist() == [[[[8]], [[-4]]]]
    ofmap = ofmap_of(BatchNorm(epsilon=1.0), float32(x), arrays=arrays, arithmetic=FLOAT32)
    assert ofmap.tolist() == [[[[8]], [[-4.5]]]]


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        # codes -128, -32, 0, 32, 127 stand for -8, -2, 0, 2, 7.9375 (scale 1/16)
        (Relu(), [0, 0, 0, 32, 127]),
        (LeakyRelu(slope=0.25), [-32, -8, 0, 32, 127]),
        # 16 / (1 + e^8) = 0.005, 16 / (1 + e^2) = 1.907, 8, 14.09, 15.99
        (Sigmoid(), [0, 2, 8, 14, 16]),
        # 16 tanh 2 = 15.42
        (Tanh(), [-16, -15, 0, 15, 16]),
    ],
)
def test_tables(op: Op, expected: list[int]) -> None:
    common = Quantization(1 / 16, 0)
    assert ofmap_of(op, int8([-128, -32, 0, 32, 127], common), output=common).tolist() == [expected]


def test_table_rescales() -> None:
    # uint8 around 128, scale 1/16 -> int codes of 1/256 from 0: sigmoid(0) = 0.5 -> 128;
    # sigmoid(2) = 0.8808 -> 225.5 (225.48)
    x = uint8([128, 160], Quantization(1 / 16, 128))
    ofmap = ofmap_of(Sigmoid(), x, output=Quantization(1 / 256, 0), arithmetic=UINT8)
    assert ofmap.tolist() == [[128, 225]]


def test_fused_table_reads_codes_of_the_output() -> None:
    # psum 2 at scale 1 -> code 32 of 1/16 -> 16 tanh(2) = 15.42
    op = Dense(out_features=1, bias=False, activation="tanh")
    ofmap = ofmap_of(op, int8([2]), output=Quantization(1 / 16, 0), arrays=weights([[1]]))
    assert ofmap.tolist() == [[15]]


def test_int16_table() -> None:
    x = Tensor(np.array([[-32768, 8192]], np.int16), Quantization(2**-12, 0))
    # 4096 tanh(-8) = -4095.9991, 4096 tanh(2) = 3948.66
    ofmap = ofmap_of(Tanh(), x, output=Quantization(2**-12, 0), arithmetic=INT16)
    assert ofmap.tolist() == [[-4096, 3949]]


# --- Across channels ------------------------------------------------------------------------------


def test_softmax() -> None:
    # scale ln 2: shares 4 : 2 : 1 : 1 of 8, in 256ths from -128
    x = int8([12, 11, 10, 10], Quantization(float(np.log(2)), 0))
    ofmap = ofmap_of(Softmax(), x, output=Quantization(1 / 256, -128))
    assert ofmap.tolist() == [[0, -64, -96, -96]]


def test_softmax_over_channels() -> None:
    x = int8([[[1, 0]], [[0, 0]]], Quantization(float(np.log(3)), 0))
    ofmap = ofmap_of(Softmax(), x, output=Quantization(1 / 256, -128))
    assert ofmap.tolist() == [[[[64, 0]], [[-64, 0]]]]  # 3/4 and 1/2; 1/4 and 1/2


def test_lrn() -> None:
    # size 3, alpha 3, beta 1, bias 1: x / (1 + sum of squares of itself and its neighbours)
    # scale 1/4: reals 1, 2, 0; sums 5, 5, 4; 1/6, 2/6, 0, in 60ths: 10, 20, 0
    op = Lrn(size=3, alpha=3.0, beta=1.0, bias=1.0)
    x = int8([[[4]], [[8]], [[0]]], Quantization(0.25, 0))
    ofmap = ofmap_of(op, x, output=Quantization(1 / 60, 0))
    assert ofmap.ravel().tolist() == [10, 20, 0]
    ofmap = ofmap_of(op, float32([[[1]], [[2]], [[0]]]), arithmetic=FLOAT32)
    np.testing.assert_allclose(ofmap.ravel(), [1 / 6, 2 / 6, 0], rtol=1e-6)


def test_lrn_of_int16_indexes_by_leading_bits() -> None:
    # the table has 2^20 entries for sums up to 5 * 2^30: within 2^-12 of the exact result
    x = Tensor(np.array([[[[30000]], [[-20000]]]], np.int16), Quantization(2**-12, 0))
    op = Lrn(size=5, alpha=1.0, beta=0.75)
    ofmap = ofmap_of(op, x, output=Quantization(2**-12, 0), arithmetic=INT16)
    reals = np.array([30000, -20000]) / 4096
    expected = 4096 * reals / (1 + np.square(reals).sum() / 5) ** 0.75
    np.testing.assert_allclose(ofmap.ravel(), expected, atol=1)


# --- Moving values --------------------------------------------------------------------------------


def test_concat_joins_channels_at_one_scale() -> None:
    # 10 at 0.5 from zero point 2 is 4.0; at scale 1: 4
    x, y = int8([[[7]]]), int8([[[10]], [[-2]]], Quantization(0.5, 2))
    assert ofmap_of(Concat(), x, y).tolist() == [[[[7]], [[4]], [[-2]]]]


def test_flatten_reshape_dropout() -> None:
    x = int8([[[1, 2]], [[3, 4]]])
    assert ofmap_of(Flatten(), x).tolist() == [[1, 2, 3, 4]]
    assert ofmap_of(Reshape(shape=(1, 4)), x).tolist() == [[[1, 2, 3, 4]]]
    assert np.array_equal(ofmap_of(Dropout(), x), x.values)


# --- Floats ---------------------------------------------------------------------------------------


def test_float_conv() -> None:
    op = Conv(out_channels=1, kernel=(1, 2), padding=(0, 0, 1, 0), activation="leaky_relu")
    arrays = {"weight": np.float32([[[[0.5, -2]]]]), "bias": np.float32([0.25])}
    ofmap = ofmap_of(op, float32([[[1, -1]]]), arithmetic=FLOAT32, arrays=arrays)
    # -2 + 0.25 = -1.75 -> -0.0175; 0.5 + 2 + 0.25 = 2.75
    np.testing.assert_allclose(ofmap.ravel(), [-0.0175, 2.75], rtol=1e-6)


def test_bfloat16_ofmap_is_rounded_once() -> None:
    # 1 + 2^-8 is half way between 1 and 1 + 2^-7: the sum in float32 keeps it, the ofmap does not
    arithmetic = arithmetic_of("bfloat16", "bfloat16", "float32", "bfloat16")
    arrays = {"weight": np.float32([[1, 1, 1]])}
    x = float32([1, 2**-8, 2**-8])
    op = Dense(out_features=1, bias=False)
    assert ofmap_of(op, x, arithmetic=arithmetic, arrays=arrays)[0, 0] == 1 + 2**-7
    narrow = arithmetic_of("bfloat16", "bfloat16", "bfloat16", "bfloat16")
    x = float32([1, 2**-8])
    arrays = {"weight": np.float32([[1, 1]])}
    assert ofmap_of(op, x, arithmetic=narrow, arrays=arrays)[0, 0] == 1


def test_float_softmax_of_large_values() -> None:
    ofmap = ofmap_of(Softmax(), float32([1000, 1000]), arithmetic=FLOAT32)
    assert ofmap.tolist() == [[0.5, 0.5]]


# --- Networks -------------------------------------------------------------------------------------


def test_layers_follow_the_graph_and_release_what_is_read() -> None:
    # x = [1, -2]: relu [1, 0]; add x + relu = [2, -2]; flatten the same
    network = build_network(
        "branch",
        {"x": (2,)},
        [
            LayerSpec("relu", Relu(), ("x",)),
            LayerSpec("sum", Add(), ("x", "relu")),
            LayerSpec("double", Add(), ("sum", "sum")),
        ],
    )
    parameters = Parameters.of(network, INT8, given={"x": np.array([1, -2], np.int8)})
    ofmaps = {
        work.layer.name: ofmap.values.tolist()
        for work, ofmap in reference(network, INT8, parameters)
    }
    assert ofmaps == {"relu": [[1, 0]], "sum": [[2, -2]], "double": [[4, -4]]}


def test_every_layer_type_has_a_rule() -> None:
    for op in OPS.values():
        assert _compute.dispatch(op) is not _compute.dispatch(object), op.name
