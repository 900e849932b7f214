// SPDX-License-Identifier: MIT
//
// What peer.h says, for the peers in Rust.

use std::io::{BufRead, Write};
use std::sync::{atomic::AtomicUsize, atomic::Ordering, Arc, Barrier};
use std::time::{Duration, Instant};

/// What was measured of one repetition: ns of all, and what goes with it.
#[derive(Default)]
pub struct Figures {
    pub ns: f64,
    pub records: Vec<f64>,
}

pub fn timed(work: impl FnOnce()) -> Figures {
    let start = Instant::now();
    work();
    Figures { ns: start.elapsed().as_nanos() as f64, records: Vec::new() }
}

pub fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}

/// `threads` of them do `work` together until it was done `count` times.
pub fn crew(count: usize, threads: usize, work: impl Fn() + Send + Sync + 'static) -> Figures {
    let (work, barrier) = (Arc::new(work), Arc::new(Barrier::new(threads + 1)));
    let each = (count + threads - 1) / threads;
    let members: Vec<_> = (0..threads)
        .map(|_| {
            let (work, barrier) = (work.clone(), barrier.clone());
            std::thread::spawn(move || {
                barrier.wait();
                (0..each).for_each(|_| work());
            })
        })
        .collect();
    timed(|| {
        barrier.wait();
        members.into_iter().for_each(|member| member.join().unwrap());
    })
}

/// The workloads that need only a call from a plain thread.
pub fn calls(id: &str, count: usize, number: usize, call: fn()) -> Option<Figures> {
    match id {
        "W1-hot" | "W1-one-core" => Some(timed(|| (0..count).for_each(|_| call()))),
        "W1-latency" | "W1-parked" => {
            let records: Vec<f64> = (0..count)
                .map(|_| {
                    if id == "W1-parked" {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    timed(call).ns
                })
                .collect();
            Some(Figures { ns: records.iter().sum(), records })
        }
        "W2" => Some(crew(count, number, call)),
        _ => None,
    }
}

static BEGUN: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0); // resident when the last sleeper begins

pub fn sleeper_begins(sleepers: usize) {
    if BEGUN.fetch_add(1, Ordering::Relaxed) + 1 == sleepers {
        BYTES.store(resident_bytes() as usize, Ordering::Relaxed);
    }
}

/// `sleep` lets that many begin, and sleep for a second.
pub fn sleepers(id: &str, sleepers: usize, sleep: impl FnOnce()) -> Figures {
    let (before, start) = (resident_bytes(), Instant::now());
    BEGUN.store(0, Ordering::Relaxed);
    sleep();
    let bytes = (BYTES.load(Ordering::Relaxed) as f64 - before) / sleepers as f64;
    let beyond = start.elapsed().as_nanos() as f64 - 1e9;
    match id {
        "W6-time" => Figures { ns: beyond, records: vec![bytes] },
        _ => Figures { ns: bytes, records: Vec::new() },
    }
}

/// `run(id, count, number)` has the figures, or None if there is no such work.
pub fn main(run: fn(&str, usize, usize) -> Option<Figures>) {
    let argument = std::env::args().nth(1).expect("usage: peer WORK");
    let once = argument.starts_with("W6"); // one figure for all sleepers
    let (mut id, mut number) = (argument.as_str(), if once { 100_000 } else { 1 });
    if let Some(cut) = argument.rfind('-') {
        if let Ok(last) = argument[cut + 1..].parse() {
            id = &argument[..cut];
            number = last;
        }
    }
    if run(id, if once { 0 } else { 1 }, number).is_none() {
        return;
    }
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let count: usize = line.unwrap().trim().parse().unwrap();
        let figures = run(id, count, number).unwrap();
        let mut out = std::io::stdout().lock();
        write!(out, "{:.6}", figures.ns / if once { 1.0 } else { count as f64 }).unwrap();
        figures.records.iter().for_each(|record| write!(out, " {:.0}", record).unwrap());
        writeln!(out).unwrap();
    }
}
