"""Becomes a program by one function of the C library, or starts it, with nothing in the environment.

    starts.py HOW PROGRAM [ARGUMENT...]
"""

from __future__ import annotations

import ctypes
import os
import sys

AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
libc = ctypes.CDLL(None, use_errno=True)


def array(words: list[bytes]) -> ctypes.Array:
    return (ctypes.c_char_p * (len(words) + 1))(*words, None)


def start(how: str, words: list[bytes]) -> None:
    path, list_of_words, nothing = words[0], [*words, None], array([])
    directory, name = os.path.split(path)
    # The environment of the process is empty as well; but by PATH it is found.
    libc.clearenv()
    child = ctypes.c_int()
    match how:
        case "execv" | "execvp":
            libc[how](path, array(words))
        case "execve" | "execvpe":
            libc[how](path, array(words), nothing)
        case "execl" | "execlp":
            libc[how](path, *list_of_words)
        case "execle":
            libc.execle(path, *list_of_words, nothing)
        case "fexecve":
            libc.fexecve(os.open(path, os.O_RDONLY), array(words), nothing)
        case "fexecve of a path":
            libc.fexecve(os.open(path, os.O_PATH), array(words), nothing)
        case "execveat":
            libc.execveat(os.open(directory, os.O_PATH), name, array(words), nothing, 0)
        case "execveat of a descriptor":
            libc.execveat(os.open(path, os.O_PATH), b"", array(words), nothing, AT_EMPTY_PATH)
        case "posix_spawn" | "posix_spawnp":
            failed = libc[how](ctypes.byref(child), path, None, None, array(words), nothing)
            assert failed == 0, os.strerror(failed)
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child.value, 0)[1]))
        case "found":
            libc.setenv(b"PATH", directory, 1)
            libc.execlp(name, *list_of_words)
    sys.exit(f"{how}: {os.strerror(ctypes.get_errno())}")


start(sys.argv[1], [os.fsencode(word) for word in sys.argv[2:]])
