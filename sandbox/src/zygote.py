"""The interpreter's side of a run: how a source becomes a program in a process of its own.

Warm (`serve`): started once per slot by exec, imports what programs usually import, and forks a child per run. The
child finishes the walls and becomes the program. The warm process itself never sees a byte of a guest, nor of what a
caller says of one, so nothing of a run can be found in the memory of the next: it gets descriptors, and reads
none of them. It is not the child's parent either (CLONE_PARENT): slot-init reaps, so status and usage are
first-hand.

Cold (`once`): the same from the point where the walls stand, for interpreters that cannot be kept warm.

Descriptors of a child: 0, 1, 2 the program's own; 3 the value pipe, in a session; until the program starts also
4 the report, 5 its compiled code (if it was compiled before), 6 where to write its compiled code (if it was
not), 7 the landlock rules, 8 the host's /proc; in a cold start 9 what slot-init says of the run. On the report the child writes `w` when the walls stand, `c` when the
source is compiled, or `!` and a failure of a wall; then it is closed, so nobody else can.
"""

import sys

SOURCE = "/box/main.py"
VALUES, REPORT, CODE, EXPORT, RULES, PROC, RUN = 3, 4, 5, 6, 7, 8, 9
# Where the warm process keeps its socket; received descriptors come to lie above it.
SOCKET = 15


class Failed(Exception):
    """A wall did not stand: the name of its step, and why."""


def serve():
    """Waits for runs. Returns in the child of each, with what the run is."""
    import gc
    import json
    import socket
    from array import array

    gc.disable()
    channel = socket.socket(fileno=SOCKET)
    plan = json.loads(channel.recv(1 << 18))
    kernel = Kernel(plan)
    for name in plan["imports"]:
        try:
            __import__(name)
        except ImportError:
            pass
    loaded_numpy = sys.modules.get("numpy")
    kernel.small_thread_stacks()
    gc.collect()
    gc.freeze()
    kernel.filter(plan["base_filters"])
    channel.send(b'{"pid":0,"errno":0}')
    while True:
        message, control, _, _ = channel.recvmsg(16, 256)
        if not message:
            sys.exit()
        descriptors = array("i")
        for _, _, data in control:
            descriptors.frombytes(data)
        pid, errno = kernel.fork_into(descriptors[0])
        if pid == 0:
            channel.detach()
            run = read_run(descriptors[1])
            run["numpy"] = loaded_numpy
            enter(run, plan, kernel, descriptors)
            return run
        for descriptor in descriptors:
            kernel.close(descriptor)
        channel.send(b'{"pid":%d,"errno":%d}' % (pid, errno))


def read_run(descriptor):
    """What slot-init says of a run: a line of numbers, then each argument with a NUL behind it. No JSON: a forked
    child pays for every page it touches first, and a decoder of many."""
    head, _, tail = read_all(descriptor).partition(b"\n")
    seed, values, compiled, export, *limits = map(int, head.split())
    return {
        "seed": seed, "values": values, "compiled": compiled, "export": export,
        "rlimits": list(zip(limits[::2], limits[1::2])),
        "args": [arg.decode() for arg in tail.split(b"\0")[:-1]],
    }


def read_all(descriptor):
    import os

    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


