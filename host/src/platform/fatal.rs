//! Fatal signals on Unix: before the process dies, it says which protocol's code was running.
//!
//! Everything that runs in the handler is safe in one: it allocates nothing, takes no lock, and
//! writes once.

#![allow(unsafe_code, reason = "signal handlers")]

use std::ffi::{c_int, c_void};
use std::fmt::{self, Write};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

const SIGNALS: [(c_int, &str); 7] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGSYS, "SIGSYS"),
    (libc::SIGTRAP, "SIGTRAP"),
];

/// What was to happen at each signal before, which is done after ours.
static BEFORE: [OnceLock<libc::sigaction>; SIGNALS.len()] = [const { OnceLock::new() }; SIGNALS.len()];

/// Answers which call of a protocol's function the calling thread is in: the protocol's number and
/// the function's name.
type CurrentCall = fn() -> Option<(u16, &'static str)>;

static CURRENT_CALL: OnceLock<CurrentCall> = OnceLock::new();

/// A protocol whose code runs in this process: a list that only grows, so that the handler can walk
/// it at any time.
pub struct Suspect {
    number: u16,
    protocol: String,
    library: OnceLock<Library>,
    next: *const Suspect,
}

// SAFETY: `next` leads to suspects that are never freed.
unsafe impl Sync for Suspect {}

static SUSPECTS: AtomicPtr<Suspect> = AtomicPtr::new(ptr::null_mut());

/// Where a library lies in memory.
struct Library {
    name: String,
    base: usize,
    /// From, to (exclusive): which part of it is code.
    code: Vec<(usize, usize)>,
}

impl Suspect {
    /// Names a protocol whose code is about to run, to say so at a fatal signal. Not to be called by
    /// two threads at once.
    pub fn name(number: u16, protocol: &str) -> &'static Self {
        let suspect = Box::leak(Box::new(Self {
            number,
            protocol: protocol.to_owned(),
            library: OnceLock::new(),
            next: SUSPECTS.load(Ordering::Acquire),
        }));
        SUSPECTS.store(suspect, Ordering::Release);
        suspect
    }

    /// Its library is loaded, and holds this function.
    pub fn has_loaded(&self, function: usize) {
        if let Some(library) = library_of(function) {
            let _ = self.library.set(library);
        }
    }

    /// Its library, if this address is code of it.
    fn holds(&self, instruction: usize) -> Option<&Library> {
        let library = self.library.get()?;
        library.code.iter().any(|(start, end)| (*start..*end).contains(&instruction)).then_some(library)
    }
}

/// From now on the process says what it was doing when a fatal signal ends it. `current_call` must be
/// safe in a signal handler.
pub fn tell_fatal_signals(current_call: CurrentCall) {
    if CURRENT_CALL.set(current_call).is_err() {
        return;
    }
    for ((signal, _), before) in SIGNALS.iter().zip(&BEFORE) {
        // SAFETY: both structs live across the calls; the handler has the type that SA_SIGINFO asks
        // for and does only what is safe in a handler.
        unsafe {
            let mut old: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(*signal, ptr::null(), &mut old) != 0 {
                continue;
            }
            let _ = before.set(old);
            let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = handle;
            let mut new: libc::sigaction = std::mem::zeroed();
            new.sa_sigaction = handler as usize;
            new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&mut new.sa_mask);
            libc::sigaction(*signal, &new, ptr::null_mut());
        }
    }
}

