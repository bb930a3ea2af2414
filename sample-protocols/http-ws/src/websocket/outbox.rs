//! What waits to be written to one WebSocket: frames whose bytes are shared, bounded in bytes.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::task::Waker;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;

use super::frame;

/// A queue that has grown beyond this gives its memory back when it is empty.
const KEPT: usize = 8;
/// The most pieces of one vectored write.
pub(crate) const SLICES: usize = 64;

/// A piece of a frame. Pieces are shared by all connections that the frame goes to.
#[derive(Clone, Debug)]
struct Piece {
    bytes: Bytes,
    /// The last one of its frame.
    end: bool,
}

/// A frame to be sent: its pieces, in order.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pieces: Vec<Bytes>,
    len: usize,
}

impl Frame {
    /// A frame, header included.
    pub(crate) fn new(pieces: Vec<Bytes>) -> Self {
        let len = pieces.iter().map(Bytes::len).sum();
        Self { pieces, len }
    }

    #[cfg(test)]
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), pieces: vec![bytes.into()] }
    }
}

/// How the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A close frame is the last thing that is sent.
    Close,
    /// Nothing more is sent or read.
    Abort,
}

#[derive(Debug, Default)]
struct Queue {
    /// What the writer has not taken yet: whole frames.
    pieces: VecDeque<Piece>,
    /// Bytes that wait here and at the writer.
    bytes: usize,
    ending: Option<Ending>,
    /// The writer is to drop what it has taken.
    overflowed: bool,
    /// The connection's task is running, or will.
    awake: bool,
    waker: Option<Waker>,
    /// When bytes were last written, or the first was queued: ticks of the clock.
    progress: u64,
}

impl Queue {
    fn append(&mut self, frame: &Frame, now: u64) {
        if self.bytes == 0 {
            self.progress = now;
        }
        let last = frame.pieces.len() - 1;
        for (index, bytes) in frame.pieces.iter().enumerate() {
            self.pieces.push_back(Piece { bytes: bytes.clone(), end: index == last });
        }
        self.bytes += frame.len;
    }

    fn drop_waiting(&mut self) {
        self.bytes -= self.pieces.drain(..).map(|piece| piece.bytes.len()).sum::<usize>();
        self.overflowed = true;
    }

    fn close(&mut self, code: u16, reason: &str, now: u64) {
        self.append(&frame::close(code, reason).into(), now);
        self.ending = Some(Ending::Close);
    }

    /// An end is told to a task that waits for its socket, too.
    fn wake(&mut self) -> Option<Waker> {
        let awake = std::mem::replace(&mut self.awake, true);
        if awake && self.ending.is_none() { None } else { self.waker.clone() }
    }
}

/// The queue of one connection. No method blocks or calls out, but for waking the connection's task.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
}

impl Outbox {
    /// Changes the queue, and wakes the task.
    fn change<T>(&self, change: impl FnOnce(&mut Queue) -> Option<T>) -> Option<T> {
        let mut queue = self.queue.lock();
        let result = change(&mut queue)?;
        let waker = queue.wake();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(result)
    }

    /// Appends a frame; false: it is dropped, because the connection ends. A connection for which more than `most`
    /// bytes would wait is ended: what waits is dropped, and it is told why.
    pub(crate) fn push(&self, frame: &Frame, most: usize, now: u64) -> bool {
        let pushed = self.change(|queue| {
            if queue.ending.is_some() {
                return None;
            }
            let fits = queue.bytes == 0 || queue.bytes + frame.len <= most;
            if fits {
                queue.append(frame, now);
            } else {
                queue.drop_waiting();
                queue.close(1011, super::TOO_SLOW, now);
            }
            Some(fits)
        });
        pushed == Some(true)
    }

    /// Sends a close frame after what waits, or instead of it, and then nothing more.
    pub(crate) fn close(&self, code: u16, reason: &str, instead: bool, now: u64) {
        self.change(|queue| {
            if queue.ending.is_some() {
                return None;
            }
            if instead {
                queue.drop_waiting();
            }
            queue.close(code, reason, now);
            Some(())
        });
    }

    /// Ends the connection without another word.
    pub(crate) fn abort(&self) {
        self.change(|queue| {
            queue.drop_waiting();
            queue.ending = Some(Ending::Abort);
            Some(())
        });
    }

