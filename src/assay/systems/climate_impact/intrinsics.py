"""What numba cannot say: a bit trick, a maximum in one instruction, accesses without alias.

LLVM gives up on vectorising loops with more than eight pairs of arrays that might overlap, so the
kernels' loads and stores say that they do not.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from assay.parts.compiled import kept_on_disk

__all__ = ["compiled", "inverse_cube_root_guess", "larger", "read", "write"]

# An intrinsic is called without the typing context it is declared with; its types do not say so.
_intrinsic: Any = intrinsic


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a kernel; sums may be contracted and zeros lose their sign."""
    return kept_on_disk(function, fastmath={"contract", "nsz"})


@_intrinsic
def inverse_cube_root_guess(typingctx, x):
    """x^(-1/3) within 3.4 %: divide the exponent bits by -3."""

    def codegen(context, builder, signature, args):
        (value,) = args
        if signature.args[0] == types.float32:
            i32, f32 = ir.IntType(32), ir.FloatType()
            bits = builder.bitcast(value, i32)
            scaled = builder.fmul(builder.sitofp(bits, f32), ir.Constant(f32, 1.0 / 3.0))
            guess = builder.sub(ir.Constant(i32, 0x54A1F400), builder.fptosi(scaled, i32))
            return builder.bitcast(guess, f32)
        i64 = ir.IntType(64)
        shift = ir.Constant(i64, 32)
        high = builder.lshr(builder.bitcast(value, i64), shift)
        third = builder.lshr(builder.mul(high, ir.Constant(i64, 0x55555556)), shift)
        guess = builder.shl(builder.sub(ir.Constant(i64, 0x553EE980), third), shift)
        return builder.bitcast(guess, ir.DoubleType())

    if x in (types.float32, types.float64):
        return x(x), codegen
    return None


@_intrinsic
def larger(typingctx, x, y):
    """max(x, y) as one instruction: LLVM makes of ``p[i] = max(p[i], x)`` a slow masked store."""

    def codegen(context, builder, signature, args):
        kind = args[0].type
        function = builder.module.declare_intrinsic(
            "llvm.maxnum", [kind], ir.FunctionType(kind, [kind, kind])
        )
        return builder.call(function, args, fastmath=("nnan", "nsz"))

    return x(x, y), codegen


def _element(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def _mark(builder, instruction, place: str) -> None:
    """Declare one access not to alias any access of the same loop in another slot.

    ``place`` is the loop's letter, then the slot: none for arrays that the loop only reads, a digit
    for each array it writes. Rows of one array must share a slot if the loop writes any of them.
    """
    module = builder.module
    loop, own = place[0], place[1:]
    root = module.add_metadata([f"assay {loop}"])
    scopes = {slot: module.add_metadata([f"assay {loop}{slot}", root]) for slot in ("", *"0123")}
    instruction.set_metadata("alias.scope", module.add_metadata([scopes.pop(own)]))
    instruction.set_metadata("noalias", module.add_metadata(list(scopes.values())))


@_intrinsic(prefer_literal=True)
def read(typingctx, array, index, place):
    """``array[index]`` without wrap-around, at a `_mark`ed place."""
    if not isinstance(place, types.Literal):
        return None
    name = place.literal_value

    def codegen(context, builder, signature, args):
        value = builder.load(_element(context, builder, signature.args[0], args[0], args[1]))
        _mark(builder, value, name)
        return value

    return array.dtype(array, types.intp, place), codegen


@_intrinsic(prefer_literal=True)
def write(typingctx, array, index, value, place):
    """``array[index] = value`` without wrap-around, at a `_mark`ed place."""
    if not isinstance(place, types.Literal):
        return None
    name = place.literal_value

    def codegen(context, builder, signature, args):
        pointer = _element(context, builder, signature.args[0], args[0], args[1])
        _mark(builder, builder.store(args[2], pointer), name)
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype, place), codegen
