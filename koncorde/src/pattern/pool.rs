//! All expressions that are in use. One that many filters ask for is compiled once and takes its memory once.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use super::{Flags, Pattern};

/// So many expressions that are no longer in use are always forgotten late.
const FORGOTTEN_LATE: usize = 1024;

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Pool {
    patterns: HashMap<Key, Weak<Pattern>>,
    /// How many there were when those no longer in use were last forgotten.
    swept: usize,
}

/// What an expression is made from: its source, its flags and the limit of its size.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) source: Box<str>,
    pub(super) flags: Flags,
    pub(super) max_bytes: usize,
}

/// The expression in use that is made from the same, or else a new one.
pub(super) fn get_or_make<E>(
    key: Key,
    make: impl FnOnce(&Key) -> Result<Pattern, E>,
) -> Result<Arc<Pattern>, E> {
    let find = |pool: &Pool| pool.patterns.get(&key).and_then(Weak::upgrade);
    let lock = || POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let known = find(&lock());
    if let Some(pattern) = known {
        return Ok(pattern);
    }
    // Nobody waits while it is compiled.
    let pattern = Arc::new(make(&key)?);
    let mut pool = lock();
    if let Some(pattern) = find(&pool) {
        return Ok(pattern);
    }
    if pool.patterns.len() > pool.swept * 2 + FORGOTTEN_LATE {
        pool.patterns.retain(|_, pattern| pattern.strong_count() > 0);
        pool.swept = pool.patterns.len();
    }
    pool.patterns.insert(key, Arc::downgrade(&pattern));
    Ok(pattern)
}
