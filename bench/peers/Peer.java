// SPDX-License-Identifier: MIT
//
// What peer.h says, for the peer in Java.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.*;

abstract class Peer {
    interface Work {
        void run() throws Exception;
    }

    static final long[] NONE = {};
    private long[] records = NONE; // of the last repetition

    /** The ns of COUNT operations, or -1: no such work. */
    abstract long run(String id, int count, int number) throws Exception;

    /** From a plain thread: have the loop run a no-op, and wait for its result. */
    abstract void call() throws Exception;

    static long timed(Work work) throws Exception {
        long start = System.nanoTime();
        work.run();
        return System.nanoTime() - start;
    }

    static void repeat(int count, Work work) throws Exception {
        for (int i = 0; i < count; i++)
            work.run();
    }

    static long residentBytes() throws Exception {
        return Long.parseLong(Files.readString(Path.of("/proc/self/statm")).split(" ")[1]) * 4096;
    }

    /** W9: in lock step, or with room for 64. */
    static BlockingQueue<Integer> queue(int ahead) {
        return ahead == 1 ? new SynchronousQueue<>() : new ArrayBlockingQueue<>(ahead);
    }

    /** Let THREADS do WORK together until it was done COUNT times. */
    static long crew(int count, int threads, Work work) throws Exception {
        CountDownLatch start = new CountDownLatch(1), ended = new CountDownLatch(threads);
        for (int i = 0; i < threads; i++) {
            new Thread(() -> {
                try {
                    start.await();
                    repeat((count + threads - 1) / threads, work);
                } catch (Exception error) {
                    throw new RuntimeException(error);
                }
                ended.countDown();
            }).start();
        }
        return timed(() -> {
            start.countDown();
            ended.await();
        });
    }

    private long calls(String id, int count, int number) throws Exception {
        boolean parked = id.equals("W1-parked");
        long elapsed = 0;

        switch (id) {
        case "W1-hot", "W1-one-core":
            return timed(() -> repeat(count, this::call));
        case "W1-parked", "W1-latency":
            records = new long[count];
            for (int i = 0; i < count; i++) {
                if (parked)
                    TimeUnit.MILLISECONDS.sleep(2);
                elapsed += records[i] = timed(this::call);
            }
            return elapsed;
        case "W2":
            return crew(count, number, this::call);
        }
        return run(id, count, number);
    }

    /** W6 is one figure for all sleepers: ns beyond the second with the bytes, or bytes. */
    long sleepers(String id, long beyond, long bytes) {
        if (!id.equals("W6-time"))
            return bytes;
        records = new long[] {bytes};
        return beyond;
    }

    void serve(String argument) throws Exception {
        boolean once = argument.startsWith("W6");
        BufferedReader counts = new BufferedReader(new InputStreamReader(System.in));
        int number = once ? 100000 : 1;
        String id = argument;
        if (argument.matches(".*-[0-9]+")) {
            id = argument.substring(0, argument.lastIndexOf('-'));
            number = Integer.parseInt(argument.substring(id.length() + 1));
        }
        if (calls(id, once ? 0 : 1, number) < 0)
            System.exit(0);
        System.out.println("ready");
        for (String line = counts.readLine(); line != null; line = counts.readLine()) {
            int count = Integer.parseInt(line.trim());
            records = NONE;
            double ns = calls(id, count, number);
            StringBuilder answer = new StringBuilder(String.valueOf(once ? ns : ns / count));
            for (long record : records)
                answer.append(' ').append(record);
            System.out.println(answer);
        }
        System.exit(0);
    }
}
