// SPDX-License-Identifier: MIT
//
// smol: what tasks of one executor do with one another: W11 and W14; it has no groups.  W13 is its
// block_on(), without an executor.

use crate::peer::{timed, Figures};
use std::future::Future;
use std::time::{Duration, Instant};

const BATCH: usize = 32;
const HOUR: Duration = Duration::from_secs(3600);

async fn messages(count: usize) -> Duration {
    let (to, to_end) = smol::channel::bounded(1);
    let (from, from_end) = smol::channel::bounded(1);
    let start = Instant::now();
    let pong = smol::spawn(async move {
        while let Ok(message) = to_end.recv().await {
            from.send(message).await.unwrap();
        }
    });
    for i in 0..count / 2 {
        to.send(i).await.unwrap();
        from_end.recv().await.unwrap();
    }
    drop(to);
    pong.await;
    start.elapsed()
}

async fn cancels(count: usize) -> Duration {
    let mut elapsed = Duration::ZERO;
    for begun in (0..count).step_by(BATCH) {
        let batch = BATCH.min(count - begun);
        let sleep = |_| smol::spawn(async { smol::Timer::after(HOUR).await });
        let sleepers: Vec<_> = (0..batch).map(sleep).collect();
        for _ in 0..4 {
            smol::future::yield_now().await; // they sleep now
        }
        let start = Instant::now();
        for sleeper in sleepers {
            assert!(sleeper.cancel().await.is_none());
        }
        elapsed += start.elapsed();
    }
    elapsed
}

fn here(count: usize) -> Figures {
    timed(|| (0..count).for_each(|_| smol::block_on(async {})))
}

/// Run `work` as a task of the executor; it takes its time itself.
fn within(work: impl Future<Output = Duration> + Send + 'static) -> Option<Figures> {
    let elapsed = smol::block_on(smol::spawn(work));
    Some(Figures { ns: elapsed.as_nanos() as f64, records: Vec::new() })
}

pub fn run(id: &str, count: usize) -> Option<Figures> {
    match id {
        "W11" => within(messages(count)),
        "W13" => Some(here(count)),
        "W14" => within(cancels(count)),
        _ => None,
    }
}
