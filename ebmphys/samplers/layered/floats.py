"""Vectors of sixteen float32 in compiled kernels, and the heat-bath decision for sixteen units at once.

LLVM turns them into the widest registers that the machine has, as it does the words of ``multispin.vector``.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

from ebmphys.samplers.multispin.vector import vector_type
from ebmphys.samplers.two_valued import EXP2, GRID, LIMIT, ROUND

SIXTEEN = 16
_FLOATS = ir.VectorType(ir.FloatType(), SIXTEEN)
_INTS = ir.VectorType(ir.IntType(32), SIXTEEN)


class FloatsType(types.Type):
    """The numba type of a vector of sixteen float32."""

    def __init__(self) -> None:
        super().__init__(name="Floats16")


floats_type = FloatsType()


@register_model(FloatsType)
class _FloatsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _FLOATS)


@type_callable(operator.add)
def _type_add(context: Any) -> Any:
    return lambda left, right: floats_type if left == right == floats_type else None


@lower_builtin(operator.add, floats_type, floats_type)
def _lower_add(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.fadd(*args)


@intrinsic
def load_floats(typing_context: Any, numbers: Any, index: Any) -> Any:
    """The sixteen numbers that begin at ``index`` of a contiguous one-dimensional array of float32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load(builder.bitcast(builder.gep(data, [args[1]]), _FLOATS.as_pointer()), align=4)

    return floats_type(numbers, types.intp), generate


@intrinsic
def all_floats(typing_context: Any, number: Any) -> Any:
    """Sixteen times the same number."""
    return floats_type(types.float32), lambda context, builder, signature, args: _splat(builder, args[0])


@intrinsic
def add_where(typing_context: Any, floats: Any, bits: Any, number: Any) -> Any:
    """The number added where the k-th of the lowest sixteen bits of a word is set."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        mask = builder.bitcast(builder.trunc(args[1], ir.IntType(SIXTEEN)), ir.VectorType(ir.IntType(1), SIXTEEN))
        return builder.select(mask, builder.fadd(args[0], _splat(builder, args[2])), args[0])

    return floats_type(floats_type, types.uint64, types.float32), generate


@intrinsic
def heat_bath_bits(typing_context: Any, fields: Any, rate: Any, words: Any) -> Any:
    """A set bit for each unit of sixteen with u < 1 / (1 + 2^(rate field)), u the upper 24 bits of its word.

    The same decision as ``two_valued.decide``; a field that is not a number gives an unset bit. ``rate`` is a number,
    or sixteen.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def call(name: str, *operands: Any) -> Any:
            kind = ir.FunctionType(_FLOATS, [_FLOATS] * len(operands))
            function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v16f32")
            return builder.call(function, operands)

        # max and min return the number where one of both is none, so NaN is caught on the way in.
        t = builder.fmul(args[0], args[1] if rate == floats_type else _splat(builder, args[1]))
        known = builder.fcmp_ordered("ord", t, t)
        t = call("minnum", call("maxnum", t, _all(-LIMIT)), _all(LIMIT))
        shifted = builder.fadd(t, _all(ROUND))
        f = builder.fsub(t, builder.fsub(shifted, _all(ROUND)))
        power = _all(EXP2[-1])
        for coefficient in reversed(EXP2[:-1]):
            power = call("fma", power, f, _all(coefficient))
        exponent = builder.shl(builder.bitcast(shifted, _INTS), ir.Constant(_INTS, [23] * SIXTEEN))
        odds = builder.bitcast(builder.add(builder.bitcast(power, _INTS), exponent), _FLOATS)
        u = builder.lshr(builder.bitcast(args[2], _INTS), ir.Constant(_INTS, [8] * SIXTEEN))
        u = builder.sitofp(u, _FLOATS)
        upper = builder.and_(known, builder.fcmp_ordered("<", call("fma", u, odds, u), _all(GRID)))
        return builder.zext(builder.bitcast(upper, ir.IntType(SIXTEEN)), ir.IntType(64))

    return types.uint64(floats_type, rate, vector_type), generate


def _all(number: Any) -> ir.Constant:
    return ir.Constant(_FLOATS, [float(number)] * SIXTEEN)


def _splat(builder: Any, number: Any) -> Any:
    undefined = ir.Constant(_FLOATS, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), SIXTEEN), [0] * SIXTEEN))
