//! The API's unix socket. Never blocks: the control thread gives it a turn, together with its other descriptors, and a
//! client that neither writes nor reads costs it nothing but a place.

use super::client::connect;
use super::{REQUEST_BYTES_MAX, Request, Response, parse};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, fchmod};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::{Duration, Instant};

/// Clients served at once; others wait in the socket's backlog. An operator, a few scripts and a metrics collector.
const CLIENTS_MAX: usize = 16;

/// How long a client may neither send a request nor take its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How soon to ask again for what was not ready: a worker answers between two bursts.
const RETRY: Duration = Duration::from_micros(100);

/// How long nobody is let in after that failed: it costs a client a wait, and the control thread nothing.
const BREATHER: Duration = Duration::from_millis(500);

/// A page is only made when less than this waits to be sent, so an answer takes little memory however long it is.
const OUTPUT_BYTES_LOW: usize = 64 * 1024;

/// What the server does not know: what requests mean.
pub trait Handler {
    /// Where a long answer has come to.
    type Listing;

    fn handle(&mut self, request: Request) -> Next<Self::Listing>;

    /// The next part of a long answer. `Pending`: it is not known yet; never waits.
    fn next_page(&mut self, listing: &Self::Listing) -> Poll<Next<Self::Listing>>;
}

/// A part of an answer.
#[derive(Debug)]
pub enum Next<L> {
    Last(Response),
    Page(Response, L),
    /// Nothing yet: `next_page` has the beginning.
    Later(L),
}

impl<L> Next<L> {
    pub fn page(response: Response, following: Option<L>) -> Self {
        match following {
            Some(listing) => Self::Page(response, listing),
            None => Self::Last(response),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("another pollux is running on {} (pid {pid}); stop it or give --socket", path.display())]
    Running { path: PathBuf, pid: String },
    #[error("{} exists and is no socket; remove it or give --socket", path.display())]
    NotASocket { path: PathBuf },
    #[error("cannot listen on {}: {source}; give a path that can be written with --socket", path.display())]
    Io { path: PathBuf, source: io::Error },
}

pub struct Server<H: Handler> {
    listener: UnixListener,
    path: PathBuf,
    /// Of the socket's file, so that another's is not removed at the end.
    inode: u64,
    clients: Vec<Client<H::Listing>>,
    /// Nobody is let in before: letting in failed.
    closed_until: Option<Instant>,
}

impl<H: Handler> Server<H> {
    /// Listens on `path`, which only its owner can use. Its directory is made if there is none.
    pub fn bind(path: &Path) -> Result<Self, ServerError> {
        let io = |source: io::Error| ServerError::Io { path: path.to_owned(), source };
        make_directory(path).map_err(io)?;
        make_room(path)?;
        let listener = listen_on(path).map_err(io)?;
        let inode = fs::symlink_metadata(path).map_err(io)?.ino();
        Ok(Self { listener, path: path.to_owned(), inode, clients: Vec::new(), closed_until: None })
    }

    /// Waits until a client, or one of `others`, has something, at most for `timeout`; serves the clients; says which
    /// of `others` can be read. A signal's interruption counts as nothing.
    pub fn poll(&mut self, timeout: Duration, others: &[BorrowedFd<'_>], handler: &mut H) -> io::Result<Vec<bool>> {
        let others = self.wait(self.turn(timeout), others)?;
        let now = Instant::now();
        self.accept(now);
        for client in &mut self.clients {
            client.serve(handler, now);
        }
        self.clients.retain(|client| !client.closed);
        Ok(others)
    }

    /// How long to wait: no longer than the first client's patience.
    fn turn(&self, timeout: Duration) -> Duration {
        let now = Instant::now();
        let turns = self.clients.iter().map(|client| client.turn(now));
        let turns = turns.chain(self.closed_until.map(|until| until.saturating_duration_since(now)));
        turns.min().map_or(timeout, |turn| turn.min(timeout))
    }

    /// Which of `others` can be read.
    fn wait(&mut self, timeout: Duration, others: &[BorrowedFd<'_>]) -> io::Result<Vec<bool>> {
        let mut fds: Vec<_> = others.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        fds.extend(self.clients.iter().map(|client| PollFd::new(&client.stream, client.interest())));
        if self.clients.len() < CLIENTS_MAX && self.closed_until.is_none() {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        let timeout = Timespec::try_from(timeout).map_err(|_| ErrorKind::InvalidInput)?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => (),
            Err(rustix::io::Errno::INTR) => return Ok(vec![false; others.len()]),
            Err(error) => return Err(error.into()),
        }
        let events: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        for (client, events) in self.clients.iter_mut().zip(&events[others.len()..]) {
            client.notice(*events);
        }
        Ok(events[..others.len()].iter().map(|events| !events.is_empty()).collect())
    }

    fn accept(&mut self, now: Instant) {
        if self.closed_until.is_some_and(|until| now < until) {
            return;
        }
        self.closed_until = None;
        while self.clients.len() < CLIENTS_MAX {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if is_passing(&error) => return,
                // out of descriptors or memory: who waits goes on waiting, and would wake us at once
                Err(_) => {
                    self.closed_until = Some(now + BREATHER);
                    return;
                }
            };
            if stream.set_nonblocking(true).is_ok() {
                self.clients.push(Client::new(stream, now));
            }
        }
    }
}

impl<H: Handler> Drop for Server<H> {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|m| m.ino() == self.inode) {
            // nothing can be done about an error, and the next start removes what is left
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Nobody is there, or no longer.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted)
}

fn make_directory(path: &Path) -> io::Result<()> {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).map_or(Ok(()), fs::create_dir_all)
}