class Kernel:
    """System calls that the standard library does not offer, and the filters as the kernel wants them."""

    CLONE, SETNS, CAPSET, SECCOMP, PIDFD_OPEN, CLOSE_RANGE, LANDLOCK_RESTRICT = 56, 308, 126, 317, 434, 436, 446
    NEWPID = 0x20000000
    # PARENT | CHILD_SETTID | CHILD_CLEARTID | SIGCHLD
    FORK = 0x8000 | 0x01000000 | 0x00200000 | 17

    def __init__(self, plan):
        import ctypes
        import os

        self.ctypes = ctypes
        # Holds the interpreter's lock during a call, as forking needs.
        self.library = ctypes.PyDLL(None, use_errno=True)
        self.library.syscall.restype = ctypes.c_long
        self.library.syscall.argtypes = [ctypes.c_long] * 6
        self.close = os.close
        self.before = ctypes.pythonapi.PyOS_BeforeFork
        self.after_in_parent = ctypes.pythonapi.PyOS_AfterFork_Parent
        self.after_in_child = ctypes.pythonapi.PyOS_AfterFork_Child
        for function in (self.before, self.after_in_parent, self.after_in_child):
            function.restype, function.argtypes = None, []
        set_dumpable, set_death_signal, kill = 4, 1, 9
        self.prctl(set_dumpable, 0)
        self.prctl(set_death_signal, kill)
        self.home = self.call(self.PIDFD_OPEN, os.getpid(), 0)
        self.thread_id = self.thread_id_address()
        self.final = self.program(plan["final_filter"])

    def call(self, number, *arguments):
        """One call; a negative error number where it failed."""
        padded = arguments + (0,) * (5 - len(arguments))
        result = self.library.syscall(number, *padded)
        return result if result >= 0 else -self.ctypes.get_errno()

    def must(self, number, *arguments):
        result = self.call(number, *arguments)
        if result < 0:
            raise OSError(-result, "system call %d" % number)
        return result

    def prctl(self, option, value):
        return self.call(157, option, value)

    def thread_id_address(self):
        """Where the C library keeps the thread's number, which a fork has to set anew."""
        get_tid_address, address = 40, self.ctypes.c_void_p()
        done = self.prctl(get_tid_address, self.ctypes.addressof(address))
        if done < 0 or not address.value:
            raise OSError(-done, "PR_GET_TID_ADDRESS")
        return address.value

    def small_thread_stacks(self):
        """Threads get 64 MiB, not the main thread's limit: many of those would not fit the address space."""
        attributes = self.ctypes.create_string_buffer(256)
        try:
            self.library.pthread_attr_init(attributes)
            self.library.pthread_attr_setstacksize(attributes, self.ctypes.c_size_t(64 << 20))
            self.library.pthread_setattr_default_np(attributes)
        except AttributeError:
            pass

    def program(self, text):
        """A filter in the kernel's form: a count and the address of its instructions, both kept alive."""
        ctypes = self.ctypes

        class Program(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]

        instructions = ctypes.create_string_buffer(bytes.fromhex(text), len(text) // 2)
        return Program(len(text) // 16, ctypes.addressof(instructions)), instructions

    def filter(self, texts):
        for text in texts:
            self.install(self.program(text))

    def install(self, program):
        set_mode_filter = 1
        self.must(self.SECCOMP, set_mode_filter, 0, self.ctypes.addressof(program[0]))

    def fork_into(self, namespace):
        """Forks into the pid namespace of that process; its own number for the child, or the error's."""
        entered = self.call(self.SETNS, namespace, self.NEWPID)
        if entered < 0:
            return -1, -entered
        self.before()
        pid = self.call(self.CLONE, self.FORK, 0, 0, self.thread_id)
        if pid == 0:
            self.after_in_child()
            return 0, 0
        self.after_in_parent()
        self.must(self.SETNS, self.home, self.NEWPID)
        return (pid, 0) if pid > 0 else (-1, -pid)

    def drop_capabilities(self):
        header = (self.ctypes.c_uint32 * 2)(0x20080522, 0)
        sets = (self.ctypes.c_uint32 * 6)()
        self.must(self.CAPSET, self.ctypes.addressof(header), self.ctypes.addressof(sets))


def enter(run, plan, kernel, descriptors):
    """The walls that each run finishes for itself, in order; a failure carries the name of its step."""
    import os
    import resource

    step = "descriptors"
    try:
        targets = [0, 1, 2, REPORT]
        targets += [VALUES] * run["values"] + [CODE] * run["compiled"] + [EXPORT] * run["export"]
        for descriptor, target in zip(descriptors[2:], targets):
            os.dup2(descriptor, target)
        kernel.must(kernel.CLOSE_RANGE, PROC + 1, (1 << 32) - 1, 0)
        os.setsid()
        os.umask(0o022)
        os.chdir("/box")
        user = plan["user"]
        if user is not None:
            step = "oom score"
            score = os.open("self/oom_score_adj", os.O_WRONLY, dir_fd=PROC)
            os.write(score, b"1000")
            os.close(score)
        step = "rlimits"
        for which, value in run["rlimits"]:
            hard = resource.getrlimit(which)[1]
            value = hard if value < 0 else value if hard < 0 else min(value, hard)
            resource.setrlimit(which, (value, value))
        step = "credentials"
        if user is not None:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        kernel.drop_capabilities()
        set_death_signal, kill = 1, 9
        kernel.prctl(set_death_signal, kill)
        if plan["landlock"]:
            step = "landlock"
            kernel.must(kernel.LANDLOCK_RESTRICT, RULES, 0)
        step = "seccomp"
        kernel.install(kernel.final)
        os.write(REPORT, b"w")
    except BaseException as error:
        refuse(step, error)


def refuse(step, error):
    import json
    import os

    failure = {"step": step, "errno": getattr(error, "errno", None) or 0, "text": str(error)}
    os.write(REPORT, b"!" + json.dumps(failure).encode())
    os._exit(125)


def load(run):
    """The program's code: as it was compiled before, or compiled now and passed on if somebody asks for it."""
    import marshal
    import os

    if run["compiled"]:
        code = marshal.loads(read_all(CODE))
    else:
        file = os.open(SOURCE, os.O_RDONLY)
        source = read_all(file)
        os.close(file)
        try:
            code = compile(source, SOURCE, "exec", 0, True)
        except BaseException as error:
            sys.excepthook(type(error), error.with_traceback(None), None)
            leave(1)
        if run["export"]:
            text = memoryview(marshal.dumps(code))
            while text:
                text = text[os.write(EXPORT, text):]
    os.write(REPORT, b"c")
    os.closerange(VALUES + 1 if run["values"] else VALUES, RUN + 1)
    return code


def new_main(run):
    """A fresh `__main__`, and what else a program started by its file finds."""
    import builtins
    import gc
    import random
    from importlib.machinery import SourceFileLoader

    main = type(sys)("__main__")
    main.__dict__.update(
        __annotations__={}, __builtins__=builtins, __cached__=None, __file__=SOURCE,
        __loader__=SourceFileLoader("__main__", SOURCE), __spec__=None,
    )
    sys.modules["__main__"] = main
    sys.argv[:] = ["main.py"] + run["args"]
    sys.orig_argv = [sys.executable, "-s", "-B"] + sys.argv
    sys.path[0] = "/box"
    random.seed(run["seed"])
    if run["numpy"]:
        run["numpy"].random.seed(run["seed"] & 0xFFFFFFFF)
    gc.enable()
    return main.__dict__


def status(error):
    """What the interpreter makes of the exception that ended a program: it is printed, and a code is left."""
    if isinstance(error, SystemExit):
        code = error.code
        if code is None:
            return 0
        if isinstance(code, int):
            return code & 0xFF if -(1 << 63) <= code < 1 << 63 else 255
        if sys.stderr is not None:
            print(code, file=sys.stderr)
        return 1
    # The first frame is ours.
    error = error.with_traceback(error.__traceback__.tb_next)
    for hook in (sys.excepthook, sys.__excepthook__):
        try:
            hook(type(error), error, error.__traceback__)
            break
        except BaseException:
            pass
    return -2 if isinstance(error, KeyboardInterrupt) else 1


def leave(code):
    """An interpreter's last steps, but for taking modules apart: threads, exit handlers, buffers."""
    import atexit
    import os
    import signal

    join_threads = getattr(sys.modules.get("threading"), "_shutdown", int)
    for last in (join_threads, atexit._run_exitfuncs):
        try:
            last()
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name, None)
        try:
            if stream is not None and not getattr(stream, "closed", False):
                stream.flush()
        except BaseException as error:
            if name == "stdout":
                print("Exception ignored in: %r\n%s: %s" % (stream, type(error).__name__, error), file=sys.stderr)
            code = 120
    if code == -2:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code)


def once():
    """A cold start: the walls stand already."""
    run = read_run(RUN)
    run["numpy"] = None
    return run


run = once() if sys.argv[1:] == ["once"] else serve()
code = load(run)
scope = new_main(run)
del run
try:
    exec(code, scope)
except BaseException as error:
    code = status(error)
else:
    code = 0
leave(code)
