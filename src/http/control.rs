//! The control socket: how `cordon <verb>` talks to a running server, on a Unix socket that only its own user (and root) may open.
//!
//! Server side is tiny_http, fit for callers who are trusted and for nobody else; the client side is [`Client`]. Same [`Handler`]s
//! as the public listeners. Deliberately not here: routes, and who the caller is beyond its user id.

use super::message::{Body, BodyLimit, Door, Handler, Head, Remote, Request, Response, next_request_id};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

mod client;

pub use client::Client;

/// Requests answered at once; a verb that waits for a device holds one.
const WORKERS: usize = 8;
/// How long requests of an accept loop that has ended are still taken, and how soon a worker sees that it has.
const REST: Duration = Duration::from_secs(2);
/// Longest path of a Unix socket: `sun_path` without its final zero.
const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
/// The caller's user id, sent by [`Client`].
const UID_HEADER: &str = "cordon-uid";

/// Where the control socket of a data directory is, and whether it had to move because the path would be too long.
///
/// `DATA_DIR/cordon.sock`, else `cordon-<hash>.sock` in `XDG_RUNTIME_DIR` or the temporary directory.
pub fn socket_path(data_dir: &Path) -> (PathBuf, bool) {
    // Server and client may name the directory differently; its real path is one.
    let real =
        fs::canonicalize(data_dir).or_else(|_| std::path::absolute(data_dir)).unwrap_or_else(|_| data_dir.to_owned());
    let usual = real.join("cordon.sock");
    if usual.as_os_str().len() <= MAX_SOCKET_PATH {
        return (usual, false);
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, real.as_os_str().as_encoded_bytes());
    let name = format!("cordon-{}.sock", hex::encode(&digest.as_ref()[..8]));
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    (runtime.unwrap_or_else(std::env::temp_dir).join(name), true)
}

/// The listening control socket. Dropping it stops it.
pub struct Control {
    inner: Arc<Inner>,
    workers: Vec<JoinHandle<()>>,
}

struct Inner {
    path: PathBuf,
    /// Ours for good; tiny_http gets clones, because its accept loop may end.
    listener: UnixListener,
    /// `None` once stopped.
    server: Mutex<Option<Arc<tiny_http::Server>>>,
    handler: Arc<dyn Handler>,
    stopping: AtomicBool,
}

impl Control {
    /// Listens on `path` with mode 0600. A file that nobody answers on, left by a crash, is replaced.
    ///
    /// # Errors
    /// `AddrInUse` when another server answers there; otherwise when the path cannot be bound.
    pub fn start(path: &Path, handler: Arc<dyn Handler>) -> io::Result<Control> {
        let listener = bind(path)?;
        let server = Mutex::new(Some(Arc::new(open(&listener)?)));
        let inner =
            Arc::new(Inner { path: path.to_owned(), listener, server, handler, stopping: AtomicBool::new(false) });
        let mut control = Control { inner, workers: Vec::with_capacity(WORKERS) };
        for _ in 0..WORKERS {
            let inner = Arc::clone(&control.inner);
            control
                .workers
                .push(std::thread::Builder::new().name("cordon-control".into()).spawn(move || inner.work())?);
        }
        Ok(control)
    }

    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Answers what is running, takes no more, and removes the socket.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if self.inner.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        let server = self.inner.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = &server {
            (0..WORKERS).for_each(|_| server.unblock());
        }
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
        // Dropping the server marks its end; its accept thread sees the mark once something connects. It tries that
        // itself, but by the name that the socket was born under.
        drop(server);
        let _ = UnixStream::connect(&self.inner.path);
        let _ = fs::remove_file(&self.inner.path);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.end();
    }
}

impl Inner {
    fn work(&self) {
        loop {
            let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(server) = server else { return };
            match server.recv_timeout(REST) {
                Ok(Some(request)) => answer(&*self.handler, request),
                // The server may have been replaced meanwhile.
                Ok(None) => {}
                Err(error) => {
                    if self.reopen(&server, &error) {
                        self.serve_rest(&server);
                    }
                }
            }
        }
    }

    /// A caller that was accepted before the end may still be sending its request.
    fn serve_rest(&self, ended: &tiny_http::Server) {
        let until = Instant::now() + REST;
        while !self.stopping.load(Ordering::SeqCst) {
            let left = until.saturating_duration_since(Instant::now());
            match ended.recv_timeout(left) {
                Ok(Some(request)) => answer(&*self.handler, request),
                Ok(None) if !left.is_zero() => {}
                _ => return,
            }
        }
    }

