// Starts threads until something stops it.
// expect: process_limit | exited 1 | memory_limit | cpu_time_limit
public class Threads {
    public static void main(String[] arguments) throws Exception {
        int started = 0;
        for (; started < 5000; started++) {
            Thread thread = new Thread(() -> {
                try {
                    Thread.sleep(60000);
                } catch (InterruptedException error) {
                    // Then it ends.
                }
            });
            thread.setDaemon(true);
            thread.start();
        }
        System.out.println("ESCAPED: " + started + " threads");
        System.exit(0);
    }
}
