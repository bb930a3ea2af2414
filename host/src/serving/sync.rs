//! What models check: the locks, atomics and thread locals of connections, outboxes and the start
//! gate. With the feature `loom` they are loom's, and work inside of a model only.

#[cfg(feature = "loom")]
pub(crate) use self::modelled::{AtomicBool, AtomicU8, Mutex, fence, thread_local};
#[cfg(not(feature = "loom"))]
pub(crate) use {
    parking_lot::Mutex,
    std::sync::atomic::{AtomicBool, AtomicU8, fence},
    std::thread_local,
};

#[cfg(feature = "loom")]
mod modelled {
    use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, fence};

    macro_rules! thread_local_of_loom {
        (static $name:ident: $type:ty = const $value:block;) => {
            loom::thread_local! { static $name: $type = $value; }
        };
    }
    pub(crate) use thread_local_of_loom as thread_local;

    /// Loom's lock with the methods of parking_lot's.
    #[derive(Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a model ends with its first panic")
        }
    }
}
