//! The access log: one line for each request that is answered.
//!
//! Threads that answer requests only note what there is to tell; one thread makes the lines and
//! writes them. What waits for it is bounded: beyond that, lines are dropped, counted and told.

mod line;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use kuzzle_kernel::{Payload, Response};
use parking_lot::{Condvar, Mutex};

use super::connections::Connection;
use super::entry_point::RequestInfo;
use super::protocol::Protocol;
use crate::config::{AccessLogFormat, AccessLogs};
use crate::diagnostics::{Diagnostic, Id};
use crate::platform;

/// Lines that may wait.
const MOST_LINES: usize = 16_384;

/// Bytes of requests that may wait.
const MOST_BYTES: usize = 16 << 20;

/// Between two lines in the log about lines that are dropped.
const PAUSE: Duration = Duration::from_secs(1);

/// The text that is written at once, about.
const CHUNK: usize = 64 << 10;

/// The access log of a host.
pub struct AccessLog {
    queue: Mutex<Queue>,
    /// There is something to do for the thread that writes.
    work: Condvar,
    /// Everything is written.
    idle: Condvar,
    outputs: Mutex<Vec<Output>>,
    ip_offset: usize,
}

#[derive(Default)]
struct Queue {
    records: Vec<Record>,
    bytes: usize,
    /// Lines that did not fit since the last time that it was told.
    dropped: u64,
    dropped_in_all: u64,
    told: Option<Instant>,
    reopen: bool,
    /// The thread is at the records that it took last.
    writing: bool,
}

/// A request that was answered, or is about to be.
pub(crate) struct Record {
    protocol: &'static Protocol,
    connection: Option<Arc<Connection>>,
    /// As the request has it: may be empty.
    label: Box<str>,
    headers: Box<[(Box<str>, Box<str>)]>,
    method: Box<str>,
    url: Box<str>,
    /// The request, unless it is too large to be one.
    document: Box<[u8]>,
    at: SystemTime,
    status: u32,
    size: u64,
    /// The content of the answer, if it is an error.
    failure: Option<Payload>,
}

impl Record {
    /// Notes a request.
    pub(crate) fn new(
        protocol: &'static Protocol,
        connection: Option<&Arc<Connection>>,
        request: &RequestInfo<'_>,
    ) -> Self {
        let fits = request.document.len() <= protocol.host.max_request_size;
        Self {
            protocol,
            connection: connection.cloned(),
            label: request.label.into(),
            headers: request.headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            method: request.method.into(),
            url: request.url.into(),
            document: if fits { (&*request.document).into() } else { Box::default() },
            at: SystemTime::now(),
            status: 0,
            size: 0,
            failure: None,
        }
    }

    /// The bytes that it takes, about.
    fn weight(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let failure = self.failure.as_ref().map_or(0, |content| content.as_bytes().len());
        size_of::<Self>() + self.document.len() + self.url.len() + headers + failure
    }
}

/// Where lines go.
struct Output {
    format: AccessLogFormat,
    file: Option<(PathBuf, File)>,
    /// The last write failed.
    failing: bool,
}

impl AccessLog {
    /// Opens all files; `None` if nothing is to be logged.
    ///
    /// # Errors
    /// The file that can not be opened.
    pub fn open(settings: &AccessLogs) -> Result<Option<Self>, Diagnostic> {
        let open = |output: &crate::config::AccessLogOutput| {
            let file = match &output.file {
                Some(path) => Some((path.clone(), open(path).map_err(|error| cannot_open(path, &error))?)),
                None => None,
            };
            Ok(Output { format: output.format, file, failing: false })
        };
        let outputs = settings.outputs.iter().map(open).collect::<Result<Vec<_>, Diagnostic>>()?;
        Ok((!outputs.is_empty()).then(|| Self {
            queue: Mutex::default(),
            work: Condvar::new(),
            idle: Condvar::new(),
            outputs: Mutex::new(outputs),
            ip_offset: settings.ip_offset,
        }))
    }

