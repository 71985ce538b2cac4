//! What the screen's thread waits for: bytes of the terminal, signals, what the worker says. One channel has it all, so
//! that nothing is asked for again and again; it has few places, so that a flood of anything waits where it comes from.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
#[cfg(not(unix))]
use std::thread;
use std::time::{Duration, Instant};

use super::input::Input;
#[cfg(unix)]
use super::{parser::Parser, reader::Reader, signals};
use crate::tui::worker::Update;

/// Places in the channel.
const PLACES: usize = 64;

/// What happens.
#[derive(Debug)]
pub enum Event {
    Input(Input),
    /// The worker says something.
    Update(Update),
    /// What tmux says of itself and of the terminal around it.
    Tmux(String),
    /// The window has another size.
    Resized,
    /// The program is to sleep.
    Stopped,
    /// The program was woken up, by whom it was not put to sleep.
    Continued,
}

/// What comes through the channel.
#[derive(Debug)]
pub(super) enum Message {
    Event(Event),
    /// Bytes, and when they were read.
    #[cfg(unix)]
    Bytes(Vec<u8>, Instant),
    /// A signal came.
    #[cfg(unix)]
    Signal,
    /// The terminal is gone.
    Gone,
}

/// All that the screen's thread waits for.
pub struct Events {
    messages: Receiver<Message>,
    sender: SyncSender<Message>,
    ready: VecDeque<Event>,
    #[cfg(unix)]
    parser: Parser,
    /// While the terminal is read.
    #[cfg(unix)]
    reader: Option<Reader>,
    requests: Arc<Requests>,
}

#[cfg(unix)]
pub use signals::Requests;

/// Elsewhere there are no signals.
#[cfg(not(unix))]
#[derive(Debug, Default)]
pub struct Requests(std::sync::atomic::AtomicBool);

#[cfg(not(unix))]
impl Requests {
    fn hang_up(&self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Is the terminal gone? As the number of the signal that would have said so.
    pub fn ended(&self) -> Option<i32> {
        let is_gone = self.0.load(std::sync::atomic::Ordering::Relaxed);
        is_gone.then_some(1)
    }
}

impl Events {
    /// Begins to read the terminal, which is in raw mode, and to listen to signals.
    pub fn listen() -> io::Result<Self> {
        let (sender, messages) = sync_channel(PLACES);
        let requests = Arc::new(Requests::default());
        #[cfg(unix)]
        {
            let waker = sender.clone();
            // Where the channel is full, the screen's thread wakes up without being told.
            let wake = move || drop(waker.try_send(Message::Signal));
            signals::listen(&requests, wake)?;
        }
        #[cfg(not(unix))]
        start_reader(sender.clone())?;
        let mut events = Self {
            messages,
            sender,
            ready: VecDeque::new(),
            #[cfg(unix)]
            parser: Parser::default(),
            #[cfg(unix)]
            reader: None,
            requests,
        };
        events.resume()?;
        Ok(events)
    }

    /// The signal that asks the program to end, if one does.
    pub fn ended(&self) -> Option<i32> {
        self.requests.ended()
    }

    /// For other threads, to tell the screen's something. Answers whether it still listens.
    pub fn sender(&self) -> impl Fn(Event) -> bool + Send + 'static {
        let sender = self.sender.clone();
        move |event| sender.send(Message::Event(event)).is_ok()
    }

    /// Waits until something happens, `timeout` at most.
    pub fn wait(&mut self, timeout: Duration) -> Option<Event> {
        let end = Instant::now() + timeout;
        loop {
            if let Some(event) = self.next_ready() {
                return Some(event);
            }
            if self.requests.ended().is_some() {
                return None;
            }
            let left = self.patience(end).saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => self.expire(),
                Err(RecvTimeoutError::Disconnected) => self.requests.hang_up(),
            }
            if self.ready.is_empty() && Instant::now() >= end {
                return self.next_ready();
            }
        }
    }

    /// What has happened already, without waiting.
    pub fn poll(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.next_ready() {
                return Some(event);
            }
            match self.messages.try_recv() {
                Ok(message) => self.take(message),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Event(event) => self.ready.push_back(event),
            #[cfg(unix)]
            Message::Bytes(bytes, now) => self.parser.feed(&bytes, now),
            #[cfg(unix)]
            Message::Signal => {}
            Message::Gone => self.requests.hang_up(),
        }
    }
}

#[cfg(unix)]
impl Events {
    /// Reads the terminal no more: what is typed from now on is for whoever gets it.
    pub fn pause(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.stop(|| {
                while let Ok(message) = self.messages.try_recv() {
                    self.take(message);
                }
            });
        }
    }

    /// Reads the terminal again.
    pub fn resume(&mut self) -> io::Result<()> {
        if self.reader.is_none() {
            self.reader = Some(Reader::start(self.sender.clone())?);
        }
        Ok(())
    }

    fn next_ready(&mut self) -> Option<Event> {
        if self.requests.take_stopped() {
            return Some(Event::Stopped);
        }
        if self.requests.take_continued() {
            return Some(Event::Continued);
        }
        if self.requests.take_resized() {
            return Some(Event::Resized);
        }
        let input = self.parser.next().map(Event::Input);
        input.or_else(|| self.ready.pop_front())
    }

    /// Until when to wait, at most until `end`.
    fn patience(&self, end: Instant) -> Instant {
        self.parser.deadline().map_or(end, |due| due.min(end))
    }

    /// Nothing came: what waits for more may be complete.
    fn expire(&mut self) {
        self.parser.expire(Instant::now());
    }
}

#[cfg(not(unix))]
impl Events {
    pub fn pause(&mut self) {}

    pub fn resume(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn next_ready(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    fn patience(&self, end: Instant) -> Instant {
        end
    }

    fn expire(&mut self) {}
}

/// Elsewhere the terminal library reads the console, which gives keys and no bytes.
#[cfg(not(unix))]
fn start_reader(sender: SyncSender<Message>) -> io::Result<()> {
    use crossterm::event;

    let read = move || {
        while let Ok(read) = event::read() {
            let event = match read {
                event::Event::Key(key) => Event::Input(Input::Key(key)),
                event::Event::Mouse(mouse) => Event::Input(Input::Mouse(mouse)),
                event::Event::Paste(text) => Event::Input(Input::Paste(text)),
                event::Event::Resize(..) => Event::Resized,
                _ => continue,
            };
            if sender.send(Message::Event(event)).is_err() {
                return;
            }
        }
        let _ = sender.send(Message::Gone);
    };
    thread::Builder::new().name("keys".into()).spawn(read)?;
    Ok(())
}
