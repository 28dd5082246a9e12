//! The other end of the socket: what `pollux show` and the like talk through.

use super::{Line, Request, Response, VERSION};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a director may take to say anything: it answers at once, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "pollux is not running on {}: start it with `pollux run --config FILE`, or give --socket", path.display()
    )]
    NotRunning { path: PathBuf },
    #[error("no permission to use {}: become root, or the user pollux runs as", path.display())]
    Permission { path: PathBuf },
    #[error("pollux on {} does not answer: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("pollux on {} answers with something else ({source}): use the same pollux for both", path.display())]
    Answer { path: PathBuf, source: serde_json::Error },
    #[error("{0}")]
    Refused(String),
}

/// A connected socket; `WouldBlock` when the other side does not get to accepting it in time.
pub(super) fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

impl Client {
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let path = path.to_owned();
        let stream = match connect(&path, PATIENCE) {
            Ok(stream) => stream,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(ClientError::Permission { path });
            }
            Err(source) if source.kind() == ErrorKind::WouldBlock => return Err(ClientError::Io { path, source }),
            Err(_) => return Err(ClientError::NotRunning { path }),
        };
        let timeouts = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        match timeouts {
            Ok(()) => Ok(Self { stream: BufReader::new(stream), path }),
            Err(source) => Err(ClientError::Io { path, source }),
        }
    }

    /// Sends a request; its answer is read with [`next`](Self::next).
    pub fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        let line = Line { version: VERSION, request: request.clone() };
        let mut text = serde_json::to_vec(&line).expect("requests become JSON");
        text.push(b'\n');
        let sent = self.stream.get_mut().write_all(&text);
        sent.map_err(|source| ClientError::Io { path: self.path.clone(), source })
    }

    /// The answer's next line. A refusal is an error.
    pub fn next(&mut self) -> Result<Response, ClientError> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        let io = |source: io::Error| ClientError::Io { path: self.path.clone(), source };
        if read.map_err(io)? == 0 {
            return Err(io(ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_str(&line) {
            Ok(Response::Error { message }) => Err(ClientError::Refused(message)),
            Ok(response) => Ok(response),
            Err(source) => Err(ClientError::Answer { path: self.path.clone(), source }),
        }
    }

    /// For requests that are answered with one line.
    pub fn ask(&mut self, request: &Request) -> Result<Response, ClientError> {
        self.send(request)?;
        self.next()
    }
}
