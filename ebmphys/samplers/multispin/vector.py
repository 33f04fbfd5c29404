"""Vectors of 512 bits in compiled kernels: eight 64-bit words that load, store and combine as one value.

LLVM turns them into the widest registers that the machine has (one of AVX-512, two of AVX2, four of SSE2 or NEON), so
that one kernel gives the same bits everywhere.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import wraps
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, overload, register_model, type_callable

LANES = 8
_VECTOR = ir.VectorType(ir.IntType(64), LANES)
_WORD = ir.IntType(64)


class VectorType(types.Type):
    """The numba type of a vector of 512 bits."""

    def __init__(self) -> None:
        super().__init__(name="Bits512")


vector_type = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _VECTOR)


def _lower_binary(operation: Any, build: Callable[[ir.IRBuilder, Any, Any], Any]) -> None:
    @type_callable(operation)
    def typed(context: Any) -> Any:
        def both(left: Any, right: Any) -> Any:
            return vector_type if left == right == vector_type else None

        return both

    @lower_builtin(operation, vector_type, vector_type)
    def lowered(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return build(builder, *args)


_lower_binary(operator.and_, lambda builder, a, b: builder.and_(a, b))
_lower_binary(operator.or_, lambda builder, a, b: builder.or_(a, b))
_lower_binary(operator.xor, lambda builder, a, b: builder.xor(a, b))
_lower_binary(operator.add, lambda builder, a, b: builder.add(a, b))


@type_callable(operator.invert)
def _type_invert(context: Any) -> Any:
    return lambda value: vector_type if value == vector_type else None


@lower_builtin(operator.invert, vector_type)
def _lower_invert(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.not_(args[0])


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


@intrinsic
def load(typing_context: Any, words: Any, index: Any) -> Any:
    """The vector that begins at ``index`` of a contiguous one-dimensional array of 64-bit words."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_address(context, builder, signature.args[0], args[0], args[1]), align=8)

    return vector_type(words, types.intp), generate


@intrinsic
def store(typing_context: Any, words: Any, index: Any, value: Any) -> Any:
    """Write a vector at ``index`` of a contiguous one-dimensional array of 64-bit words."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _address(context, builder, signature.args[0], args[0], args[1]), align=8)
        return context.get_dummy_value()

    return types.void(words, types.intp, value), generate


@intrinsic
def broadcast(typing_context: Any, word: Any) -> Any:
    """Eight copies of one 64-bit word."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splat(builder, args[0])

    return vector_type(types.uint64), generate


@intrinsic
def rotate_left(typing_context: Any, value: Any, by: Any) -> Any:
    """Each word rotated towards its upper end by the same number of bits, 0 to 63."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rotate = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), "llvm.fshl.v8i64"
        )
        return builder.call(rotate, [args[0], args[0], _splat(builder, args[1])])

    return vector_type(vector_type, types.uint64), generate


@intrinsic
def shift_left(typing_context: Any, value: Any, by: Any) -> Any:
    """Each word shifted towards its upper end by the same number of bits, 0 to 63."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.shl(args[0], _splat(builder, args[1]))

    return vector_type(vector_type, types.uint64), generate


@intrinsic
def any_bit(typing_context: Any, value: Any) -> Any:
    """Whether any of the 512 bits is set."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        compared = builder.icmp_unsigned("!=", args[0], ir.Constant(_VECTOR, [0] * LANES))
        mask = builder.bitcast(compared, ir.IntType(LANES))
        return builder.icmp_unsigned("!=", mask, ir.Constant(ir.IntType(LANES), 0))

    return types.boolean(vector_type), generate


@intrinsic
def words_below(typing_context: Any, left: Any, right: Any) -> Any:
    """All bits of a word set where the word of ``left`` is below that of ``right``, unsigned; none elsewhere."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.sext(builder.icmp_unsigned("<", args[0], args[1]), _VECTOR)

    return vector_type(vector_type, vector_type), generate


def chosen_for(stub: Any) -> Callable[[Callable[..., Any]], None]:
    """Give a stub what kernels are to compile for it, always inlined.

    The decorated function sees the types of a call, constants as literals, and returns the implementation for them.
    """

    def register(choose: Callable[..., Any]) -> None:
        # numba compares the signatures, annotations and all, of the chooser and of what it returns.
        choose.__annotations__.clear()

        @wraps(choose)
        def plain(*args: Any) -> Any:
            implementation = choose(*args)
            implementation.__annotations__.clear()
            return implementation

        overload(stub, jit_options={"forceinline": True}, prefer_literal=True)(plain)

    return register


def _splat(builder: Any, word: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, word, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))
