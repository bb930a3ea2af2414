//! Opens a library and binds what it exports, once. Its constructors run here: the first foreign
//! code of all.

#![allow(unsafe_code, reason = "symbols of a library have the types that the ABI says")]

use std::mem::ManuallyDrop;
#[cfg(unix)]
use std::path::Path;

#[cfg(unix)]
use kuzzle_protocol_abi::testing;
use kuzzle_protocol_abi::tripwire::{self, Tripwire};

use crate::diagnostics::{Diagnostic, Id};
use crate::installation::Candidate;
use crate::platform::{self, Library};
use crate::serving::abi::Functions;
use crate::serving::{Call, Function};

/// Opens the library of `candidate`, compares its types and binds its functions.
///
/// The library is never closed: code and statics of it may be in use until the process ends.
///
/// # Errors
/// Everything that is wrong with it; warnings are added to `warnings`.
pub(super) fn open(
    candidate: &Candidate,
    index: u16,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Functions, Diagnostic> {
    if let Some(changed) = candidate.changed_since_inspection() {
        return Err(changed);
    }
    let suspect = platform::Suspect::name(index, &candidate.name);
    let opened = {
        let _constructors = Call::enter(index, Function::Load);
        platform::open_library(&candidate.library)
    };
    let library = opened.map_err(|error| {
        Diagnostic::error(
            Id::RuntimeLoadFailed,
            &candidate.library,
            format!("Could not load the library of protocol \"{}\": {}.", candidate.name, whole_text(&error)),
            "Install what the library needs, or build it for this system, then run `kuzzle-host check`.",
        )
    })?;
    let library = ManuallyDrop::new(library);
    if let Some(changed) = candidate.changed_since_inspection() {
        return Err(changed);
    }
    check_types(candidate, warnings)?;

    let missing = |symbol: &str| {
        Diagnostic::error(
            Id::RuntimeLoadFailed,
            &candidate.library,
            format!("The loaded library of protocol \"{}\" does not export `{symbol}`.", candidate.name),
            "Another library was loaded than the one that was inspected: is a preloaded library in the way?",
        )
    };
    let functions = bind(&library).map_err(missing)?;
    suspect.has_loaded(functions.init as usize);
    Ok(functions)
}

/// What the dynamic loader says, with its causes.
fn whole_text(error: &libloading::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Binds what an inspected library exports; `Err` is the name of what is missing.
fn bind(library: &Library) -> Result<Functions, &'static str> {
    macro_rules! bind {
        ($symbol:literal) => {
            // SAFETY: the symbol was found in the inspected file as a function of that name, and its
            // note promises the ABI of which the name is part.
            unsafe { library.get($symbol) }.map(|symbol| *symbol)
        };
        (required $symbol:literal) => {
            bind!($symbol).map_err(|_| $symbol)?
        };
    }
    Ok(Functions {
        init: bind!(required "kuzzle_protocol_init"),
        start: bind!("kuzzle_protocol_start").ok(),
        broadcast: bind!(required "kuzzle_protocol_broadcast"),
        notify: bind!(required "kuzzle_protocol_notify"),
        join_channel: bind!(required "kuzzle_protocol_join_channel"),
        leave_channel: bind!(required "kuzzle_protocol_leave_channel"),
        disconnect: bind!(required "kuzzle_protocol_disconnect"),
        shutdown: bind!("kuzzle_protocol_shutdown").ok(),
        get_extension: bind!("kuzzle_protocol_get_extension").ok(),
    })
}

/// Opens a library that has passed the inspection for the fake host of `conformance`, in a process of
/// its own.
///
/// # Errors
/// What is wrong with it.
#[cfg(unix)]
pub(crate) fn open_alone(library: &Path) -> Result<testing::Functions, String> {
    let opened = platform::open_library(library).map_err(|error| whole_text(&error))?;
    if let Tripwire::Mismatch { path, expected, found } = tripwire::check(library) {
        return Err(format!(
            "it was compiled with another layout of `{path}`: expected {expected}, found {found}"
        ));
    }
    let library = ManuallyDrop::new(opened);
    let functions =
        bind(&library).map_err(|symbol| format!("the loaded library does not export `{symbol}`"))?;
    let table = testing::Table {
        init: functions.init,
        start: functions.start,
        broadcast: functions.broadcast,
        notify: functions.notify,
        join_channel: functions.join_channel,
        leave_channel: functions.leave_channel,
        disconnect: functions.disconnect,
        shutdown: functions.shutdown,
        get_extension: functions.get_extension,
    };
    // SAFETY: bound from symbols of these names in one library, which is never closed.
    Ok(unsafe { testing::Functions::from_table(table) })
}

/// The abi_stable tripwire: the types of a Rust protocol must be the host's.
fn check_types(candidate: &Candidate, warnings: &mut Vec<Diagnostic>) -> Result<(), Diagnostic> {
    let rebuild = "Build the protocol again with a released version of kuzzle-protocol-abi.";
    match tripwire::check(&candidate.library) {
        Tripwire::Mismatch { path, expected, found } => Err(Diagnostic::error(
            Id::AbiLayoutMismatch,
            &candidate.library,
            format!("Protocol \"{}\" was compiled with another layout of `{path}`.", candidate.name),
            rebuild,
        )
        .expected(format!("{path}: {expected}"))
        .found(format!("{path}: {found}"))),
        Tripwire::OtherAbiStable(text) => {
            warnings.push(Diagnostic::warning(
                Id::AbiLayoutMismatch,
                &candidate.library,
                format!("The types of protocol \"{}\" could not be compared: {text}.", candidate.name),
                rebuild,
            ));
            Ok(())
        }
        _ => Ok(()),
    }
}
