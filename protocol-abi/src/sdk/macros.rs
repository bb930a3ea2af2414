//! `export_protocol!`: everything that must be emitted in the author's own library.

/// Exports a type that implements [`Protocol`](crate::Protocol) as this library's protocol: the note,
/// Kuzzle's six functions, `start`, `shutdown` and `get_extension`, and with the feature `abi_stable`
/// the description of the ABI's types.
///
/// Use it once, in the crate that is the `cdylib`; logic that others build upon belongs in a library
/// crate without it. It needs no unsafe code in that crate: `#![forbid(unsafe_code)]` holds.
///
/// ```compile_fail
/// kuzzle_protocol_abi::export_protocol!(u32); // does not implement Protocol
/// ```
///
/// # Panics
/// Nothing that panics in the protocol leaves the library; see the crate's first page. This needs
/// `panic = "unwind"`, the default; with `panic = "abort"` the note says so and the host warns.
#[macro_export]
macro_rules! export_protocol {
    ($protocol:ty $(,)?) => {
        const _: () = {
            #[cfg(all(target_env = "musl", target_feature = "crt-static"))]
            ::core::compile_error!(
                "a Kuzzle protocol is a shared library, which static musl cannot make: build for a glibc \
                 target, or with `-C target-feature=-crt-static`"
            );

            static EXPORTS: $crate::__private::Exports = $crate::__private::Exports::new::<$protocol>();

            const FLAGS: u32 = $crate::raw::note::FLAG_RUST_SDK
                | if ::core::cfg!(panic = "abort") { $crate::raw::note::FLAG_PANIC_ABORT } else { 0 }
                | if ::core::cfg!(debug_assertions) { $crate::raw::note::FLAG_DEBUG } else { 0 };

            #[used]
            #[unsafe(export_name = "kuzzle_protocol_abi")]
            static NOTE: $crate::raw::note::Note<
                { $crate::raw::note::strings_len($crate::raw::note::TOOLCHAIN, $crate::raw::note::SDK) },
            > = $crate::raw::note::Note::new($crate::raw::note::TOOLCHAIN, $crate::raw::note::SDK, FLAGS);

            // In all of these: the host keeps the header's promises, which are those of the function
            // that is called; none of them unwinds.

            #[unsafe(export_name = "kuzzle_protocol_init")]
            unsafe extern "C" fn init(
                entry_point: *const $crate::raw::kuzzle_entry_point,
                context: *const $crate::raw::kuzzle_context,
                out: *mut *mut $crate::raw::kuzzle_protocol,
                error: *mut $crate::raw::kuzzle_error,
            ) -> i32 {
                const IDENTITY: $crate::__private::Identity =
                    $crate::__private::Identity::new(::core::env!("CARGO_PKG_NAME"));
                // SAFETY: passed through.
                unsafe { (EXPORTS.init)(IDENTITY, entry_point, context, out, error) }
            }

            #[unsafe(export_name = "kuzzle_protocol_start")]
            unsafe extern "C" fn start(
                this: *mut $crate::raw::kuzzle_protocol,
                error: *mut $crate::raw::kuzzle_error,
            ) -> i32 {
                // SAFETY: passed through.
                unsafe { (EXPORTS.start)(this, error) }
            }

            #[unsafe(export_name = "kuzzle_protocol_broadcast")]
            unsafe extern "C" fn broadcast(
                this: *mut $crate::raw::kuzzle_protocol,
                message: *const $crate::raw::kuzzle_broadcast,
            ) -> i32 {
                // SAFETY: passed through.
                unsafe { (EXPORTS.broadcast)(this, message) }
            }

            #[unsafe(export_name = "kuzzle_protocol_notify")]
            unsafe extern "C" fn notify(
                this: *mut $crate::raw::kuzzle_protocol,
                message: *const $crate::raw::kuzzle_notification,
            ) -> i32 {
                // SAFETY: passed through.
                unsafe { (EXPORTS.notify)(this, message) }
            }

            #[unsafe(export_name = "kuzzle_protocol_join_channel")]
            unsafe extern "C" fn join_channel(
                this: *mut $crate::raw::kuzzle_protocol,
                connection: u64,
                channel: $crate::raw::kuzzle_str,
            ) -> i32 {
                // SAFETY: passed through.
                unsafe { (EXPORTS.join_channel)(this, connection, channel) }
            }

            #[unsafe(export_name = "kuzzle_protocol_leave_channel")]
            unsafe extern "C" fn leave_channel(
                this: *mut $crate::raw::kuzzle_protocol,
                connection: u64,
                channel: $crate::raw::kuzzle_str,
            ) -> i32 {
                // SAFETY: passed through.
                unsafe { (EXPORTS.leave_channel)(this, connection, channel) }
            }

            #[unsafe(export_name = "kuzzle_protocol_disconnect")]
            unsafe extern "C" fn disconnect(
                this: *mut $crate::raw::kuzzle_protocol,
                message: *const $crate::raw::kuzzle_disconnect,
            ) -> i32 {
                // SAFETY: passed through.
                unsafe { (EXPORTS.disconnect)(this, message) }
            }

            #[unsafe(export_name = "kuzzle_protocol_shutdown")]
            unsafe extern "C" fn shutdown(this: *mut $crate::raw::kuzzle_protocol, deadline_ms: u32) -> i32 {
                // SAFETY: passed through.
                unsafe { (EXPORTS.shutdown)(this, deadline_ms) }
            }

            #[unsafe(export_name = "kuzzle_protocol_get_extension")]
            unsafe extern "C" fn get_extension(
                this: *mut $crate::raw::kuzzle_protocol,
                id: $crate::raw::kuzzle_str,
            ) -> *const ::core::ffi::c_void {
                // SAFETY: passed through.
                unsafe { (EXPORTS.get_extension)(this, id) }
            }

            $crate::__export_tripwire!();
        };
    };
}
