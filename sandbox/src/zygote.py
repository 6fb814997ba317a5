"""The interpreter's side of a run: how a source becomes a program in a process of its own.

Warm (`warm_up`): started once per slot by exec, imports what programs usually import, builds the walls that all runs
have in common, and forks a child per run. The child finishes the walls, compiles the source *behind them* and becomes the
program. The warm process itself never sees a byte of a guest, nor of what a caller says of one, so nothing of a run can
be found in the memory of the next: it gets descriptors, and reads none of them. It is not the child's parent either
(CLONE_PARENT): slot-init reaps, so status and usage are first-hand.

Cold (`once`): the same from the point where the walls stand, for interpreters that cannot be kept warm.

A page that either process writes after a fork has to be copied, and most of what a run costs is that. So the
warm process waits and forks in machine code (`fork_server.s`), which also finishes the walls in the child; it makes ready what is the same for all
(`Kernel`, `Main`), and does once what children do (`rehearse`), so that what the interpreter notes of it lies in pages that
they share.

Descriptors of a child: 0, 1, 2 the program's own; 3 the value pipe, in a session; until the program starts also
4 the report, 5 its compiled code (if it was compiled before), 6 where to write its compiled code (if it was
not), 7 the landlock rules, 9 what slot-init says of the run. The warm process has the host's /proc as 8 until it becomes
a guest's equal, and the machine code as 10. On the report the child writes `w` when the walls stand, `c` when the source is
compiled, or `!` and a failure of a wall; then it is closed, so nobody else can.
"""

import gc
import marshal
import os
import sys

VALUES, REPORT, CODE, EXPORT, RULES, PROC, RUN, FORK_SERVER = 3, 4, 5, 6, 7, 8, 9, 10
# Where the warm process keeps its socket; received descriptors come to lie above it.
SOCKET = 15


def warm_up():
    """Imports what programs import, builds the walls that all runs have in common, and says so on the socket."""
    import json
    import socket

    gc.disable()
    channel = socket.socket(fileno=SOCKET)
    plan = json.loads(channel.recv(1 << 18))
    channel.detach()
    sources_lie_in(plan["directory"])
    for name in plan["imports"]:
        try:
            __import__(name)
        except ImportError:
            pass
    kernel, main = Kernel(plan), Main()
    rehearse(main)
    kernel.become_guest()
    server = Server(kernel)
    gc.collect()
    gc.freeze()
    if "seccomp" not in kernel.left_out:
        kernel.filter(plan["base_filters"])
    os.write(SOCKET, bytes(8))
    return kernel, server, main


def sources_lie_in(directory):
    """Without a mount namespace each slot has a directory of its own. It must not show in code, which another slot may
    load, so there messages know the source without it."""
    global BOX, SOURCE, SHOWN
    BOX, SOURCE = directory, directory + "/main.py"
    SHOWN = SOURCE if directory == "/box" else "main.py"


def rehearse(main):
    """Does what children do, on texts of its own: names are looked up, symbols bound, code is made faster."""
    said = os.open("/dev/null", os.O_RDWR)
    for _ in range(16):
        run = Run(0)
        run.read(said)
        os.close(os.dup2(said, os.dup(said)))
        code = marshal.loads(marshal.dumps(compiled(b"x = [int(y) for y in '1 2'.split()]\n")))
        main.seed(run.seed)
        exec(code, main_module().__dict__)
        os.write(said, b"")
        sys.stdout.flush()
    os.close(said)
    gc.disable()


class Run:
    """What slot-init says of a run. The flags: are a value pipe, compiled code, a pipe for compiled code and arguments
    there? The file holds what a caller says: eight bytes that random numbers start from, then the arguments, each with
    a NUL behind it; it is read in the child."""

    __slots__ = ("values", "compiled", "export", "has_args", "seed", "args")

    def __init__(self, flags):
        self.values, self.compiled, self.export, self.has_args = flags & 1, flags & 2, flags & 4, flags & 8
        self.args = None

    def read(self, file):
        self.seed = int.from_bytes(os.pread(file, 8, 0), "little")
        if self.has_args:
            self.args = [arg.decode() for arg in read_all(file)[8:].split(b"\0")[:-1]]


def read_all(descriptor):
    text, more = b"", True
    while more:
        more = os.pread(descriptor, 1 << 16, len(text))
        text = text + more if text else more
    return text