    /// tiny_http ends its accept loop for good on any accept error, such as no file being free for a moment.
    /// True for the one worker that opened it again.
    fn reopen(&self, ended: &Arc<tiny_http::Server>, error: &io::Error) -> bool {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if !server.as_ref().is_some_and(|now| Arc::ptr_eq(now, ended)) {
            return false;
        }
        tracing::warn!(%error, "the control socket stopped accepting; opening it again");
        while !self.stopping.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(100));
            match open(&self.listener) {
                Ok(new) => {
                    *server = Some(Arc::new(new));
                    break;
                }
                Err(error) => tracing::error!(%error, "the control socket cannot be opened"),
            }
        }
        true
    }
}

fn open(listener: &UnixListener) -> io::Result<tiny_http::Server> {
    // Clones share this flag, and tiny_http takes "nothing to accept" for an error.
    listener.set_nonblocking(false)?;
    tiny_http::Server::from_listener(listener.try_clone()?, None).map_err(io::Error::other)
}

/// Binds inside a fresh directory that only we may enter, sets the mode, and moves the socket to its place: at no instant can
/// a stranger connect, and a stale file is replaced in one step.
fn bind(path: &Path) -> io::Result<UnixListener> {
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("socket path too long: {}", path.display())));
    }
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is not a socket", path.display())));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("a server answers on {}", path.display())));
        }
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The name is never longer than "/cordon.sock", so that a path that fits still fits here.
    let nest = tempfile::Builder::new().prefix(".c").rand_bytes(5).tempdir_in(parent)?;
    let born = nest.path().join("s");
    let listener = UnixListener::bind(&born)?;
    fs::set_permissions(&born, fs::Permissions::from_mode(0o600))?;
    fs::rename(&born, path)?;
    Ok(listener)
}

fn answer(handler: &dyn Handler, mut request: tiny_http::Request) {
    let response = catch_unwind(AssertUnwindSafe(|| match receive(handler, &mut request) {
        Ok(whole) => handler.handle(whole),
        Err(refusal) => refusal,
    }));
    let response = response.unwrap_or_else(|_| {
        tracing::error!("a handler of the control socket panicked");
        Response::text(500, "internal error\n")
    });
    let length = response.body.len();
    let headers =
        response.headers.iter().filter_map(|(n, v)| tiny_http::Header::from_bytes(n.as_bytes(), v.as_bytes()).ok());
    let out = tiny_http::Response::new(
        response.status.into(),
        headers.collect(),
        io::Cursor::new(response.body),
        Some(length),
        None,
    );
    // The caller may have gone; that is its own affair.
    let _ = request.respond(out.with_chunked_threshold(usize::MAX));
}

