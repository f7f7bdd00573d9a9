"""What an inspection worker may do: read what it was given, compute, and answer. Linux alone.

A parser that hostile octets have taken over finds no network, no file that it can write, no program that it can
start, and the limits of one mail. Resource limits always hold; the filter of system calls (seccomp) on the two
architectures whose numbers stand here, and where the kernel lets a process have one.
"""

import ctypes
import mmap
import os
import resource
import signal
import struct
import sys

from .limits import Bounds

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_EPERM, _ENOSYS = 1, 38
_DESCRIPTORS = 64  # a worker has its line, and what a library opens to read

# linux/audit.h, asm/unistd_64.h, asm-generic/unistd.h; -1: the architecture has no such call.
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CALLS = {
    # name: (x86_64, aarch64)
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "bind": (49, 200), "listen": (50, 201),
    "socketpair": (53, 199), "accept4": (288, 242), "sendmmsg": (307, 269),
    "fork": (57, -1), "vfork": (58, -1), "clone": (56, 220), "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "rename": (82, -1), "renameat": (264, 38), "renameat2": (316, 276), "mkdir": (83, -1), "mkdirat": (258, 34),
    "rmdir": (84, -1), "creat": (85, -1), "link": (86, -1), "linkat": (265, 37), "unlink": (87, -1),
    "unlinkat": (263, 35), "symlink": (88, -1), "symlinkat": (266, 36), "chmod": (90, -1), "fchmod": (91, 52),
    "fchmodat": (268, 53), "chown": (92, -1), "fchown": (93, 55), "fchownat": (260, 54), "truncate": (76, 45),
    "ftruncate": (77, 46), "mknod": (133, -1), "mknodat": (259, 33), "memfd_create": (319, 279), "mount": (165, 40),
    "umount2": (166, 39), "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280),
    "perf_event_open": (298, 241), "keyctl": (250, 219), "io_uring_setup": (425, 425), "userfaultfd": (323, 282),
    "kill": (62, 129), "pidfd_send_signal": (424, 424), "prctl": (157, 167), "prlimit64": (302, 261),
    "setrlimit": (160, 164), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "kcmp": (312, 272), "setpriority": (141, 140), "sched_setscheduler": (144, 119), "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122), "ioprio_set": (251, 30), "fallocate": (285, 47), "fchmodat2": (452, 452),
    "utime": (132, -1), "utimes": (235, -1), "futimesat": (261, -1), "utimensat": (280, 88), "setxattr": (188, 5),
    "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "fremovexattr": (199, 16), "shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "msgsnd": (69, 189),
    "semget": (64, 190), "semop": (65, 193), "mq_open": (240, 180), "mq_unlink": (241, 181), "add_key": (248, 217),
    "request_key": (249, 218), "open_by_handle_at": (304, 265), "inotify_init1": (294, 26), "io_setup": (206, 0),
}  # fmt: skip
_NOT_THERE = {"clone3": (435, 435), "openat2": (437, 437)}  # their flags stand in memory: libc then takes the older
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FLAGGED = {
    # name: (x86_64, aarch64, which argument the flags are, those that are refused)
    "open": (2, -1, 1, _WRITES),
    "openat": (257, 56, 2, _WRITES),
    "mmap": (9, 222, 3, mmap.MAP_SHARED),  # would write into the descriptor of a mail, which no limit of size stops
}
_X32 = 0x40000000  # the bit of the calls of another table of x86_64, with the same architecture


def restrict(bounds: Bounds) -> str:
    """Give up, for good, all that a worker does not need; return why system calls are not filtered, "" for they
    are."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    for kind, limit in (
        (resource.RLIMIT_DATA, bounds.memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
    ):
        resource.setrlimit(kind, (limit, limit))
    return _filter_calls(libc)


def _filter_calls(libc: ctypes.CDLL) -> str:
    machine = os.uname().machine
    if machine not in _ARCHITECTURES or sys.maxsize < 1 << 32:
        return f"no numbers of system calls for {machine}"
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return f"PR_SET_NO_NEW_PRIVS: {os.strerror(ctypes.get_errno())}"
    program = _program(machine)
    octets = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are
    head = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(octets)))
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(head), 0, 0) != 0:
        return f"PR_SET_SECCOMP: {os.strerror(ctypes.get_errno())}"
    return ""


# BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_JMP|JSET|K, BPF_RET|K
_LOAD, _EQUAL, _FROM, _ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # struct seccomp_data


def _program(machine: str) -> bytes:
    """Return the filter: a call that is named is refused with an error, so that a library can go on; others pass."""
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
    for calls, error in ((_CALLS, _EPERM), (_NOT_THERE, _ENOSYS)):
        for numbers in calls.values():
            if numbers[column] >= 0:
                program += [made(_EQUAL, numbers[column], 0, 1), made(_RETURN, _ERRNO | error)]
    for *flagged, argument, flags in _FLAGGED.values():
        if flagged[column] >= 0:
            program += [
                made(_EQUAL, flagged[column], 0, 4),
                made(_LOAD, _ARGUMENTS_AT + 8 * argument),
                made(_ANY, flags, 0, 1),
                made(_RETURN, _ERRNO | _EPERM),
                made(_RETURN, _ALLOW),
            ]
    program.append(made(_RETURN, _ALLOW))
    return b"".join(program)
