// SPDX-License-Identifier: MIT
//
// tokio.  A runtime with one worker; a plain thread spawns on it and blocks on the JoinHandle.  No
// generators: W9 is a channel.
mod peer;
mod tokio_tasks;
use peer::{timed, Figures};
use std::future::Future;
use std::sync::{atomic::AtomicUsize, atomic::Ordering, mpsc, Arc};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Handle, Runtime};

static mut RUNTIME: Option<Runtime> = None; // set before there are other threads
pub fn runtime() -> &'static Runtime {
    unsafe { RUNTIME.as_ref().unwrap() }
}

fn call() {
    runtime().block_on(runtime().spawn(async {})).unwrap();
}

/// Run `work` as a task of the worker; timed from the outside.
fn within(work: impl Future<Output = ()> + Send + 'static) -> Figures {
    timed(|| runtime().block_on(runtime().spawn(work)).unwrap())
}

fn submits(count: usize, producers: usize) -> Figures {
    let left = Arc::new(AtomicUsize::new((count + producers - 1) / producers * producers));
    let (finished, wait) = mpsc::sync_channel(1);
    timed(|| {
        peer::crew(count, producers, move || {
            let (left, finished) = (left.clone(), finished.clone());
            runtime().spawn(async move {
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    finished.send(()).unwrap();
                }
            });
        });
        wait.recv().unwrap();
    })
}

async fn spawns(count: usize) {
    for _ in 0..count {
        tokio::spawn(async {}).await.unwrap();
    }
}

async fn yields(count: usize) {
    for _ in 0..count / 2 {
        tokio::task::yield_now().await;
    }
}

async fn two_yielders(count: usize) {
    let other = tokio::spawn(yields(count));
    tokio::spawn(yields(count)).await.unwrap();
    other.await.unwrap();
}

async fn sleep(sleepers: usize) {
    let one = move |_| async move {
        peer::sleeper_begins(sleepers);
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let tasks: Vec<_> = (0..sleepers).map(one).map(tokio::spawn).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn offloads(count: usize, flight: usize) {
    let loops: Vec<_> = (0..flight)
        .map(|_| {
            tokio::spawn(async move {
                for _ in 0..(count + flight - 1) / flight {
                    tokio::task::spawn_blocking(|| ()).await.unwrap();
                }
            })
        })
        .collect();
    for one in loops {
        one.await.unwrap();
    }
}

async fn nested(count: usize) {
    for _ in 0..count {
        let fresh = || Builder::new_current_thread().build().unwrap().block_on(async {});
        std::thread::spawn(fresh).join().unwrap();
    }
}

/// Items from a task on the worker, through a channel with room for `ahead`.
fn items(count: usize, ahead: usize) -> tokio::sync::mpsc::Receiver<usize> {
    let (sender, receiver) = tokio::sync::mpsc::channel(ahead);
    Handle::spawn(runtime().handle(), async move {
        for i in 0..count {
            sender.send(i).await.unwrap();
        }
    });
    receiver
}

fn iterate(count: usize, ahead: usize) -> Figures {
    let mut receiver = items(count, ahead);
    timed(|| while receiver.blocking_recv().is_some() {})
}

async fn echo() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("ready {}", listener.local_addr().unwrap().port());
    loop {
        let (mut connection, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(size @ 1..) = connection.read(&mut buffer).await {
                connection.write_all(&buffer[..size]).await.unwrap();
            }
        });
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
            let mut receiver = items(count, 1);
            while receiver.recv().await.is_some() {}
        }),
        "W10" => within(echo()),
        _ => return tokio_tasks::run(id, count).or_else(|| peer::calls(id, count, number, call)),
    })
}

fn main() {
    unsafe { RUNTIME = Builder::new_multi_thread().worker_threads(1).enable_all().build().ok() };
    peer::main(run);
}
