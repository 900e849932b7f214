// SPDX-License-Identifier: MIT
//
// Java: CompletableFuture on an executor with one thread, which is the loop.  No coroutines (see
// JavaVirtual.java): W4 is a chain of futures, W5 tasks that submit themselves, W9 a queue.

import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.*;
import java.util.concurrent.*;

final class Java extends Peer {
    static final Runnable NOOP = () -> {};
    final ExecutorService loop = Executors.newSingleThreadExecutor();
    final ExecutorService pool = Executors.newFixedThreadPool(4);
    int ran;

    @Override
    void call() throws Exception {
        CompletableFuture.runAsync(NOOP, loop).get();
    }

    long submits(int count, int producers) throws Exception {
        int all = (count + producers - 1) / producers * producers;
        CountDownLatch finished = new CountDownLatch(1);
        Runnable task = () -> {
            if (++ran == all)
                finished.countDown();
        };
        ran = 0;
        return timed(() -> {
            crew(count, producers, () -> loop.execute(task));
            finished.await();
        });
    }

    /** COUNT times, one after the other: a no-op on FIRST, and what follows on the loop. */
    void chain(int count, ExecutorService first, CountDownLatch finished) {
        if (count == 0)
            finished.countDown();
        else
            CompletableFuture.runAsync(NOOP, first)
                    .thenRunAsync(() -> chain(count - 1, first, finished), loop);
    }

    long chains(int count, int flight, ExecutorService first) throws Exception {
        CountDownLatch finished = new CountDownLatch(flight);
        return timed(() -> {
            for (int i = 0; i < flight; i++)
                loop.execute(() -> chain((count + flight - 1) / flight, first, finished));
            finished.await();
        });
    }

    void again(int count, CountDownLatch finished) {
        if (count <= 0)
            finished.countDown();
        else
            loop.execute(() -> again(count - 1, finished));
    }

    long yields(int count) throws Exception {
        CountDownLatch finished = new CountDownLatch(2);
        return timed(() -> {
            for (int i = 0; i < 2; i++)
                loop.execute(() -> again(count / 2, finished));
            finished.await();
        });
    }

    long sleep(String id, int sleepers) throws Exception {
        ScheduledThreadPoolExecutor timers = new ScheduledThreadPoolExecutor(1);
        CountDownLatch finished = new CountDownLatch(sleepers);
        System.gc();
        long before = residentBytes(), start = System.nanoTime();
        for (int i = 0; i < sleepers; i++)
            timers.schedule(finished::countDown, 1, TimeUnit.SECONDS);
        long bytes = (residentBytes() - before) / sleepers;
        finished.await();
        timers.shutdown();
        return sleepers(id, System.nanoTime() - start - 1000000000, bytes);
    }

    void nested() throws Exception {
        ExecutorService own = Executors.newSingleThreadExecutor();
        own.submit(NOOP).get();
        own.shutdown();
        own.awaitTermination(1, TimeUnit.MINUTES);
    }

    long iterate(int count, BlockingQueue<Integer> items) throws Exception {
        loop.execute(() -> {
            try {
                for (int i = 0; i < count; i++)
                    items.put(i);
            } catch (InterruptedException error) {
                throw new RuntimeException(error);
            }
        });
        return timed(() -> repeat(count, items::take));
    }

    long echo() throws Exception {
        Selector selector = Selector.open();
        ServerSocketChannel listener = ServerSocketChannel.open();
        ByteBuffer buffer = ByteBuffer.allocateDirect(4096);
        listener.bind(new InetSocketAddress("127.0.0.1", 0), 128).configureBlocking(false);
        listener.register(selector, SelectionKey.OP_ACCEPT);
        System.out.println("ready " + listener.socket().getLocalPort());
        for (;;) {
            selector.select(key -> {
                try {
                    if (key.isAcceptable()) {
                        SocketChannel connection = listener.accept();
                        connection.configureBlocking(false);
                        connection.setOption(StandardSocketOptions.TCP_NODELAY, true);
                        connection.register(selector, SelectionKey.OP_READ);
                    } else if (((SocketChannel) key.channel()).read(buffer.clear()) < 0) {
                        key.channel().close();
                    } else {
                        ((SocketChannel) key.channel()).write(buffer.flip());
                    }
                } catch (java.io.IOException error) {
                    key.cancel();
                }
            });
        }
    }

    @Override
    long run(String id, int count, int number) throws Exception {
        return switch (id) {
        case "W3" -> submits(count, number);
        case "W4" -> chains(count, 1, loop);
        case "W5" -> yields(count);
        case "W6-time", "W6-bytes" -> count == 0 ? 0 : sleep(id, number);
        case "W7" -> chains(count, number, pool);
        case "W8" -> timed(() -> repeat(count, this::nested));
        case "W9" -> iterate(count, queue(number));
        case "W10" -> echo();
        default -> -1;
        };
    }

    public static void main(String[] arguments) throws Exception {
        new Java().serve(arguments[0]);
    }
}