/// The library that this address is code of.
#[cfg(target_os = "linux")]
fn library_of(address: usize) -> Option<Library> {
    struct Wanted {
        address: usize,
        found: Option<Library>,
    }

    unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _size: usize, wanted: *mut c_void) -> c_int {
        // SAFETY: the loader gives a valid struct, and `library_of` its own `Wanted`.
        let (info, wanted) = unsafe { (&*info, &mut *wanted.cast::<Wanted>()) };
        if info.dlpi_phdr.is_null() {
            return 0;
        }
        // SAFETY: the loader's own table, as long as it says.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        let base = info.dlpi_addr as usize;
        let code: Vec<_> = headers
            .iter()
            .filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0)
            .map(|header| (base + header.p_vaddr as usize, base + (header.p_vaddr + header.p_memsz) as usize))
            .collect();
        if !code.iter().any(|(start, end)| (*start..*end).contains(&wanted.address)) {
            return 0;
        }
        let path = if info.dlpi_name.is_null() {
            String::new()
        } else {
            // SAFETY: the loader's own string, which ends with NUL.
            unsafe { std::ffi::CStr::from_ptr(info.dlpi_name) }.to_string_lossy().into_owned()
        };
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        wanted.found = Some(Library { name, base, code });
        1
    }

    let mut wanted = Wanted { address, found: None };
    // SAFETY: `wanted` lives until the call returns; nothing else is kept.
    unsafe { libc::dl_iterate_phdr(Some(look), ptr::from_mut(&mut wanted).cast()) };
    wanted.found
}

/// Elsewhere the function that the host has called tells whose code it is.
#[cfg(not(target_os = "linux"))]
fn library_of(_address: usize) -> Option<Library> {
    None
}

extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    // A handler that was there before may end the process by another signal.
    if !TOLD.swap(true, Ordering::AcqRel) {
        tell(signal, instruction(context));
    }
    pass_on(signal, info, context);
}

fn tell(signal: c_int, instruction: usize) {
    let mut text = Text::default();
    let name = SIGNALS.iter().find(|(number, _)| *number == signal).map_or("", |(_, name)| name);
    let _ = write!(text, "kuzzle-host: fatal signal {signal} ({name}) ");
    let called = CURRENT_CALL.get().and_then(|current_call| current_call());
    let called = called.and_then(|(number, function)| {
        suspects().find(|suspect| suspect.number == number).map(|suspect| (suspect, function))
    });
    let found = suspects().find_map(|suspect| Some((suspect, suspect.holds(instruction)?)));
    let _ = match (found, called) {
        (Some((suspect, _)), Some((same, function))) if ptr::eq(suspect, same) => {
            write!(text, "in the code of protocol \"{}\", in {function}", suspect.protocol)
        }
        (Some((suspect, _)), _) => {
            write!(text, "in the code of protocol \"{}\", in none of the host's calls", suspect.protocol)
        }
        (None, Some((suspect, function))) => {
            write!(text, "while protocol \"{}\" was in {function}", suspect.protocol)
        }
        (None, None) => write!(text, "while this thread was in no protocol's code"),
    };
    let _ = match found {
        Some((_, library)) => write!(text, ", at {} + {:#x}", library.name, instruction - library.base),
        None => write!(text, ", at {instruction:#x}"),
    };
    let suspect = found.map(|(suspect, _)| suspect).or(called.map(|(suspect, _)| suspect));
    let _ = match suspect {
        Some(suspect) => writeln!(
            text,
            ". The process ends. Report this to the authors of \"{}\", or disable the protocol.",
            suspect.protocol
        ),
        None => writeln!(text, ". The process ends."),
    };
    text.print();
}

/// All protocols, the last one first.
fn suspects() -> impl Iterator<Item = &'static Suspect> {
    // SAFETY: null, or leaked by `Suspect::name` and its `next` never changed since.
    let follow = |next: *const Suspect| unsafe { next.as_ref() };
    std::iter::successors(follow(SUSPECTS.load(Ordering::Acquire)), move |suspect| follow(suspect.next))
}

/// Where the thread was when the signal came; 0 where that is unknown.
fn instruction(context: *mut c_void) -> usize {
    if context.is_null() {
        return 0;
    }
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    // SAFETY: the kernel gives a `ucontext_t` to a handler with SA_SIGINFO.
    unsafe {
        (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] as usize
    }
    #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
    // SAFETY: as above.
    unsafe {
        (*context.cast::<libc::ucontext_t>()).uc_mcontext.pc as usize
    }
    #[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    0
}