    /// Logs a request with the answer that it is given.
    pub(crate) fn answered(&self, mut record: Record, response: &Response) {
        record.status = u32::from(response.status);
        record.size = response.content.as_bytes().len() as u64;
        record.failure = (response.status >= 400).then(|| response.content.clone());
        self.push(record);
    }

    /// Logs a request that its protocol has answered by itself.
    pub(crate) fn answered_by_protocol(&self, mut record: Record, status: u32, size: u64) {
        (record.status, record.size) = (status, size);
        self.push(record);
    }

    fn push(&self, record: Record) {
        let weight = record.weight();
        let mut queue = self.queue.lock();
        if queue.records.len() >= MOST_LINES || queue.bytes + weight > MOST_BYTES {
            queue.dropped += 1;
            queue.dropped_in_all += 1;
            // The thread that writes may be held up for ever.
            let is_due = queue.told.is_none_or(|told| told.elapsed() >= PAUSE);
            let dropped = if is_due { queue.take_dropped() } else { None };
            drop(queue);
            dropped.inspect(tell);
            return;
        }
        queue.bytes += weight;
        queue.records.push(record);
        if queue.records.len() == 1 {
            self.work.notify_one();
        }
    }

    /// Has all files opened anew, as they may have been renamed. One that can not be opened is kept.
    pub fn reopen(&self) {
        self.queue.lock().reopen = true;
        self.work.notify_one();
    }

    /// Waits until everything noted so far is written, and files are opened anew if somebody wants that;
    /// not longer than `patience`. Whether it is.
    pub fn flush(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut queue = self.queue.lock();
        while !queue.records.is_empty() || queue.writing || queue.reopen {
            if self.idle.wait_until(&mut queue, deadline).timed_out() {
                return false;
            }
        }
        true
    }

    /// The life of the thread that writes.
    pub(crate) fn write(&self) {
        let mut outputs = self.outputs.lock();
        loop {
            let (records, dropped, reopen) = self.take();
            dropped.inspect(tell);
            for output in outputs.iter_mut() {
                output.write(&records, self.ip_offset);
                if reopen {
                    output.reopen();
                }
            }
            let mut queue = self.queue.lock();
            queue.writing = false;
            if queue.records.is_empty() && !queue.reopen {
                self.idle.notify_all();
            }
        }
    }

    /// Waits for something to do.
    fn take(&self) -> (Vec<Record>, Option<Dropped>, bool) {
        let mut queue = self.queue.lock();
        while queue.records.is_empty() && !queue.reopen {
            self.work.wait(&mut queue);
        }
        queue.writing = true;
        queue.bytes = 0;
        let dropped = queue.take_dropped();
        (std::mem::take(&mut queue.records), dropped, std::mem::take(&mut queue.reopen))
    }
}

/// Lines that were dropped since that was told last, and in all.
struct Dropped {
    lines: u64,
    in_all: u64,
}

impl Queue {
    /// What is to be told, if there is something.
    fn take_dropped(&mut self) -> Option<Dropped> {
        let lines = std::mem::take(&mut self.dropped);
        if lines == 0 {
            return None;
        }
        self.told = Some(Instant::now());
        Some(Dropped { lines, in_all: self.dropped_in_all })
    }
}

fn tell(dropped: &Dropped) {
    tracing::warn!(
        dropped = dropped.lines,
        in_all = dropped.in_all,
        "lines of the access log are dropped: requests come faster than they can be written"
    );
}

impl Output {
    fn write(&mut self, records: &[Record], ip_offset: usize) {
        let mut text = String::new();
        for record in records {
            match self.format {
                AccessLogFormat::Combined => record.combined(ip_offset, &mut text),
                AccessLogFormat::Json => record.json(&mut text),
            }
            text.push('\n');
            if text.len() >= CHUNK {
                self.put(&text);
                text.clear();
            }
        }
        if !text.is_empty() {
            self.put(&text);
        }
    }

