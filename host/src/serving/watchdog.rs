//! The watchdog: tells of calls into protocols that last long, suspends a protocol of which a
//! function does not return, and tells of messages that are dropped.
//!
//! It samples the stamps of all threads (`calls`), on whichever thread a call is made, so a call
//! itself reads no clock.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::calls::{self, Function};
use super::protocol::{Protocol, State};
use super::{Host, turn};

const PERIOD: Duration = Duration::from_millis(20);
/// A call that lasts this long is told.
const SLOW: Duration = Duration::from_millis(100);
/// How often protocols are asked for the numbers that they expose.
const METRICS: Duration = Duration::from_secs(1);
/// A call that lasts this long does not return.
const HANGS: Duration = Duration::from_secs(5);

/// What is to be told of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Slow,
    Hangs,
    /// A slow call has returned, after about this time.
    Returned(Duration),
}

/// The call that a thread was seen in.
struct Seen {
    stamp: calls::Stamp,
    lasts: Duration,
}

/// How long each thread has been seen in the same call.
#[derive(Default)]
struct Watch {
    threads: HashMap<u64, Seen>,
}

impl Watch {
    /// Compares what the threads do now with what they did this long ago.
    fn look(
        &mut self,
        now: &[(u64, calls::Stamp)],
        elapsed: Duration,
        mut tell: impl FnMut(calls::Stamp, Event),
    ) {
        // A process that was halted, or a machine that slept, has not been waiting for anybody.
        let elapsed = elapsed.min(2 * PERIOD);
        self.threads.retain(|thread, seen| {
            let goes_on = now.iter().any(|(running, stamp)| running == thread && *stamp == seen.stamp);
            if !goes_on && seen.lasts >= SLOW {
                tell(seen.stamp, Event::Returned(seen.lasts));
            }
            goes_on
        });
        for (thread, stamp) in now {
            let Some(seen) = self.threads.get_mut(thread) else {
                self.threads.insert(*thread, Seen { stamp: *stamp, lasts: Duration::ZERO });
                continue;
            };
            let before = seen.lasts;
            seen.lasts += elapsed;
            for (limit, event) in [(SLOW, Event::Slow), (HANGS, Event::Hangs)] {
                if before < limit && seen.lasts >= limit {
                    tell(seen.stamp, event);
                }
            }
        }
    }
}

/// Between two lines about messages that are dropped for one protocol.
const PAUSE: Duration = Duration::from_secs(1);

/// How many dropped messages of one protocol have been told, and when.
#[derive(Default)]
struct Drops {
    told: u64,
    at: Option<Instant>,
}

impl Drops {
    /// How many more there are, if that is to be told now.
    fn look(&mut self, dropped: u64, now: Instant) -> Option<u64> {
        let is_due = self.at.is_none_or(|at| now.duration_since(at) >= PAUSE);
        if dropped == self.told || !is_due {
            return None;
        }
        self.at = Some(now);
        Some(dropped - std::mem::replace(&mut self.told, dropped))
    }
}

/// The life of the watchdog's thread.
pub(super) fn serve(host: &'static Host) {
    let mut watch = Watch::default();
    let mut drops: Vec<_> = host.protocols().iter().map(|_| Drops::default()).collect();
    let mut now = Vec::new();
    let mut last = Instant::now();
    let mut metrics_read = None;
    loop {
        std::thread::sleep(PERIOD);
        let is_ours = |index| host.protocols().iter().any(|protocol| protocol.index == index);
        now.clear();
        calls::each_running(|thread, stamp| {
            if stamp.function().is_some_and(Function::is_callback) && is_ours(stamp.protocol()) {
                now.push((thread, stamp));
            }
        });
        let elapsed = last.elapsed();
        last += elapsed;
        if metrics_read.is_none_or(|at| last.duration_since(at) >= METRICS) {
            metrics_read = Some(last);
            host.protocols().iter().for_each(|protocol| protocol.refresh_metrics());
        }
        for (protocol, drops) in host.protocols().iter().zip(&mut drops) {
            let in_all = protocol.counters.dropped.get();
            if let Some(dropped) = drops.look(in_all, last) {
                tracing::warn!(
                    protocol = %protocol.name, dropped, in_all,
                    "messages for the protocol are dropped: it is too slow, or out of service"
                );
            }
        }
        watch.look(&now, elapsed, |stamp, event| {
            let protocol = host.protocols().iter().find(|protocol| protocol.index == stamp.protocol());
            if let (Some(protocol), Some(function)) = (protocol, stamp.function()) {
                react(protocol, function, event);
            }
        });
    }
}

