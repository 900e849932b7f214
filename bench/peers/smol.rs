// SPDX-License-Identifier: MIT
//
// smol.  Its global executor has one thread (SMOL_THREADS); a plain thread spawns on it and blocks
// on the Task.  No generators: W9 is a channel.

mod peer;
mod smol_tasks;
use peer::{timed, Figures};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};
use std::time::Duration;

fn call() {
    smol::block_on(smol::spawn(async {}));
}

/// Run `work` as a task of the executor, and take its time from the outside.
fn within(work: impl Future<Output = ()> + Send + 'static) -> Figures {
    timed(|| smol::block_on(smol::spawn(work)))
}

fn submits(count: usize, producers: usize) -> Figures {
    let left = Arc::new(AtomicUsize::new((count + producers - 1) / producers * producers));
    let (finished, wait) = mpsc::sync_channel(1);
    timed(|| {
        peer::crew(count, producers, move || {
            let (left, finished) = (left.clone(), finished.clone());
            let task = async move {
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    finished.send(()).unwrap();
                }
            };
            smol::spawn(task).detach();
        });
        wait.recv().unwrap();
    })
}

async fn spawns(count: usize) {
    for _ in 0..count {
        smol::spawn(async {}).await;
    }
}

async fn yields(count: usize) {
    for _ in 0..count / 2 {
        smol::future::yield_now().await;
    }
}

async fn two_yielders(count: usize) {
    let (one, other) = (smol::spawn(yields(count)), smol::spawn(yields(count)));
    one.await;
    other.await;
}

async fn sleep(sleepers: usize) {
    let one = move |_| async move {
        peer::sleeper_begins(sleepers);
        smol::Timer::after(Duration::from_secs(1)).await;
    };
    let tasks: Vec<_> = (0..sleepers).map(one).map(smol::spawn).collect();
    for task in tasks {
        task.await;
    }
}

async fn offloads(count: usize, flight: usize) {
    let loops: Vec<_> = (0..flight)
        .map(|_| {
            smol::spawn(async move {
                for _ in 0..(count + flight - 1) / flight {
                    smol::unblock(|| ()).await;
                }
            })
        })
        .collect();
    for one in loops {
        one.await;
    }
}

async fn nested(count: usize) {
    for _ in 0..count {
        let fresh = || smol::block_on(smol::LocalExecutor::new().run(async {}));
        std::thread::spawn(fresh).join().unwrap();
    }
}

/// Items from a task on the executor, through a channel with room for `ahead`.
fn items(count: usize, ahead: usize) -> smol::channel::Receiver<usize> {
    let (sender, receiver) = smol::channel::bounded(ahead);
    let source = async move {
        for i in 0..count {
            sender.send(i).await.unwrap();
        }
    };
    smol::spawn(source).detach();
    receiver
}

fn iterate(count: usize, ahead: usize) -> Figures {
    let receiver = items(count, ahead);
    timed(|| while receiver.recv_blocking().is_ok() {})
}

async fn echo() {
    let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("ready {}", listener.local_addr().unwrap().port());
    loop {
        let (mut connection, _) = listener.accept().await.unwrap();
        let serve = async move {
            let mut buffer = [0; 4096];
            while let Ok(size @ 1..) = connection.read(&mut buffer).await {
                connection.write_all(&buffer[..size]).await.unwrap();
            }
        };
        smol::spawn(serve).detach();
    }
}

fn run(id: &str, count: usize, number: usize) -> Option<Figures> {
    Some(match id {
        "W3" => submits(count, number),
        "W4" => within(spawns(count)),
        "W5" => within(two_yielders(count)),
        "W6-time" | "W6-bytes" if count == 0 => Figures::default(), // is it there?
        "W6-time" | "W6-bytes" => peer::sleepers(id, number, || drop(within(sleep(number)))),
        "W7" => within(offloads(count, number)),
        "W8" => within(nested(count)),
        "W9" => iterate(count, number),
        "W9-loop" => within(async move {
            let receiver = items(count, 1);
            while receiver.recv().await.is_ok() {}
        }),
        "W10" => within(echo()),
        _ => return smol_tasks::run(id, count).or_else(|| peer::calls(id, count, number, call)),
    })
}

fn main() {
    std::env::set_var("SMOL_THREADS", "1");
    peer::main(run);
}