    fn put(&mut self, text: &str) {
        let written = match &mut self.file {
            Some((_, file)) => file.write_all(text.as_bytes()),
            None => io::stderr().lock().write_all(text.as_bytes()),
        };
        match &written {
            Err(error) if !self.failing => {
                tracing::error!(file = %self.name(), %error, "the access log can not be written: its lines are lost");
            }
            Ok(()) if self.failing => tracing::info!(file = %self.name(), "the access log is written again"),
            _ => {}
        }
        self.failing = written.is_err();
    }

    fn reopen(&mut self) {
        let Some((path, file)) = &mut self.file else { return };
        match open(path) {
            Ok(opened) => {
                *file = opened;
                tracing::info!(file = %path.display(), "the access log is opened anew");
            }
            Err(error) => tracing::error!(
                file = %path.display(), %error,
                "the access log can not be opened anew: lines still go where they went before"
            ),
        }
    }

    fn name(&self) -> String {
        self.file.as_ref().map_or_else(|| "standard error".to_owned(), |(path, _)| path.display().to_string())
    }
}

/// Opens a file to add to it. Addresses of clients are nobody else's business.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // A pipe that nobody reads is an error, and nothing to wait for.
        options.mode(0o640).custom_flags(libc::O_NONBLOCK);
    }
    let file = options.open(path)?;
    platform::make_blocking(&file)?;
    Ok(file)
}

fn cannot_open(path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::error(
        Id::AccessLogCannotOpen,
        path,
        format!("The file of the access log could not be opened to add to it: {error}."),
        "Give a file in \"server.logs.transports\" that the host may write, in a folder that exists.",
    )
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::fs;

    use super::*;
    use crate::config::AccessLogOutput;
    use crate::serving::testing;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn record(protocol: &'static Protocol, url: &str, document: &[u8]) -> Record {
        let document = Cow::Borrowed(document);
        let request =
            RequestInfo { connection: 0, document, label: "", headers: Vec::new(), method: "GET", url };
        Record::new(protocol, None, &request)
    }

    /// A log in a file, and the file; nobody writes yet.
    fn log(folder: &Path) -> (&'static AccessLog, PathBuf) {
        let file = folder.join("log");
        let output = AccessLogOutput { file: Some(file.clone()), format: AccessLogFormat::Combined };
        let log = AccessLog::open(&AccessLogs { outputs: vec![output], ip_offset: 0 }).unwrap();
        (Box::leak(Box::new(log.expect("there is an output"))), file)
    }

    fn begin(log: &'static AccessLog) {
        std::thread::spawn(|| log.write());
        assert!(log.flush(PATIENCE));
    }

    #[test]
    fn without_outputs_there_is_no_log() {
        assert!(AccessLog::open(&AccessLogs::default()).unwrap().is_none());
    }

    #[test]
    fn lines_that_are_too_many_are_dropped_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (log, file) = log(folder.path());
        let protocol = testing::protocol("p");
        for number in 0..MOST_LINES + 10 {
            log.answered_by_protocol(record(protocol, &format!("/{number}"), b""), 200, 1);
        }
        assert!(!log.flush(Duration::ZERO), "nobody has written them");
        begin(log);
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), MOST_LINES);
        for (number, line) in text.lines().enumerate() {
            assert!(line.contains(&format!("\"GET /{number} P\" 200 1 - -")), "in order: {line}");
        }
        assert_eq!(log.queue.lock().dropped_in_all, 10);
        log.answered_by_protocol(record(protocol, "/again", b""), 200, 1);
        assert!(log.flush(PATIENCE));
        assert!(fs::read_to_string(&file).unwrap().contains("/again"));
    }

    #[test]
    fn requests_that_are_too_large_in_all_are_dropped_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (log, file) = log(folder.path());
        let protocol = testing::protocol("p");
        let document = vec![b' '; 1 << 20];
        for _ in 0..20 {
            log.answered_by_protocol(record(protocol, "/large", &document), 200, 1);
        }
        begin(log);
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 15);
        assert_eq!(log.queue.lock().dropped_in_all, 5);
    }

    #[test]
    fn a_document_that_is_too_large_to_be_a_request_is_not_kept() {
        let protocol = testing::protocol("p");
        assert!(record(protocol, "", &vec![b' '; (1 << 20) + 1]).document.is_empty());
    }
}
