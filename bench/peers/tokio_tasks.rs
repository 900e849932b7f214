// SPDX-License-Identifier: MIT
//
// tokio: what tasks of one runtime do with one another: W11 to W15.  W13 has a runtime of its own.

use crate::peer::{timed, Figures};
use crate::runtime;
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::sync::mpsc::channel;
use tokio::task::{yield_now, JoinSet};
use tokio::time::{sleep, timeout};

const BATCH: usize = 32;
const HOUR: Duration = Duration::from_secs(3600);

async fn messages(count: usize) -> Duration {
    let (to, mut to_end) = channel(1);
    let (from, mut from_end) = channel(1);
    let start = Instant::now();
    let pong = tokio::spawn(async move {
        while let Some(message) = to_end.recv().await {
            from.send(message).await.unwrap();
        }
    });
    for i in 0..count / 2 {
        to.send(i).await.unwrap();
        from_end.recv().await.unwrap();
    }
    drop(to);
    pong.await.unwrap();
    start.elapsed()
}

async fn cancels(count: usize) -> Duration {
    let mut elapsed = Duration::ZERO;
    for begun in (0..count).step_by(BATCH) {
        let batch = BATCH.min(count - begun);
        let sleepers: Vec<_> = (0..batch).map(|_| tokio::spawn(sleep(HOUR))).collect();
        for _ in 0..4 {
            yield_now().await; // they sleep now: it takes new tasks in turns with those that yield
        }
        let start = Instant::now();
        sleepers.iter().for_each(|sleeper| sleeper.abort());
        for sleeper in sleepers {
            assert!(sleeper.await.unwrap_err().is_cancelled());
        }
        elapsed += start.elapsed();
    }
    elapsed
}

async fn groups(count: usize) -> Duration {
    let start = Instant::now();
    for _ in 0..count {
        let mut group = JoinSet::new();
        group.spawn(async {});
        while group.join_next().await.is_some() {}
    }
    start.elapsed()
}

async fn scopes(count: usize) -> Duration {
    let start = Instant::now();
    for _ in 0..count {
        timeout(HOUR, async {}).await.unwrap();
    }
    start.elapsed()
}

fn here(count: usize) -> Figures {
    let own = Builder::new_current_thread().build().unwrap();
    timed(|| (0..count).for_each(|_| own.block_on(async {})))
}

/// Run `work` as a task of the worker; it takes its time itself.
fn within(work: impl Future<Output = Duration> + Send + 'static) -> Option<Figures> {
    let elapsed = runtime().block_on(runtime().spawn(work)).unwrap();
    Some(Figures { ns: elapsed.as_nanos() as f64, records: Vec::new() })
}

pub fn run(id: &str, count: usize) -> Option<Figures> {
    match id {
        "W11" => within(messages(count)),
        "W13" => Some(here(count)),
        "W14" => within(cancels(count)),
        "W15-group" => within(groups(count)),
        "W15-scope" => within(scopes(count)),
        _ => None,
    }
}
