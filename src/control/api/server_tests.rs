//! The server over a real socket, with clients of all manners.

use super::*;
use crate::control::api::client::{Client as ApiClient, ClientError};
use crate::control::api::views::{ConnectionView, RouteView};
use crate::control::api::{ServiceRef, Topic};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use tempfile::TempDir;

/// Lists `pages` pages of connections, each of which is ready at the second try.
struct Fake {
    pages: usize,
    rows: usize,
    asked: bool,
    deleted: usize,
}

impl Handler for Fake {
    type Listing = usize;

    fn handle(&mut self, request: Request) -> Next<usize> {
        match request {
            Request::Show(Topic::Connections) => Next::Later(0),
            Request::Show(_) => Next::Last(Response::Routes { rows: vec![] }),
            Request::ServiceDelete(_) => {
                self.deleted += 1;
                Next::Last(Response::Done { changes: vec![self.deleted.to_string()] })
            }
            _ => Next::Last(Response::error("refused")),
        }
    }

    fn next_page(&mut self, page: &usize) -> Poll<Next<usize>> {
        self.asked = !self.asked;
        if self.asked {
            return Poll::Pending;
        }
        let following = Some(page + 1).filter(|page| *page < self.pages);
        let rows = vec![row(*page as u32); self.rows];
        Poll::Ready(Next::page(Response::Connections { rows, more: following.is_some() }, following))
    }
}

fn row(expires_s: u32) -> ConnectionView {
    let at = "[2001:db8::1]:65535".parse().unwrap();
    let (protocol, state) = ("TCP".to_owned(), "ESTABLISHED".to_owned());
    ConnectionView { protocol, client: at, virtual_address: at, destination: at, state, expires_s, engine: None }
}

fn socket(directory: &TempDir) -> PathBuf {
    directory.path().join("run/pollux.sock")
}

/// Serves until `test` returns. Nothing but what happens on sockets ends a wait.
fn with_server(test: impl FnOnce(&Path) + Send) {
    let directory = tempfile::tempdir().unwrap();
    let path = socket(&directory);
    let mut server: Server<Fake> = Server::bind(&path).unwrap();
    let mut fake = Fake { pages: 50, rows: 100, asked: false, deleted: 0 };
    let (running, watched) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            // closed at the end, also when the test panics
            let _running = running;
            test(&path);
        });
        let minute = Duration::from_secs(60);
        while server.poll(minute, &[watched.as_fd()], &mut fake).unwrap() == [false] {}
    });
}

fn is_alive(path: &Path) -> bool {
    let answer = ApiClient::connect(path).unwrap().ask(&Request::Show(Topic::Routes));
    answer.unwrap() == Response::Routes { rows: Vec::<RouteView>::new() }
}

#[test]
fn the_socket_is_its_owners_only_and_gone_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket(&directory);
    let server: Server<Fake> = Server::bind(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(server);
    assert!(!path.exists());
}

#[test]
fn a_second_server_is_refused_and_told_who_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket(&directory);
    let first: Server<Fake> = Server::bind(&path).unwrap();
    let second = Server::<Fake>::bind(&path).err().unwrap().to_string();
    let pid = std::process::id();
    let expected = format!("another pollux is running on {} (pid {pid}); stop it or give --socket", path.display());
    assert_eq!(second, expected);
    drop(first);
    Server::<Fake>::bind(&path).unwrap();
}

#[test]
fn a_stale_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pollux.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left behind, as by kill -9");
    Server::<Fake>::bind(&path).unwrap();
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    fs::write(&path, "mine").unwrap();
    let refused = Server::<Fake>::bind(&path).err().unwrap();
    assert!(matches!(refused, ServerError::NotASocket { .. }), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn nobody_there_is_told_what_to_type() {
    let path = Path::new("/nonexistent/pollux.sock");
    let refused = ApiClient::connect(path).err().unwrap().to_string();
    let expected = "pollux is not running on /nonexistent/pollux.sock: start it with `pollux run --config FILE`, \
                    or give --socket";
    assert_eq!(refused, expected);
}

#[test]
fn one_connection_can_carry_several_requests_at_once() {
    with_server(|path| {
        let mut client = ApiClient::connect(path).unwrap();
        let request = Request::ServiceDelete(ServiceRef::Mark(1));
        for _ in 0..3 {
            client.send(&request).unwrap();
        }
        let start = Instant::now();
        for i in 1..=3 {
            assert_eq!(client.receive().unwrap(), Response::Done { changes: vec![i.to_string()] });
        }
        assert!(start.elapsed() < PATIENCE);
        let refused = client.ask(&Request::Reload).unwrap_err();
        assert!(matches!(&refused, ClientError::Refused(message) if message == "refused"), "{refused}");
    });
}

#[test]
fn a_long_listing_arrives_whole_while_others_are_served() {
    with_server(|path| {
        let start = Instant::now();
        let mut client = ApiClient::connect(path).unwrap();
        client.send(&Request::Show(Topic::Connections)).unwrap();
        for page in 0..50 {
            let answer = client.receive().unwrap();
            assert_eq!(answer, Response::Connections { rows: vec![row(page); 100], more: page != 49 });
            if page == 10 {
                assert!(is_alive(path), "one that reads slowly holds up nobody");
            }
        }
        assert!(is_alive(path));
        assert!(start.elapsed() < PATIENCE, "no page waited for anything but its reader");
    });
}

#[test]
fn a_listing_whose_client_has_gone_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket(&directory);
    let mut server: Server<Fake> = Server::bind(&path).unwrap();
    let mut fake = Fake { pages: 1, rows: 1, asked: false, deleted: 0 };
    let mut client = ApiClient::connect(&path).unwrap();
    client.send(&Request::Show(Topic::Connections)).unwrap();
    for _ in 0..3 {
        // never ready
        fake.asked = false;
        server.poll(Duration::from_secs(1), &[], &mut fake).unwrap();
    }
    assert_eq!(server.clients.len(), 1);
    drop(client);
    fake.asked = false;
    server.poll(Duration::from_secs(1), &[], &mut fake).unwrap();
    assert!(server.clients.is_empty());
}