fn receive(handler: &dyn Handler, request: &mut tiny_http::Request) -> Result<Request, Response> {
    let bad = |why: &str| Response::text(400, format!("{why}\n"));
    let mut headers = HeaderMap::new();
    for header in request.headers() {
        let name =
            HeaderName::from_bytes(header.field.as_str().as_str().as_bytes()).map_err(|_| bad("bad header name"))?;
        let value = HeaderValue::from_bytes(header.value.as_str().as_bytes()).map_err(|_| bad("bad header value"))?;
        headers.append(name, value);
    }
    let uid = headers.get(UID_HEADER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let method = Method::from_bytes(request.method().as_str().as_bytes()).map_err(|_| bad("bad method"))?;
    let url = request.url().to_owned();
    let (path, query) = url.split_once('?').map_or((url.as_str(), None), |(path, query)| (path, Some(query)));
    let head = Head {
        id: next_request_id(),
        door: Door::Control,
        remote: Remote::Local { uid },
        method: &method,
        path,
        query,
        headers: &headers,
        peer_certificate: None,
    };
    let BodyLimit { soft, hard } = handler.body_limit(&head);
    let declared = request.body_length();
    let mut bytes = Vec::new();
    let read = request.as_reader().take(hard as u64 + 1).read_to_end(&mut bytes);
    if declared.is_some_and(|n| n > hard) || bytes.len() > hard {
        return Err(Response::text(413, "the body is too large\n"));
    }
    if read.is_err() || declared.is_some_and(|n| n != bytes.len()) {
        return Err(bad("the body is not complete"));
    }
    let oversized = bytes.len() > soft;
    Ok(head.with_body(Body { bytes, oversized }))
}

/// Refuses a socket that someone else may have put there: in a directory where everyone may write, it must be our own.
fn check_owner(path: &Path) -> io::Result<()> {
    let open_to_all = path.parent().and_then(|p| fs::metadata(p).ok()).is_some_and(|p| p.mode() & 0o002 != 0);
    if open_to_all && fs::symlink_metadata(path)?.uid() != rustix::process::geteuid().as_raw() {
        let why = format!("{} belongs to another user; run this as the user of the server", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Handler for Echo {
        fn body_limit(&self, head: &Head<'_>) -> BodyLimit {
            if head.path == "/tolerant" { BodyLimit::tolerant(10, 100) } else { BodyLimit::at_most(10) }
        }

        fn handle(&self, request: Request) -> Response {
            assert_ne!(request.path, "/panic");
            let Remote::Local { uid } = request.remote else { panic!("not local") };
            let Body { bytes, oversized } = request.body;
            let text =
                format!("{} {} {:?} {uid:?} {} {oversized}", request.method, request.path, request.query, bytes.len());
            Response::text(201, text).with_header("x-door", format!("{:?}", request.door))
        }
    }

    fn start() -> (tempfile::TempDir, Control, Client) {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = socket_path(dir.path());
        assert!(!moved);
        let control = Control::start(&path, Arc::new(Echo)).unwrap();
        let client = Client::new(&path).with_timeout(Duration::from_secs(5));
        (dir, control, client)
    }

    fn said(answer: Answer) -> (u16, String) {
        (answer.0, String::from_utf8(answer.2).unwrap())
    }

    use super::client::Answer;

    #[test]
    fn carries_a_request_and_its_answer() {
        let (dir, control, client) = start();
        let uid = rustix::process::getuid().as_raw();
        let answer = client.request("POST", "/a%20b?c=d", &[("X-One", "1")], b"hello").unwrap();
        assert!(answer.1.contains(&("x-door".into(), "Control".into())));
        assert_eq!(said(answer), (201, format!("POST /a%20b Some(\"c=d\") Some({uid}) 5 false")));
        assert_eq!(client.request("POST", "/", &[], &[0; 11]).unwrap().0, 413);
        assert_eq!(client.request("POST", "/", &[], &[0; 3_000_000]).unwrap().0, 413);
        let (_, tolerated) = said(client.request("POST", "/tolerant", &[], &[0; 100]).unwrap());
        assert_eq!(tolerated, format!("POST /tolerant None Some({uid}) 100 true"));
        assert_eq!(client.request("POST", "/tolerant", &[], &[0; 101]).unwrap().0, 413);
        assert_eq!(client.request("GET", "/panic", &[], b"").unwrap().0, 500);
        assert_eq!(client.request("GET", "/", &[], b"").unwrap().0, 201);
        let path = control.path().to_owned();
        control.stop();
        assert!(!path.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
        assert!(client.request("GET", "/", &[], b"").is_err());
    }

    #[test]
    fn only_the_owner_may_open_it() {
        let (_dir, control, _) = start();
        let mode = fs::metadata(control.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn replaces_a_stale_socket_but_no_live_one_and_no_file() {
        let (dir, control, client) = start();
        let error = Control::start(control.path(), Arc::new(Echo)).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(client.request("GET", "/", &[], b"").unwrap().0, 201);

        let stale = dir.path().join("stale.sock");
        drop(UnixListener::bind(&stale).unwrap());
        let again = Control::start(&stale, Arc::new(Echo)).unwrap();
        assert_eq!(Client::new(&stale).request("GET", "/", &[], b"").unwrap().0, 201);
        drop(again);

        let file = dir.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert!(Control::start(&file, Arc::new(Echo)).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[test]
    fn opens_again_when_its_accept_loop_ends() {
        let (_dir, control, client) = start();
        for _ in 0..3 {
            // The next accept after this one fails with "would block", which ends tiny_http's loop.
            control.inner.listener.set_nonblocking(true).unwrap();
            assert_eq!(client.request("GET", "/", &[], b"").unwrap().0, 201);
            assert_eq!(client.request("GET", "/", &[], b"").unwrap().0, 201);
        }
    }

    #[test]
    fn a_long_path_moves_to_a_name_of_its_own() {
        let deep = |name: &str| PathBuf::from("/nowhere").join("x".repeat(100)).join(name);
        let (a, moved) = socket_path(&deep("a"));
        assert!(moved && a.as_os_str().len() <= MAX_SOCKET_PATH, "{}", a.display());
        assert_ne!(a, socket_path(&deep("b")).0);
        assert_eq!(a, socket_path(&deep("a")).0);
        assert_eq!(socket_path(Path::new("/nowhere")), (PathBuf::from("/nowhere/cordon.sock"), false));
    }
}
