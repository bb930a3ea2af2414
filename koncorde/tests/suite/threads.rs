//! Threads match while others insert and remove.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, RwLock};
use std::thread;

use koncorde::Index;

use crate::{document, filter};

#[test]
fn a_thread_finds_what_is_there_all_the_time_and_nothing_that_never_is() {
    const WRITERS: usize = 2;
    const READERS: usize = 2;
    let index = RwLock::new(Index::new());
    let always: Vec<String> =
        (0..10).map(|n| format!(r#"{{"range":{{"n":{{"gte":{n},"lt":{}}}}}}}"#, n + 5)).collect();
    for (id, text) in always.iter().enumerate() {
        index.write().unwrap().insert(id, &filter(text));
    }
    let done = AtomicBool::new(false);
    let start = Barrier::new(WRITERS + READERS);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (index, start) = (&index, &start);
                scope.spawn(move || {
                    start.wait();
                    for round in 0..2000 {
                        let id = 100 * (writer + 1) + round % 50;
                        let text = match round % 4 {
                            0 => format!(r#"{{"equals":{{"n":{}}}}}"#, round % 20),
                            1 => format!(r#"{{"missing":"x{}"}}"#, round % 3),
                            2 => format!(
                                r#"{{"and":[{{"exists":"n"}},{{"regexp":{{"s":"v{}"}}}}]}}"#,
                                round % 7
                            ),
                            _ => r#"{"equals":{"never":1}}"#.to_owned(),
                        };
                        index.write().unwrap().insert(id, &filter(&text));
                        if round % 3 == 0 {
                            assert!(index.write().unwrap().remove(&id));
                        }
                    }
                })
            })
            .collect();
        for _ in 0..READERS {
            scope.spawn(|| {
                start.wait();
                let mut n = 0;
                while !done.load(Ordering::Relaxed) {
                    n = (n + 1) % 15;
                    let given = document(&format!(r#"{{"n":{n},"s":"v{n}"}}"#));
                    let mut found = Vec::new();
                    index.read().unwrap().matches(&given, &mut found);
                    let distinct: HashSet<usize> = found.iter().copied().collect();
                    assert_eq!(distinct.len(), found.len());
                    for id in 0..10 {
                        assert_eq!(distinct.contains(&id), (id..id + 5).contains(&n), "{n}: {id}");
                    }
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}
