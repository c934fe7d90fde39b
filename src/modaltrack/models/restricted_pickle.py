# SPDX-License-Identifier: Apache-2.0
"""Reads a pickle as data: its opcodes are interpreted here, so no class is imported and nothing named in it is called.

Python's own unpickler calls whatever a file names. This one knows a short table of builders (containers, numbers,
tensors still without their values); every other class or function becomes an inert ``Placeholder`` that swallows what
the file wants done with it. Format: the documentation of Python's ``pickletools``, protocols 0 to 5.

``torch.load(weights_only=True)`` is not used: it runs nothing either, but it does not bound what reading costs. A
dictionary key of 60 tuples, each holding the last one twice (200 bytes), never returns from ``hash``, a million nested
tuples end the process, and it knows protocol 2 only. Here every opcode counts against a budget, what builders copy is
bounded by the pickle's own length, and only text, numbers and bytes are keys.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

Value = Any  # what a file holds is known only when it is looked at; the builders check what they use
STORAGE_TYPES = {
    f"{module}.{kind}Storage": dtype
    for module in ("torch", "torch.storage", "torch.cuda")
    for kind, dtype in {
        "Double": torch.float64,
        "Float": torch.float32,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Untyped": torch.uint8,
        "Bool": torch.bool,
    }.items()
}
DTYPES = {str(dtype): dtype for dtype in STORAGE_TYPES.values()}  # "torch.float32"
_NUMPY = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b"}  # numpy's names -> struct's
_NUMPY |= {"u8": "Q", "u4": "I", "u2": "H", "u1": "B", "b1": "?"}
PICKLE_BYTES = 2**26  # a pickle without its tensors; those of the largest published trackers have about 1 MB
_OPCODES = 1_000_000  # a checkpoint of 1,000 tensors with its optimiser has 100,000
_COPIES = 2**27  # bytes that builders may copy, however long the pickle is
_NAME_LENGTH = 500  # characters of a dotted name
_DIMENSIONS = 16
_SIZE_LIMIT = 2**40  # product of a tensor's sizes, those of 0 apart: torch computes strides from it
_EXPANDED_LIMIT = 2**24  # elements of a tensor that repeats its storage by strides of zero


@dataclass(frozen=True)
class Storage:
    """A block of values that lies elsewhere in the file: its key there, type and number of values."""

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class TensorPlan:
    """A tensor without its values: where in which storage it lies, in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class Name:
    """A class or function that the file names; it is neither imported nor looked up."""

    path: str


@dataclass(eq=False)
class Placeholder:
    """What an unknown class or function would have made. Never called, never filled."""

    path: str


@dataclass(eq=False)
class NumpyType:
    """A numpy number type, ``code`` as in "f8"; its byte order comes after it in the file."""

    code: str
    order: str = "<"


class _Mark:
    """Where the operands of an opcode with any number of them begin."""


@dataclass
class Unpickled:
    """What a pickle held: its value, and the unknown names in it; ``called`` are those it wanted to have called.

    Attributes:
        storages: key -> every block of values that it refers to, those of dropped parts too.
    """

    value: Any = None
    storages: dict[str, Storage] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)


def _tensor(storage: Value, offset: Value, shape: Value, stride: Value, *_: Value) -> Value:
    if not isinstance(storage, Storage):
        return Placeholder("a tensor without a storage")
    if not len(shape) == len(stride) <= _DIMENSIONS:
        raise ValueError(f"a tensor has {len(shape)} sizes and {len(stride)} strides")
    if not all(type(n) is int and 0 <= n < 2**48 for n in (offset, *shape, *stride)):
        raise ValueError("a tensor has an impossible shape")
    count = math.prod(shape)
    if math.prod(n for n in shape if n) > _SIZE_LIMIT:
        raise ValueError(f"a tensor has the impossible shape {tuple(shape)}")
    last = offset + sum((n - 1) * s for n, s in zip(shape, stride))
    if count and last >= storage.count:
        raise ValueError(f"a tensor of shape {tuple(shape)} reaches beyond its {storage.count} stored values")
    if count > max(storage.count, _EXPANDED_LIMIT):
        raise ValueError(f"a tensor of shape {tuple(shape)} claims more values than the file holds")
    return TensorPlan(storage, offset, tuple(shape), tuple(stride))


def _numpy_scalar(kind: Value, data: Value = None, *_: Value) -> Value:
    if not isinstance(kind, NumpyType) or kind.code not in _NUMPY or not isinstance(data, bytes | str):
        return Placeholder("numpy.scalar")
    raw = data[:16].encode("latin1") if isinstance(data, str) else data
    return struct.unpack(kind.order + _NUMPY[kind.code], raw)[0]


def _size(value: object) -> int:
    """Bytes of a text, and of the references in a container."""
    if isinstance(value, str | bytes):
        return len(value)
    return 8 * len(value) if isinstance(value, tuple | list | dict | set | frozenset) else 0