    /// The connection's task runs; it looks at the queue before it sleeps.
    pub(crate) fn woken(&self, waker: &Waker) {
        let mut queue = self.queue.lock();
        queue.awake = true;
        if !queue.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            queue.waker = Some(waker.clone());
        }
    }

    /// The task wants to sleep; false: there is something to do. `blocked`: the socket takes nothing now, so what
    /// waits is no reason to stay awake.
    pub(crate) fn sleep(&self, blocked: bool) -> bool {
        let mut queue = self.queue.lock();
        if (!queue.pieces.is_empty() && !blocked) || queue.ending == Some(Ending::Abort) {
            return false;
        }
        queue.awake = blocked && !queue.pieces.is_empty();
        true
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.queue.lock().ending
    }

    /// Whether it ends because too much waited, or for too long.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.queue.lock().overflowed
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.lock().bytes
    }

    /// Since when nothing has been taken, if anything waits.
    pub(crate) fn stalled_since(&self) -> Option<u64> {
        let queue = self.queue.lock();
        (queue.bytes > 0).then_some(queue.progress)
    }
}

/// The task's end of an [`Outbox`]: what it is writing, without a lock.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pieces: VecDeque<Piece>,
    /// The first piece belongs to a frame of which something has been written.
    begun: bool,
}

impl Writer {
    /// Takes what waits; false: there is nothing to write.
    pub(crate) fn fill(&mut self, outbox: &Outbox) -> bool {
        let mut queue = outbox.queue.lock();
        if std::mem::take(&mut queue.overflowed) {
            queue.bytes -= self.drop_waiting();
        }
        if self.pieces.is_empty() {
            if queue.pieces.is_empty() && queue.pieces.capacity() > KEPT {
                queue.pieces = VecDeque::new();
            }
            std::mem::swap(&mut self.pieces, &mut queue.pieces);
        } else if self.pieces.len() < SLICES {
            self.pieces.append(&mut queue.pieces);
        }
        !self.pieces.is_empty()
    }

    /// The first pieces, for a vectored write.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(&piece.bytes);
            count += 1;
        }
        count
    }

    /// So many bytes have been written.
    pub(crate) fn advance(&mut self, outbox: &Outbox, taken: usize, now: u64) {
        let mut left = taken;
        while left > 0 {
            let piece = self.pieces.front_mut().expect("no more was written than there is");
            if piece.bytes.len() > left {
                piece.bytes.advance(left);
                self.begun = true;
                break;
            }
            left -= piece.bytes.len();
            self.begun = !piece.end;
            self.pieces.pop_front();
        }
        if self.pieces.is_empty() && self.pieces.capacity() > KEPT {
            self.pieces = VecDeque::new();
        }
        let mut queue = outbox.queue.lock();
        queue.bytes -= taken;
        queue.progress = now;
    }

    /// Drops everything but the rest of a frame that has been begun; answers how many bytes.
    fn drop_waiting(&mut self) -> usize {
        let keep = if self.begun {
            self.pieces.iter().position(|piece| piece.end).map_or(self.pieces.len(), |end| end + 1)
        } else {
            0
        };
        self.pieces.drain(keep..).map(|piece| piece.bytes.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Frame {
        Frame::new(text.as_bytes().chunks(2).map(Bytes::copy_from_slice).collect())
    }

    /// What the writer would send, at most `most` bytes.
    fn write(writer: &mut Writer, outbox: &Outbox, most: usize) -> String {
        let mut slices = [IoSlice::new(&[]); SLICES];
        if !writer.fill(outbox) {
            return String::new();
        }
        let count = writer.slices(&mut slices);
        let mut all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
        all.truncate(most);
        writer.advance(outbox, all.len(), 0);
        String::from_utf8_lossy(&all).into_owned()
    }

    #[test]
    fn frames_leave_whole_and_in_order_however_little_is_taken() {
        let (outbox, mut writer) = (Outbox::default(), Writer::default());
        assert!(outbox.push(&frame("hello"), 100, 0) && outbox.push(&frame("world"), 100, 0));
        let mut all = String::new();
        for most in [1, 3, 2, 100] {
            all += &write(&mut writer, &outbox, most);
        }
        assert_eq!((&all[..], outbox.len()), ("helloworld", 0));
    }

    #[test]
    fn one_that_is_too_slow_gets_the_frame_that_was_begun_and_the_reason() {
        let (outbox, mut writer) = (Outbox::default(), Writer::default());
        assert!(outbox.push(&frame("begun"), 12, 0) && outbox.push(&frame("waits"), 12, 0));
        assert_eq!(write(&mut writer, &outbox, 3), "beg");
        assert!(!outbox.push(&frame("too much"), 12, 0), "7 bytes wait");
        assert!(!outbox.push(&frame("later"), 12, 0), "it ends");
        let rest = write(&mut writer, &outbox, 1000);
        let rest = rest.strip_prefix("un").expect("the frame that was begun");
        assert!(rest.ends_with(super::super::TOO_SLOW), "{rest}");
        assert_eq!((outbox.len(), outbox.ending()), (0, Some(Ending::Close)));
    }

    #[test]
    fn a_single_frame_may_be_longer_than_the_bound() {
        let outbox = Outbox::default();
        assert!(outbox.push(&frame("hello"), 1, 0));
        assert!(!outbox.push(&frame("h"), 1, 0));
    }
}