/// Does what was to be done before: an earlier handler (that of Rust's runtime tells of overflown
/// stacks), or the default action.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let place = SIGNALS.iter().position(|(number, _)| *number == signal);
    let before = place.and_then(|place| BEFORE[place].get());
    if let Some(before) =
        before.filter(|before| ![libc::SIG_DFL, libc::SIG_IGN].contains(&before.sa_sigaction))
    {
        // SAFETY: the kernel took this for a handler of the type that its flags say.
        unsafe {
            if before.sa_flags & libc::SA_SIGINFO != 0 {
                let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                    std::mem::transmute(before.sa_sigaction);
                handler(signal, info, context);
            } else {
                let handler: extern "C" fn(c_int) = std::mem::transmute(before.sa_sigaction);
                handler(signal);
            }
        }
    }
    // A faulting instruction faults again by itself, in its own context; all else does not come again.
    let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE].contains(&signal);
    // SAFETY: null, or what the kernel gave to the handler.
    let code = unsafe { info.as_ref() }.map_or(0, |info| info.si_code);
    let comes_again = faults && code > 0 && !(signal == libc::SIGBUS && code == MEMORY_ERROR_ELSEWHERE);
    // SAFETY: sets a disposition; sends a signal to this thread, which gets it when the handler returns.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        if !comes_again {
            libc::raise(signal);
        }
    }
}

/// Linux' `BUS_MCEERR_AO`: broken memory that this thread did not touch.
const MEMORY_ERROR_ELSEWHERE: c_int = 5;

/// One line, made without allocating; what does not fit is cut off.
struct Text {
    bytes: [u8; 1024],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; 1024], length: 0 }
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.length..];
        let taken = text.len().min(room.len());
        room[..taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken;
        Ok(())
    }
}

impl Text {
    fn print(&self) {
        // SAFETY: the buffer is as long as said.
        unsafe { libc::write(libc::STDERR_FILENO, self.bytes.as_ptr().cast(), self.length) };
    }
}

/// A stack on which a thread can handle signals when its own is used up: threads that a library has
/// made have none. It belongs to the thread that made it.
pub struct SignalStack {
    memory: Option<(*mut c_void, usize)>,
}

impl SignalStack {
    /// Gives this thread one, unless it has one.
    pub fn ensure() -> Self {
        const SIZE: usize = 64 << 10;
        // SAFETY: asks for the thread's own alternate stack, then for memory at any place, which is
        // given to the kernel until `drop` takes it back.
        unsafe {
            let mut old: libc::stack_t = std::mem::zeroed();
            if libc::sigaltstack(ptr::null(), &mut old) != 0 || old.ss_flags & libc::SS_DISABLE == 0 {
                return Self { memory: None };
            }
            let memory = libc::mmap(
                ptr::null_mut(),
                SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANON,
                -1,
                0,
            );
            if memory == libc::MAP_FAILED {
                return Self { memory: None };
            }
            let stack = libc::stack_t { ss_sp: memory, ss_flags: 0, ss_size: SIZE };
            if libc::sigaltstack(&stack, ptr::null_mut()) != 0 {
                libc::munmap(memory, SIZE);
                return Self { memory: None };
            }
            Self { memory: Some((memory, SIZE)) }
        }
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        let Some((memory, size)) = self.memory else { return };
        // SAFETY: made by `ensure` on this thread, as the type is not Send. If the library has
        // installed a stack of its own meanwhile, that stays.
        unsafe {
            let mut now: libc::stack_t = std::mem::zeroed();
            if libc::sigaltstack(ptr::null(), &mut now) == 0 && now.ss_sp == memory {
                let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
                libc::sigaltstack(&none, ptr::null_mut());
            }
            libc::munmap(memory, size);
        }
    }
}