fn react(protocol: &'static Protocol, function: Function, event: Event) {
    match event {
        Event::Slow => {
            protocol.counters.slow_calls.add();
            tracing::warn!(
                protocol = %protocol.name, %function,
                "a slow call: it has not returned for {} ms", SLOW.as_millis()
            );
        }
        Event::Hangs => suspend(protocol, function),
        Event::Returned(lasted) => tracing::info!(
            protocol = %protocol.name, %function, lasted_ms = lasted.as_millis() as u64,
            "a slow call has returned{}",
            if protocol.state() == State::Suspended { "; the protocol stays suspended" } else { "" }
        ),
    }
}

/// Takes a protocol out of service for good. The thread inside is lost, and so is what waits for the
/// protocol; its connections are removed, so that the other protocols' clients learn that its
/// clients are gone.
fn suspend(protocol: &'static Protocol, function: Function) {
    if !protocol.advance(State::Suspended) {
        return;
    }
    protocol.counters.dropped.add_many(protocol.queue.close());
    protocol.host.tell_change();
    tracing::error!(
        protocol = %protocol.name, %function,
        "the protocol is suspended: a call has not returned for {} s. It is not called any more, and its clients \
         are cut off; the other protocols go on. Restart the host to have it back",
        HANGS.as_secs()
    );
    turn::abandon(protocol);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(sequence: u64) -> calls::Stamp {
        calls::Stamp::new(sequence, 3, Function::Notify)
    }

    fn look(watch: &mut Watch, now: &[(u64, calls::Stamp)], elapsed: Duration) -> Vec<Event> {
        let mut told = Vec::new();
        watch.look(now, elapsed, |_, event| told.push(event));
        told
    }

    /// Looks `times` times, a period apart.
    fn look_on(watch: &mut Watch, now: &[(u64, calls::Stamp)], times: u32) -> Vec<Event> {
        (0..times).flat_map(|_| look(watch, now, PERIOD)).collect()
    }

    fn periods(duration: Duration) -> u32 {
        (duration.as_millis() / PERIOD.as_millis()) as u32
    }

    #[test]
    fn a_long_call_is_told_once_when_it_is_slow_and_once_when_it_hangs() {
        let mut watch = Watch::default();
        let now = [(1, call(1))];
        assert_eq!(look_on(&mut watch, &now, periods(SLOW)), []);
        assert_eq!(look(&mut watch, &now, PERIOD), [Event::Slow]);
        assert_eq!(look_on(&mut watch, &now, periods(HANGS) - periods(SLOW) - 1), []);
        assert_eq!(look(&mut watch, &now, PERIOD), [Event::Hangs]);
        assert_eq!(look_on(&mut watch, &now, 1000), []);
        assert_eq!(look(&mut watch, &[], PERIOD), [Event::Returned(HANGS + 1000 * PERIOD)]);
    }

    #[test]
    fn many_short_calls_are_not_a_long_one() {
        let mut watch = Watch::default();
        for sequence in 0..1000 {
            assert_eq!(look(&mut watch, &[(1, call(sequence))], PERIOD), []);
        }
        assert_eq!(look(&mut watch, &[], PERIOD), []);
    }

    #[test]
    fn drops_are_told_at_once_and_then_once_a_second() {
        let (mut drops, start) = (Drops::default(), Instant::now());
        assert_eq!(drops.look(0, start), None);
        assert_eq!(drops.look(3, start), Some(3));
        assert_eq!(drops.look(5, start + PAUSE / 2), None);
        assert_eq!(drops.look(9, start + PAUSE), Some(6));
        assert_eq!(drops.look(9, start + 9 * PAUSE), None, "nothing new");
    }

    #[test]
    fn threads_are_told_apart() {
        let mut watch = Watch::default();
        assert_eq!(look_on(&mut watch, &[(1, call(7))], periods(SLOW)), []);
        assert_eq!(look_on(&mut watch, &[(2, call(7))], periods(SLOW)), []);
        assert_eq!(look_on(&mut watch, &[(1, call(7)), (2, call(7))], 1), [Event::Slow]);
    }

    #[test]
    fn time_in_which_the_process_was_halted_does_not_count() {
        let mut watch = Watch::default();
        let now = [(1, call(1))];
        look(&mut watch, &now, PERIOD);
        assert_eq!(look(&mut watch, &now, Duration::from_secs(3600)), []);
    }
}
