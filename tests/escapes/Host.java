// Reads and lists what a host keeps to itself, runs its programs and talks to it.
// expect: exited 0
import java.io.*;
import java.net.*;
import java.nio.file.*;

public class Host {
    interface Attempt {
        Object make() throws Exception;
    }

    static void attempt(String what, Attempt attempt) {
        try {
            System.out.println("ESCAPED: " + what + ": " + attempt.make());
        } catch (Throwable error) {
            // As it should be.
        }
    }

    public static void main(String[] arguments) {
        for (String path : new String[] {"/etc/shadow", "/etc/passwd", "/proc/1/root/etc/passwd", "/proc/self/maps", "/root/.profile"}) {
            attempt("read " + path, () -> Files.readAllBytes(Paths.get(path)));
        }
        for (String path : new String[] {"/etc/planted", "/box/planted", "/usr/planted", "/planted", "/dev/planted"}) {
            attempt("wrote " + path, () -> Files.write(Paths.get(path), new byte[1]));
        }
        for (String program : new String[] {"/bin/sh", "/usr/bin/id", "/usr/bin/python3"}) {
            attempt("ran " + program, () -> new ProcessBuilder(program, "-c", "id").start().pid());
        }
        attempt("connected", () -> new Socket("127.0.0.1", 22));
        attempt("listens", () -> new ServerSocket(0));
    }
}
