"""What an inspection worker may do: read what it was given, compute, and answer. Linux alone.

A parser that hostile octets have taken over finds no network, no file, no program that it can start, and the limits
of one mail. Resource limits always hold; the filter of system calls (seccomp), which allows what is named here and
refuses all else, on the two architectures whose numbers stand here, and where the kernel lets a process have one.
Where the kernel has Landlock, no file can be opened even by a call that the filter does not know.
"""

import ctypes
import mmap
import os
import resource
import signal
import struct
import sys
from functools import cache

from .limits import Bounds

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_EPERM, _ENOSYS = 1, 38
_DESCRIPTORS = 16  # a worker has its line and the message's; nothing else is ever opened

# linux/audit.h, asm/unistd_64.h, asm-generic/unistd.h; -1: the architecture has no such call.
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOWED = {
    # name: (x86_64, aarch64)
    # what it was given, its answer
    "read": (0, 63), "readv": (19, 65), "pread64": (17, 67), "lseek": (8, 62), "recvfrom": (45, 207),
    "recvmsg": (47, 212), "write": (1, 64), "writev": (20, 66), "sendto": (44, 206), "close": (3, 57),
    # what a file is: libraries look, and cannot open
    "stat": (4, -1), "fstat": (5, 80), "lstat": (6, -1), "newfstatat": (262, 79), "statx": (332, 291),
    # memory
    "brk": (12, 214), "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216), "madvise": (28, 233),
    # time
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, -1),
    "times": (100, 153), "getrusage": (98, 165), "setitimer": (38, 103), "getitimer": (36, 102),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "restart_syscall": (219, 128),
    # itself
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "uname": (63, 160), "sysinfo": (99, 179), "getcwd": (79, 17),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "getcpu": (309, 168), "getrandom": (318, 278),
    "futex": (202, 98), "rseq": (334, 293), "set_robust_list": (273, 99), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132), "exit": (60, 93),
    "exit_group": (231, 94),
}  # fmt: skip
_NOT_THERE = {"clone3": (435, 435), "openat2": (437, 437)}  # libc then takes the older call, which is refused
_MMAP = (9, 222)
_SHARED = mmap.MAP_SHARED  # would write into the descriptor of a mail, which no limit of size stops
_X32 = 0x40000000  # the bit of the calls of another table of x86_64, with the same architecture

# linux/landlock.h: the rights on files of the first version, by which nothing is allowed.
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
_ALL_OF_FILES = (1 << 13) - 1

_libc = ctypes.CDLL(None, use_errno=True)


def prepare() -> None:
    """Do what all workers need once, in the process that they are born of; it opens no file after that."""
    machine = os.uname().machine
    if machine in _ARCHITECTURES:
        _program(machine)
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        attributes = struct.pack("@Q", _ALL_OF_FILES)
        ruleset = _libc.syscall(_LANDLOCK_CREATE, attributes, len(attributes), 0)
        if ruleset >= 0:
            _libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0)
            os.close(ruleset)


def restrict(bounds: Bounds) -> str:
    """Give up, for good, all that a worker does not need; return why system calls are not filtered, "" for they
    are."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    for kind, limit in (
        (resource.RLIMIT_DATA, bounds.memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
    ):
        resource.setrlimit(kind, (limit, limit))
    return _filter_calls()


def _filter_calls() -> str:
    machine = os.uname().machine
    if machine not in _ARCHITECTURES or sys.maxsize < 1 << 32:
        return f"no numbers of system calls for {machine}"
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return f"PR_SET_NO_NEW_PRIVS: {os.strerror(ctypes.get_errno())}"
    program = _program(machine)
    octets = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are
    head = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(octets)))
    if _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(head), 0, 0) != 0:
        return f"PR_SET_SECCOMP: {os.strerror(ctypes.get_errno())}"
    return ""


# BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_JMP|JSET|K, BPF_RET|K
_LOAD, _EQUAL, _FROM, _ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # struct seccomp_data
_FLAGS_OF_MMAP = 3  # which argument they are


@cache
def _program(machine: str) -> bytes:
    """Return the filter: what is not named is refused with an error, so that a library can go on."""
    column = list(_ARCHITECTURES).index(machine)

    def made(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
        return struct.pack("@HBBI", code, then, otherwise, value)

    program = [
        made(_LOAD, _ARCHITECTURE_AT),
        made(_EQUAL, _ARCHITECTURES[machine], 1, 0),
        made(_RETURN, _KILL),  # a call by the table of another architecture
        made(_LOAD, _NUMBER_AT),
        made(_FROM, _X32, 0, 1),
        made(_RETURN, _KILL),
    ]
    for calls, answer in ((_ALLOWED, _ALLOW), (_NOT_THERE, _ERRNO | _ENOSYS)):
        for numbers in calls.values():
            if numbers[column] >= 0:
                program += [made(_EQUAL, numbers[column], 0, 1), made(_RETURN, answer)]
    program += [
        made(_EQUAL, _MMAP[column], 0, 3),
        made(_LOAD, _ARGUMENTS_AT + 8 * _FLAGS_OF_MMAP),
        made(_ANY, _SHARED, 1, 0),
        made(_RETURN, _ALLOW),
        made(_RETURN, _ERRNO | _EPERM),
    ]
    return b"".join(program)
