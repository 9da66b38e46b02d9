"""Layers of sequences: a matrix has a row for each token, its features are the columns."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from accelsim.errors import ShapeError
from accelsim.network.ops.base import Op, Unary, only
from accelsim.network.ops.fields import Axis, NonNegative, Positive, Real, Shape
from accelsim.network.ops.joins import Parts, SplitPart
from accelsim.network.ops.norms import Softmax
from accelsim.network.ops.products import AttentionContext, AttentionScores


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLayer(Op):
    """What all of them share."""

    def moved(self, tokens: int) -> "TokenLayer":
        """The layer of a sequence that begins so many tokens later."""
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding(TokenLayer):
    """Numbers of entries (T,) become the entries, rows of a learned table: (T, features).

    The numbers are a network input, or computed: then the nearest whole number is meant, a negative
    one counts from the end, and one beyond the table means its first or last entry. Each token's
    row is fetched; the numbers themselves are not counted.
    """

    name: ClassVar[str] = "embedding"
    reads_numbers: ClassVar[bool] = True
    entries: Positive
    features: Positive

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (*only(inputs, (1,)), self.features)

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        return {"weight": (self.entries, self.features)}


@dataclass(frozen=True, slots=True, kw_only=True)
class AsValues(Unary):
    """Numbers of entries, as values to compute with: it costs as a copy does."""

    name: ClassVar[str] = "as_values"
    reads_numbers: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Position(TokenLayer):
    """A learned row for each place of the sequence is added to its token, from `offset` on.

    `length` is how many rows are learned; they are fetched for every image.
    """

    name: ClassVar[str] = "position"
    length: Positive
    offset: NonNegative = 0

    def moved(self, tokens: int) -> "Position":
        return Position(length=self.length, offset=self.offset + tokens)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs, (2,))
        if self.offset + shape[0] > self.length:
            raise ShapeError(f"{shape[0]} tokens from {self.offset} on exceed length {self.length}")
        return shape

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        return {"weight": (self.length, inputs[0][1])}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassToken(TokenLayer):
    """A learned token before all others: (1 + T, features). It costs as a copy does."""

    name: ClassVar[str] = "class_token"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        tokens, features = only(inputs, (2,))
        return tokens + 1, features

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        return {"weight": (1, inputs[0][1])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotary(TokenLayer):
    """Rotary position embedding (Su et al. 2021): pairs of features of each head are turned.

    Pair i of a head of d features, of token t, by (t + offset) * base^(-2 i / d). A pair is
    features i and i + d / 2, or 2 i and 2 i + 1 if `interleaved`. Sines are not counted as traffic.
    """

    name: ClassVar[str] = "rotary"
    sense: ClassVar[int] = 1
    heads: Positive
    base: Annotated[Real, Field(gt=0)] = 10000.0
    interleaved: bool = False
    offset: NonNegative = 0

    def moved(self, tokens: int) -> "Rotary":
        offset = self.offset + tokens
        return Rotary(heads=self.heads, base=self.base, interleaved=self.interleaved, offset=offset)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = only(inputs, (2,))
        if shape[1] % (2 * self.heads):
            raise ShapeError(f"{shape[1]} features are no pairs of {self.heads} heads")
        return shape

    def pairs(self, shape: Shape) -> int:
        """Pairs of features of a head."""
        return shape[1] // self.heads // 2

    @property
    def in_order(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Append(TokenLayer):
    """Rows behind those that a cache holds already; they are written there, so nothing moves.

    Of matrices, or of as many of each (heads, T, features).
    """

    name: ClassVar[str] = "append"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if len(inputs) != 2 or any(len(shape) < 2 for shape in inputs):
            raise ShapeError(f"takes two matrices, or as many of each, found {list(inputs)}")
        (*lead, past, features), (*others, new, own) = inputs
        if features != own:
            raise ShapeError(f"features differ: {inputs[0]} and {inputs[1]}")
        if lead != others:
            raise ShapeError(f"takes as many matrices of each, found {list(inputs)}")
        return (*lead, past + new, features)


# --- Made of several layers -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite(Op):
    """What a network file has as one layer, and a network as several."""

    one_ofmap: ClassVar[bool] = True
    """Whether its name means its last layer; else each is called by its own name."""

    @abstractmethod
    def parts(self, name: str, inputs: tuple[str, ...]) -> list[tuple[str, Op, tuple[str, ...]]]:
        """Its layers: name, type and inputs; the last one is what others read. May raise
        ShapeError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention(Composite):
    """softmax(queries keys^T * scale) values, head by head, of (T, heads d) and (S, key_heads d).

    Its layers are NAME/scores, NAME/shares and NAME/context.
    """

    name: ClassVar[str] = "attention"
    heads: Positive
    key_heads: Positive | None = None
    scale: Real | None = None
    causal: bool = False

    def parts(self, name: str, inputs: tuple[str, ...]) -> list[tuple[str, Op, tuple[str, ...]]]:
        if len(inputs) != 3:
            raise ShapeError(f"takes queries, keys and values, found {len(inputs)} inputs")
        queries, keys, values = inputs
        heads, own = self.heads, self.key_heads
        scores = AttentionScores(heads=heads, key_heads=own, scale=self.scale)
        context = AttentionContext(heads=heads, key_heads=own)
        shares = Softmax(axis=-1, causal=self.causal)
        return [
            (f"{name}/scores", scores, (queries, keys)),
            (f"{name}/shares", shares, (f"{name}/scores",)),
            (f"{name}/context", context, (f"{name}/shares", values)),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split(Composite):
    """Parts of an axis, whose `sizes` add up to it: NAME/0, NAME/1 and so on."""

    name: ClassVar[str] = "split"
    one_ofmap: ClassVar[bool] = False
    sizes: Parts
    axis: Axis | None = None

    def parts(self, name: str, inputs: tuple[str, ...]) -> list[tuple[str, Op, tuple[str, ...]]]:
        numbers = range(len(self.sizes))
        return [
            (f"{name}/{at}", SplitPart(sizes=self.sizes, axis=self.axis, part=at), inputs)
            for at in numbers
        ]