#[test]
fn a_request_before_a_half_close_is_still_answered() {
    with_server(|path| {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(b"{\"version\":1,\"request\":{\"show\":\"routes\"}}\n").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "{\"routes\":{\"rows\":[]}}\n");
    });
}

#[test]
fn garbage_is_answered_with_what_a_request_is() {
    with_server(|path| {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(b"\xff\x00GET / HTTP/1.1\r\n\n").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let lines: Vec<_> = answer.lines().collect();
        assert_eq!(lines.len(), 2, "{answer}");
        assert!(lines.iter().all(|line| line.starts_with("{\"error\":{\"message\":\"not a request")), "{answer}");
        assert!(is_alive(path));
    });
}

#[test]
fn an_oversized_request_is_refused_and_its_sender_cut_off() {
    with_server(|path| {
        let mut stream = UnixStream::connect(path).unwrap();
        // the server stops reading at some point and closes, so the rest may not be writable
        let _ = stream.write_all(&vec![b'x'; REQUEST_BYTES_MAX + 8192]);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(answer, "{\"error\":{\"message\":\"a request is at most 1048576 bytes long\"}}\n");
        assert!(is_alive(path));
    });
}

#[test]
fn clients_without_patience_are_cut_off_and_hold_up_nobody() {
    with_server(|path| {
        let mut silent = UnixStream::connect(path).unwrap();
        let mut slow = UnixStream::connect(path).unwrap();
        slow.write_all(b"{\"version\":1,").unwrap();
        let mut deaf = ApiClient::connect(path).unwrap();
        deaf.send(&Request::Show(Topic::Connections)).unwrap();
        let start = Instant::now();
        assert!(is_alive(path));
        assert!(start.elapsed() < PATIENCE / 2, "answered beside them");
        assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(slow.read(&mut [0; 8]).unwrap(), 0);
        assert!(start.elapsed() > PATIENCE / 2 && start.elapsed() < PATIENCE * 2);
        assert!(is_alive(path));
        // its last progress was a moment later than theirs
        thread::sleep(Duration::from_millis(500));
        // all that its socket's buffer took arrives, and then the end
        let end = (0..50).find_map(|_| deaf.receive().err());
        assert!(matches!(end, Some(ClientError::Io { .. } | ClientError::Answer { .. })), "{end:?}");
    });
}

#[test]
fn the_seventeenth_client_waits_for_a_place() {
    with_server(|path| {
        let mut silent: Vec<_> = (0..CLIENTS_MAX).map(|_| UnixStream::connect(path).unwrap()).collect();
        thread::sleep(Duration::from_millis(100));
        let mut next = ApiClient::connect(path).unwrap();
        next.send(&Request::Show(Topic::Routes)).unwrap();
        silent.pop();
        assert_eq!(next.receive().unwrap(), Response::Routes { rows: vec![] });
    });
}

#[test]
fn other_descriptors_end_the_wait() {
    let directory = tempfile::tempdir().unwrap();
    let mut server: Server<Fake> = Server::bind(&socket(&directory)).unwrap();
    let mut fake = Fake { pages: 1, rows: 1, asked: false, deleted: 0 };
    let (mut near, far) = UnixStream::pair().unwrap();
    let fds = [far.as_fd()];
    assert_eq!(server.poll(Duration::ZERO, &fds, &mut fake).unwrap(), [false]);
    near.write_all(b"!").unwrap();
    assert_eq!(server.poll(Duration::from_secs(60), &fds, &mut fake).unwrap(), [true]);
}

#[test]
fn out_of_descriptors_the_server_rests_instead_of_being_woken_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket(&directory);
    let mut server = Server::<Fake>::bind(&path).unwrap();
    let mut handler = Fake { pages: 1, rows: 1, asked: false, deleted: 0 };
    let begun = Instant::now();
    server.closed_until = Some(begun + Duration::from_millis(150));
    let waiting = UnixStream::connect(&path).unwrap();
    let mut turns = 0;
    while server.clients.is_empty() {
        server.poll(Duration::from_secs(5), &[], &mut handler).unwrap();
        turns += 1;
    }
    assert!(begun.elapsed() >= Duration::from_millis(150) && turns <= 2, "whoever waited woke it {turns} times");
    drop(waiting);
}
