// SPDX-License-Identifier: MIT
//
// Java's virtual threads, from Java 21 on, on one carrier thread.  A call from a plain thread
// starts one and joins it; W9 is a queue.  They are blocking code, so no pool and no W7; no loop,
// so no W8; W10 is Java.java's.

import java.util.concurrent.*;
import java.util.concurrent.atomic.*;

final class JavaVirtual extends Peer {
    static final Runnable NOOP = () -> {};
    static final int BATCH = 32;

    @Override
    void call() throws Exception {
        Thread.startVirtualThread(NOOP).join();
    }

    /** Run WORK in a virtual thread. */
    static long within(Work work) throws Exception {
        return timed(() -> start(work).join());
    }

    static Thread start(Work work) {
        return Thread.startVirtualThread(() -> {
            try {
                work.run();
            } catch (Exception error) {
                throw new RuntimeException(error);
            }
        });
    }

    long submits(int count, int producers) throws Exception {
        int all = (count + producers - 1) / producers * producers;
        CountDownLatch finished = new CountDownLatch(all);
        Runnable task = finished::countDown;
        return timed(() -> {
            crew(count, producers, () -> Thread.startVirtualThread(task));
            finished.await();
        });
    }

    long yields(int count) throws Exception {
        Work half = () -> repeat(count / 2, Thread::yield);
        return within(() -> {
            Thread one = start(half), other = start(half);
            one.join();
            other.join();
        });
    }

    long sleep(String id, int sleepers) throws Exception {
        CountDownLatch finished = new CountDownLatch(sleepers);
        AtomicInteger begun = new AtomicInteger();
        AtomicLong asleep = new AtomicLong();
        System.gc();
        long before = residentBytes(), start = System.nanoTime();
        for (int i = 0; i < sleepers; i++) {
            start(() -> {
                if (begun.incrementAndGet() == sleepers)
                    asleep.set(residentBytes());
                Thread.sleep(1000);
                finished.countDown();
            });
        }
        finished.await();
        long bytes = (asleep.get() - before) / sleepers;
        return sleepers(id, System.nanoTime() - start - 1000000000, bytes);
    }

    long iterate(int count, BlockingQueue<Integer> items) throws Exception {
        start(() -> {
            for (int i = 0; i < count; i++)
                items.put(i);
        });
        return timed(() -> repeat(count, items::take));
    }

    long messages(int count) throws Exception {
        BlockingQueue<Integer> to = queue(2), from = queue(2);
        return within(() -> {
            Thread pong = start(() -> repeat(count / 2, () -> from.put(to.take())));
            for (int i = 0; i < count / 2; i++) {
                to.put(i);
                from.take();
            }
            pong.join();
        });
    }

    long cancels(int count) throws Exception {
        AtomicLong elapsed = new AtomicLong();
        Runnable sleeper = () -> {
            try {
                Thread.sleep(3600000);
            } catch (InterruptedException cancelled) {
                return;
            }
        };
        within(() -> {
            for (int begun = 0; begun < count; begun += BATCH) {
                Thread[] sleepers = new Thread[Math.min(BATCH, count - begun)];
                for (int i = 0; i < sleepers.length; i++)
                    sleepers[i] = Thread.startVirtualThread(sleeper);
                Thread.yield(); // they sleep now
                elapsed.addAndGet(timed(() -> {
                    for (Thread one : sleepers)
                        one.interrupt();
                    for (Thread one : sleepers)
                        one.join();
                }));
            }
        });
        return elapsed.get();
    }

    static void group() {
        try (ExecutorService group = Executors.newVirtualThreadPerTaskExecutor()) {
            group.execute(NOOP);
        }
    }

    @Override
    long run(String id, int count, int number) throws Exception {
        return switch (id) {
        case "W3" -> submits(count, number);
        case "W4" -> within(() -> repeat(count, this::call));
        case "W5" -> yields(count);
        case "W6-time", "W6-bytes" -> count == 0 ? 0 : sleep(id, number);
        case "W9" -> iterate(count, queue(number));
        case "W9-loop" -> within(() -> iterate(count, queue(1)));
        case "W11" -> messages(count);
        case "W14" -> cancels(count);
        case "W15-group" -> within(() -> repeat(count, JavaVirtual::group));
        default -> -1;
        };
    }

    public static void main(String[] arguments) throws Exception {
        new JavaVirtual().serve(arguments[0]);
    }
}