class Kernel:
    """System calls that the standard library does not offer, and the filters as the kernel wants them."""

    WRITE, SETPGID, CAPSET, SECCOMP, PIDFD_OPEN, CLOSE_RANGE, LANDLOCK_RESTRICT = 1, 109, 126, 317, 434, 436, 446
    # CAP_SYS_PTRACE and CAP_SYS_ADMIN: to enter the namespace of an anchor, which is not dumpable.
    ENTERING = 1 << 19 | 1 << 21

    def __init__(self, plan):
        import ctypes
        import threading

        self.ctypes = ctypes
        self.user = plan["user"]
        # Holds the interpreter's lock during a call, as forking needs.
        self.library = ctypes.PyDLL(None, use_errno=True)
        self.syscall = self.library.syscall
        self.syscall.restype = ctypes.c_long
        self.syscall.argtypes = [ctypes.c_long] * 6
        # A guest is the second process of its namespace.
        threading.main_thread()._native_id = 2
        self.thread_id = self.thread_id_address()
        self.landlock = plan["landlock"]
        self.pin = plan["pin"]
        self.left_out = plan["left_out"]
        self.final = self.program(plan["final_filter"])
        self.no_capabilities = self.capabilities(0)
        self.small_thread_stacks()

    def call(self, number, *arguments):
        """One call; a negative error number where it failed."""
        padded = arguments + (0,) * (5 - len(arguments))
        result = self.syscall(number, *padded)
        return result if result >= 0 else -self.ctypes.get_errno()

    def must(self, number, one=0, two=0, three=0):
        if self.syscall(number, one, two, three, 0, 0) < 0:
            raise OSError(self.ctypes.get_errno(), "system call %d" % number)

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

    def become_guest(self):
        """The walls that are the same for all runs, but for those that would keep this process from forking them: the
        guests' user, directory, umask. Nobody of that user can reach it: guests live in other pid namespaces, or behind
        landlock's scope and a filter that lets them name themselves alone."""
        os.umask(0o022)
        os.chdir(BOX)
        self.score, self.own_score = -1, b""
        if self.user is not None:
            self.score = os.open("self/oom_score_adj", os.O_RDWR, dir_fd=PROC)
            self.own_score = os.read(self.score, 16)
            keep_capabilities = 8
            self.prctl(keep_capabilities, 1)
            os.setgroups([])
            os.setresgid(self.user, self.user, self.user)
            os.setresuid(self.user, self.user, self.user)
        os.close(PROC)
        self.set_capabilities(self.capabilities(self.ENTERING if self.pin is None else 0))
        # A change of user undoes both.
        set_dumpable, set_death_signal, kill = 4, 1, 9
        self.prctl(set_dumpable, 0)
        self.prctl(set_death_signal, kill)

    def capabilities(self, mask):
        """Arguments of capset: what is permitted and effective; nothing is inherited."""
        header = (self.ctypes.c_uint32 * 2)(0x20080522, 0)
        return header, (self.ctypes.c_uint32 * 6)(mask, mask, 0, 0, 0, 0)

    def set_capabilities(self, arguments):
        header, sets = arguments
        self.must(self.CAPSET, self.ctypes.addressof(header), self.ctypes.addressof(sets))

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

    def hold_to_itself(self):
        """Without namespaces: dies with slot-init, and may name no process but itself."""
        set_death_signal, kill = 1, 9
        self.prctl(set_death_signal, kill)
        stand_in, text = map(bytes.fromhex, self.pin)
        self.install(self.program(text.replace(stand_in, os.getpid().to_bytes(4, sys.byteorder)).hex()))


class Server:
    """What the machine code works on: `struct Server`, whose offsets `fork_server.s` names, and what that points to, all
    in one buffer. In each child `serve` returns; `enter` is the rest of the walls."""

    MESSAGE, CONTROL = 512, 128

    def __init__(self, kernel):
        import struct

        ctypes = kernel.ctypes
        self.kernel, self.struct = kernel, struct
        self.buffer = ctypes.create_string_buffer(2048)
        self.free = 256
        at = ctypes.addressof(self.buffer)
        message, control = self.place(bytes(self.MESSAGE)), self.place(bytes(self.CONTROL))
        vector = self.place(struct.pack("QQ", at + message, self.MESSAGE))
        header = self.place(struct.pack("7Q", 0, 0, at + vector, 1, at + control, 0, 0))
        calls = self.calls()
        self.steps = ["descriptors", "rlimits"] + [step for step, _ in calls]
        table = b"".join(struct.pack("6Q", *(call + (0,) * (6 - len(call)))) for _, call in calls)
        home = -1 if kernel.pin else kernel.call(kernel.PIDFD_OPEN, os.getpid(), 0)
        self.message = message
        struct.pack_into(
            "3q8Q16s", self.buffer, 0, SOCKET, home, kernel.score, kernel.thread_id, at + header, self.CONTROL,
            at + message, at + self.place(table), len(calls), 0, len(kernel.own_score), kernel.own_score,
        )
        self.serve = self.machine_code(ctypes, at)

    def place(self, text):
        """Where that text lies in the buffer."""
        start, self.free = self.free, (self.free + len(text) + 15) & ~15
        self.buffer[start:start + len(text)] = text
        return start

    def calls(self):
        """The walls that are the same calls in every child, in order; what cannot be is left to `enter`."""
        kernel = self.kernel
        address = kernel.ctypes.addressof
        calls = [
            ("descriptors", (kernel.CLOSE_RANGE, RUN + 1, (1 << 32) - 1)),
            ("descriptors", (kernel.SETPGID, 0, 0)),
            ("credentials", (kernel.CAPSET, *map(address, kernel.no_capabilities))),
        ]
        if kernel.landlock:
            calls.append(("landlock", (kernel.LANDLOCK_RESTRICT, RULES)))
        if kernel.pin is None:
            stand = address(self.buffer) + self.place(b"w")
            calls.append(("seccomp", (kernel.SECCOMP, 1, 0, address(kernel.final[0]))))
            calls.append(("report", (kernel.WRITE, REPORT, stand, 1)))
        return [call for call in calls if call[0] not in kernel.left_out]

    def machine_code(self, ctypes, at):
        """The loop as a function, mapped from its descriptor, which is closed."""
        import mmap

        length = os.fstat(FORK_SERVER).st_size
        map_file = self.kernel.library.mmap
        map_file.restype = ctypes.c_void_p
        map_file.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        code = map_file(None, length, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, FORK_SERVER, 0)
        if code in (None, ctypes.c_void_p(-1).value):
            raise OSError(ctypes.get_errno(), "the fork server cannot be mapped")
        os.close(FORK_SERVER)
        function = ctypes.PYFUNCTYPE(ctypes.c_long, ctypes.c_void_p)(code)
        argument = ctypes.c_void_p(at)
        return lambda: function(argument)

    def enter(self, result):
        """In a child, what the loop returned: finishes the walls, and returns the run."""
        if result < 0:
            step = self.struct.unpack_from("Q", self.buffer, 72)[0]
            refuse(self.steps[step], OSError(-result, os.strerror(-result)))
        if self.kernel.pin is not None:
            step = "seccomp"
            try:
                self.kernel.hold_to_itself()
                self.kernel.install(self.kernel.final)
                step = "report"
                os.write(REPORT, b"w")
            except BaseException as error:
                refuse(step, error)
        run = Run(self.buffer[self.message][0])
        run.read(RUN)
        return run