def _keys(values: Iterable[Any]) -> list[Any]:
    """``values`` if each can be a key: hashing a nested tuple can take for ever, or more stack than there is."""
    kept = list(values)
    for value in kept:
        plain = isinstance(value, str | bytes | float | complex | None | torch.dtype)
        if not plain and not (isinstance(value, int) and value.bit_length() <= 64):
            raise ValueError(f"it has a key that is no text, number or bytes but {type(value).__name__}")
    return kept


def _dictionary(items: Value = ()) -> OrderedDict[Any, Any]:
    pairs = [(k, v) for k, v in items]
    _keys(k for k, _ in pairs)
    return OrderedDict(pairs)


def _numpy_type(code: Value, *_: Value) -> Value:
    return NumpyType(code) if isinstance(code, str) and len(code) < 8 else Placeholder("numpy.dtype")


def _complex(real: Value = 0.0, imaginary: Value = 0.0) -> complex:
    if type(real) not in (int, float) or type(imaginary) not in (int, float):
        raise ValueError("it has a complex number of things that are no numbers")
    return complex(real, imaginary)


# All that is ever called, under every name that files use for it. None of them does anything but make its value.
BUILDERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _dictionary,
    "collections.defaultdict": lambda *_: {},
    "_codecs.encode": lambda text, coding="latin1": text.encode("latin1") if isinstance(text, str) else b"",
    "torch.Size": lambda sizes=(): torch.Size([n for n in sizes if type(n) is int]),
    "torch.device": lambda *names: Placeholder("torch.device"),  # tensors are always built on the CPU
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
    "numpy.dtype": _numpy_type,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "builtins.set": lambda items=(): set(_keys(items)),
    "builtins.frozenset": lambda items=(): frozenset(_keys(items)),
    "builtins.list": lambda items=(): list(items),
    "builtins.tuple": lambda items=(): tuple(items),
    "builtins.dict": lambda *_: {},
    "builtins.complex": _complex,
}

_VALUES = {"INT", "LONG", "FLOAT", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "STRING", "BINSTRING"}
_VALUES |= {"SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES"}
_VALUES |= {"SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_COLLECT: dict[str, Callable[[list[Any]], Any]] = {
    "LIST": list,
    "TUPLE": tuple,
    "FROZENSET": lambda items: frozenset(_keys(items)),
    "DICT": lambda items: dict(zip(_keys(items[::2]), items[1::2])),
}


def read_pickle(file: io.BytesIO) -> Unpickled:
    """Interpret one pickle from ``file``, at most ``PICKLE_BYTES`` long, and leave the position behind it.

    Raises:
        ValueError: For a pickle that is damaged, or asks for more work or memory than its length explains.
    """
    machine = _Machine(copies=min(1000 + 16 * len(file.getbuffer()), _COPIES))
    try:
        for opcode, argument, _ in pickletools.genops(file):
            machine.do(opcode.name, argument)
        (machine.reading.value,) = machine.take(1)
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError, UnicodeError, struct.error) as error:
        raise ValueError(f"its pickle is damaged ({type(error).__name__}: {error})") from None
    return machine.reading


