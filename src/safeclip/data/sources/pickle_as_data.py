"""Numbers, texts, lists, dicts and byte arrays out of a pickle, without unpickling it: no pickle is ever loaded.

CIFAR is published as pickles only. Their opcodes are walked here like the tokens of any other file: what would import
a name or call it becomes a record that says so (Call), and nothing is imported or called. What must stay true: the
result holds plain values and Calls alone, whatever the file holds.
"""

from __future__ import annotations

import math
import pickletools
from dataclasses import dataclass
from typing import Any

import numpy as np

_NUMPY_ARRAY = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
_VALUES = frozenset(
    {
        *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    }
)
_FIXED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_MARK = object()


@dataclass
class Call:
    """What unpickling would have called: the name in the file ("module name"), its arguments, and the state set."""

    name: str
    arguments: Any = None
    state: Any = None


def read_pickle(data: bytes) -> Any:
    """The pickled value. Strings of Python 2 come as text of one character a byte (latin-1).

    Raises ValueError where the bytes are no pickle, or one of more than such values.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                (value,) = stack
                return value
            _step(opcode.name, argument, stack, memo)
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no pickle of plain values ({type(error).__name__})") from None
    raise ValueError("ends before it should")


def byte_array(value: Any) -> np.ndarray:
    """The uint8 array that a pickled NumPy array stands for. Raises ValueError where it is another thing."""
    if not isinstance(value, Call) or value.name not in _NUMPY_ARRAY or not isinstance(value.state, tuple):
        raise ValueError("no NumPy array")
    if len(value.state) != 5:
        raise ValueError("a NumPy array of another version")
    _, shape, kind, columns_first, content = value.state
    if not isinstance(kind, Call) or kind.name != "numpy dtype" or not isinstance(kind.arguments, tuple):
        raise ValueError("a NumPy array of no known kind")
    if kind.arguments[:1] not in (("u1",), ("|u1",)):
        raise ValueError("an array that is not of bytes")
    if isinstance(content, Call) and content.name == "_codecs encode" and isinstance(content.arguments, tuple):
        content = content.arguments[0] if content.arguments[1:] == ("latin1",) else None  # bytes, as Python 3 has them
    raw = content.encode("latin-1") if isinstance(content, str) else content
    whole = isinstance(shape, tuple) and all(isinstance(side, int) and side >= 0 for side in shape)
    if not whole or not isinstance(raw, bytes) or len(raw) != math.prod(shape):
        raise ValueError("an array whose size is not that of its bytes")
    array: np.ndarray = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if columns_first else "C")
    return array


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """One opcode, as the pickle machine of protocols 0 to 4 defines it. Raises ValueError on any other."""
    if name in _VALUES:
        stack.append(argument)
    elif name in _FIXED:
        stack.append(_FIXED[name])
    elif name == "MARK":
        stack.append(_MARK)
    elif name in ("EMPTY_LIST", "EMPTY_DICT"):
        stack.append([] if name == "EMPTY_LIST" else {})
    elif name in ("LIST", "TUPLE", "DICT"):
        items = _to_mark(stack)
        stack.append(items if name == "LIST" else tuple(items) if name == "TUPLE" else _pairs(items))
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        stack[-count:] = [tuple(stack[-count:])]
    elif name in ("APPEND", "APPENDS"):
        items = [stack.pop()] if name == "APPEND" else _to_mark(stack)
        stack[-1].extend(items)
    elif name in ("SETITEM", "SETITEMS"):
        items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else _to_mark(stack)
        stack[-1].update(_pairs(items))
    elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name == "GLOBAL":
        stack.append(Call(argument))
    elif name == "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(Call(f"{module} {attribute}"))
    elif name == "REDUCE":
        arguments = stack.pop()
        stack[-1] = Call(stack[-1].name, arguments)
    elif name == "BUILD":
        state = stack.pop()
        stack[-1].state = state
    elif name not in ("PROTO", "FRAME"):
        raise ValueError(f"holds {name}, which is no plain value")


def _to_mark(stack: list[Any]) -> list[Any]:
    """What lies above the topmost mark, taken off the stack with it."""
    at = len(stack) - 1
    while stack[at] is not _MARK:  # from the top, or a file of many marks takes forever
        at -= 1
    items = stack[at + 1 :]
    del stack[at:]
    return items


def _pairs(items: list[Any]) -> dict[Any, Any]:
    """Keys are plain: the hash of a tuple of tuples of one tuple twice takes forever."""
    if not all(isinstance(key, (str, bytes, int)) for key in items[::2]):
        raise ValueError("holds a dict whose keys are no plain values")
    return dict(zip(items[::2], items[1::2], strict=True))