def refuse(step, error):
    import json

    failure = {"step": step, "errno": getattr(error, "errno", None) or 0, "text": str(error)}
    os.write(REPORT, b"!" + json.dumps(failure).encode())
    os._exit(125)


def load(run):
    """The program's code: as it was compiled before, or compiled now and passed on if somebody asks for it."""
    if run.compiled:
        code = marshal.loads(read_all(CODE))
    else:
        file = os.open(SHOWN, os.O_RDONLY)
        source = read_all(file)
        os.close(file)
        try:
            code = compiled(source)
        except BaseException as error:
            sys.excepthook(type(error), error.with_traceback(None), None)
            leave(1)
        if run.export:
            text = memoryview(marshal.dumps(code))
            while text:
                text = text[os.write(EXPORT, text):]
    os.write(REPORT, b"c")
    os.closerange(VALUES + 1 if run.values else VALUES, RUN + 1)
    return code


def compiled(source):
    return compile(source, SHOWN, "exec", 0, True)


class Main:
    """What a program started by its file finds, made before its process is there."""

    def __init__(self):
        import random

        self.random = random._inst
        self.numpy = sys.modules.get("numpy")
        self.module = sys.modules["__main__"] = main_module()
        self.seed_random = super(random.Random, self.random).seed
        sys.argv[:] = ["main.py"]
        sys.orig_argv = [sys.executable, "-s", "-B", "main.py"]
        sys.path[0] = BOX

    def scope(self, run):
        """Its names, for the program to run in."""
        if run.args:
            sys.argv += run.args
            sys.orig_argv += run.args
        self.seed(run.seed)
        gc.enable()
        return self.module.__dict__

    def seed(self, number):
        """What random numbers start from: the same for the same program and input."""
        self.seed_random(number)
        self.random.gauss_next = None
        if self.numpy:
            self.numpy.random.seed(number & 0xFFFFFFFF)


def main_module():
    import builtins
    from importlib.machinery import SourceFileLoader

    main = type(sys)("__main__")
    main.__dict__.update(
        __annotations__={}, __builtins__=builtins, __cached__=None, __file__=SOURCE,
        __loader__=SourceFileLoader("__main__", SOURCE), __spec__=None,
    )
    return main


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
    import _thread
    import atexit

    threading = sys.modules.get("threading")
    join_threads = getattr(threading, "_shutdown", None)
    if join_threads and (_thread._count() or atexit._ncallbacks() or getattr(threading, "_threading_atexits", True)):
        last(join_threads)
    if atexit._ncallbacks():
        last(atexit._run_exitfuncs)
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
        import signal

        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code)


def last(function):
    try:
        function()
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)


def once():
    """A cold start: the walls stand already. The message comes as an argument."""
    sources_lie_in(os.getcwd())
    run = Run(int(sys.argv[2]))
    run.read(RUN)
    return run, Main()


# From here on nothing is taken apart in a child: names of this module stay as they are.
if sys.argv[1:2] == ["once"]:
    run, main = once()
else:
    kernel, server, main = warm_up()
    result = server.serve()
    if result > 0:
        os._exit(0)
    run = server.enter(result)
code = load(run)
scope = main.scope(run)
try:
    exec(code, scope)
except BaseException as error:
    code = status(error)
else:
    code = 0
leave(code)