class _Machine:
    """The stack and the memo of the pickle's little language, and what is left of its budget."""

    def __init__(self, copies: int) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.reading = Unpickled()
        self.opcodes = _OPCODES  # left to do
        self.copies = copies  # bytes that builders may still copy: in an honest file, each part has its own opcode

    def do(self, name: str, argument: Value) -> None:
        """Carry out one opcode."""
        stack = self.stack
        self.opcodes -= 1
        if self.opcodes < 0:
            raise ValueError(f"its pickle has more than {_OPCODES:,} instructions, which no checkpoint needs")
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _COLLECT:
            stack.append(_COLLECT[name](self.since_mark()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple(self.take(int(name[-1]))))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[int(argument)])
        elif name in ("PROTO", "FRAME", "STOP"):
            pass
        elif (method := getattr(self, f"op_{name.lower()}", None)) is not None:
            method(argument)
        else:  # registered extensions, buffers outside the file, storages named by plain text
            raise ValueError(f"its pickle uses {name}, which no checkpoint needs")

    def take(self, count: int) -> list[Any]:
        """The last ``count`` values, off the stack."""
        taken = [self.stack.pop() for _ in range(count)][::-1]
        if any(isinstance(value, _Mark) for value in taken):
            raise IndexError("a mark is where a value should be")
        return taken

    def since_mark(self) -> list[Any]:
        """All values after the last mark, off the stack together with it."""
        at = next(i for i in range(len(self.stack) - 1, -2, -1) if i < 0 or isinstance(self.stack[i], _Mark))
        if at < 0:
            raise IndexError("there is no mark")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def pay(self, *parts: object) -> None:
        """Count the bytes that a builder is about to copy, of text and of references."""
        self.copies -= sum(map(_size, parts))
        if self.copies < 0:
            raise ValueError("its pickle copies more than it holds, which no checkpoint needs")

    def call(self, target: Value, arguments: Value) -> Value:
        """The value of a call that the file asks for: made by a builder of this package, or an inert placeholder."""
        path = target.path if isinstance(target, Name | Placeholder) else type(target).__name__
        if isinstance(target, Name) and path in BUILDERS and isinstance(arguments, tuple):
            self.pay(arguments, *arguments[:2])
            return BUILDERS[path](*arguments)
        if isinstance(target, Name) and path == "copyreg._reconstructor" and isinstance(arguments, tuple) and arguments:
            return self.make(arguments[0])
        self.reading.unknown.add(path)
        self.reading.called.add(path)
        return Placeholder(path)

    def make(self, kind: Value, *arguments: Value) -> Value:
        """A new object of a class: one of this package's if the class is known, otherwise an inert placeholder."""
        path = kind.path if isinstance(kind, Name | Placeholder) else type(kind).__name__
        if isinstance(kind, Name) and path in BUILDERS:
            self.pay(arguments, *arguments[:2])
            return BUILDERS[path](*arguments)
        self.reading.unknown.add(path)
        return Placeholder(path)

    def name(self, module: Value, attribute: Value) -> Value:
        """What a dotted name stands for: a type of numbers, or the name itself."""
        if not isinstance(module, str) or not isinstance(attribute, str) or len(module + attribute) > _NAME_LENGTH:
            raise ValueError("it names a class or function by something that is no name")
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)  # Python 2's names
        path = f"{module}.{attribute}"
        return DTYPES.get(path, Name(path))

    # The opcodes that do more than push a value; ``argument`` is what follows them in the file.

    def op_mark(self, argument: Value) -> None:
        self.stack.append(_Mark())

    def op_pop(self, argument: Value) -> None:
        self.stack.pop()

    def op_pop_mark(self, argument: Value) -> None:
        self.since_mark()

    def op_dup(self, argument: Value) -> None:
        self.stack.append(self.stack[-1])

    def op_append(self, argument: Value) -> None:
        self.extend(self.take(1))

    def op_appends(self, argument: Value) -> None:
        self.extend(self.since_mark())

    def op_additems(self, argument: Value) -> None:
        values = self.since_mark()
        if isinstance(self.stack[-1], set):
            self.stack[-1].update(_keys(values))

    def extend(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def op_setitem(self, argument: Value) -> None:
        self.set_items(self.take(2))

    def op_setitems(self, argument: Value) -> None:
        self.set_items(self.since_mark())

    def set_items(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            self.stack[-1].update(zip(_keys(values[::2]), values[1::2]))

    def op_global(self, argument: str) -> None:
        self.stack.append(self.name(*argument.split(" ", 1)))

    def op_stack_global(self, argument: Value) -> None:
        self.stack.append(self.name(*self.take(2)))

    def op_reduce(self, argument: Value) -> None:
        self.stack.append(self.call(*self.take(2)))

    def op_newobj(self, argument: Value) -> None:
        kind, arguments = self.take(2)
        self.pay(arguments)
        self.stack.append(self.make(kind, *arguments))

    def op_newobj_ex(self, argument: Value) -> None:
        kind, arguments, _ = self.take(3)
        self.pay(arguments)
        self.stack.append(self.make(kind, *arguments))

    def op_obj(self, argument: Value) -> None:
        kind, *arguments = self.since_mark()
        self.stack.append(self.call(kind, tuple(arguments)))

    def op_inst(self, argument: str) -> None:
        arguments = self.since_mark()
        self.stack.append(self.call(self.name(*argument.split(" ", 1)), tuple(arguments)))

    def op_build(self, argument: Value) -> None:
        (state,) = self.take(1)
        target = self.stack[-1]  # the state of anything but a number type is dropped: no attribute is ever set
        if isinstance(target, NumpyType) and isinstance(state, tuple) and state[1:2] == (">",):
            target.order = ">"

    def op_binpersid(self, argument: Value) -> None:
        (identity,) = self.take(1)
        if not isinstance(identity, tuple) or not 5 <= len(identity) <= 6 or type(identity[2]) not in (str, int):
            raise ValueError("it refers to values outside of it in a way that no checkpoint needs")
        kind, storage_type, key, _, count, *view = identity
        dtype = STORAGE_TYPES.get(storage_type.path) if isinstance(storage_type, Name) else None
        if kind != "storage" or type(count) is not int or not 0 <= count < 2**48 or any(view):
            raise ValueError("it refers to values outside of it in a way that no checkpoint needs")
        if dtype is None:
            self.stack.append(self.make(storage_type))
        else:
            self.stack.append(self.reading.storages.setdefault(str(key), Storage(str(key), dtype, count)))