/// Whether [`Server::bind`] would find the place free; changes nothing.
pub fn could_bind(path: &Path) -> Result<(), ServerError> {
    is_left_over(path).map(drop)
}

/// Removes a socket that nobody listens on any more.
fn make_room(path: &Path) -> Result<(), ServerError> {
    let io = |source: io::Error| ServerError::Io { path: path.to_owned(), source };
    if is_left_over(path)? { fs::remove_file(path).map_err(io) } else { Ok(()) }
}

/// Whether there is a socket that nobody listens on any more; an error when the place is taken.
fn is_left_over(path: &Path) -> Result<bool, ServerError> {
    let io = |source: io::Error| ServerError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ServerError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => (),
    }
    let running = |pid| ServerError::Running { path: path.to_owned(), pid };
    match connect(path, Duration::from_secs(1)) {
        Ok(stream) => {
            let pid = socket_peercred(&stream).map(|peer| peer.pid.to_string());
            Err(running(pid.unwrap_or_else(|_| "unknown".to_owned())))
        }
        // its backlog is full
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(running("unknown".to_owned())),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(true),
        Err(error) => Err(io(error)),
    }
}

fn listen_on(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // the file gets the mode the socket has, so there is no moment in which others can connect (unix(7), Linux)
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, 16)?;
    Ok(UnixListener::from(socket))
}

struct Client<L> {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Of `output`.
    sent: usize,
    /// Where the answer has come to, when it is a long one.
    listing: Option<L>,
    /// The listing's next page was not ready.
    waiting: bool,
    /// Sends nothing more.
    finished: bool,
    /// To be closed once everything is sent.
    last: bool,
    closed: bool,
    patience_ends: Instant,
}

impl<L> Client<L> {
    fn new(stream: UnixStream, now: Instant) -> Self {
        Self {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            listing: None,
            waiting: false,
            finished: false,
            last: false,
            closed: false,
            patience_ends: now + PATIENCE,
        }
    }

    fn is_answered(&self) -> bool {
        self.listing.is_none() && self.sent == self.output.len()
    }

    /// The next request is only read when the last one is answered.
    fn interest(&self) -> PollFlags {
        if self.sent < self.output.len() {
            PollFlags::OUT
        } else if self.listing.is_none() {
            PollFlags::IN
        } else {
            PollFlags::empty()
        }
    }

    fn has_request(&self) -> bool {
        self.input.contains(&b'\n')
    }

    fn turn(&self, now: Instant) -> Duration {
        let has_work = if self.listing.is_some() { self.sent == self.output.len() } else { self.has_request() };
        match (self.waiting, has_work) {
            (true, _) => RETRY,
            (false, true) => Duration::ZERO,
            (false, false) => self.patience_ends.saturating_duration_since(now),
        }
    }

    /// A client that has gone takes no answer; one that is answered may still have left a request.
    fn notice(&mut self, events: PollFlags) {
        self.closed |= events.intersects(PollFlags::HUP | PollFlags::ERR) && !self.is_answered();
    }

    /// Everything that can be done without waiting.
    fn serve<H: Handler<Listing = L>>(&mut self, handler: &mut H, now: Instant) {
        self.waiting = false;
        if self.is_answered() {
            self.receive();
            self.take_request(handler, now);
        }
        self.send(handler, now);
        if self.is_answered() && (self.last || self.finished && !self.has_request()) {
            self.closed = true;
        }
        // a page that a worker has not delivered yet is not the client's fault
        if now >= self.patience_ends && !self.waiting {
            self.closed = true;
        }
    }

    fn receive(&mut self) {
        let mut chunk = [0; 4096];
        while !self.finished && !self.has_request() && self.input.len() <= REQUEST_BYTES_MAX {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.finished = true,
                Ok(length) => self.input.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    fn take_request<H: Handler<Listing = L>>(&mut self, handler: &mut H, now: Instant) {
        let end = self.input.iter().position(|byte| *byte == b'\n');
        let next = match end {
            Some(end) if end <= REQUEST_BYTES_MAX => {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                parse(&line).map_or_else(|e| Next::Last(Response::error(e)), |request| handler.handle(request))
            }
            None if self.input.len() <= REQUEST_BYTES_MAX => return,
            _ => {
                self.last = true;
                Next::Last(Response::error(format!("a request is at most {REQUEST_BYTES_MAX} bytes long")))
            }
        };
        self.patience_ends = now + PATIENCE;
        self.put(next);
    }

    fn put(&mut self, next: Next<L>) {
        let (response, listing) = match next {
            Next::Last(response) => (Some(response), None),
            Next::Page(response, listing) => (Some(response), Some(listing)),
            Next::Later(listing) => (None, Some(listing)),
        };
        self.listing = listing;
        if let Some(response) = response {
            serde_json::to_writer(&mut self.output, &response).expect("rows of numbers and text become JSON");
            self.output.push(b'\n');
        }
    }

    /// Sends what there is and makes more of it, one page a turn, so that a long answer does not hold up the others.
    fn send<H: Handler<Listing = L>>(&mut self, handler: &mut H, now: Instant) {
        if self.output.len() - self.sent < OUTPUT_BYTES_LOW
            && let Some(listing) = &self.listing
        {
            match handler.next_page(listing) {
                Poll::Ready(next) => self.put(next),
                Poll::Pending => self.waiting = true,
            }
        }
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(length) => {
                    self.sent += length;
                    self.patience_ends = now + PATIENCE;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
