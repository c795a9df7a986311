//! The control socket: how `cordon <verb>` talks to a running server, on a Unix socket that only its own user (and root) may open.
//!
//! `server` reads and answers one request for each connection, `caller` knows who is at the other end, the client side is [`Client`].
//! Same [`Handler`]s as the public listeners. Deliberately not here: routes, and what the caller may do.

use super::message::Handler;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

mod caller;
mod client;
mod server;

pub use caller::user_name;
pub use client::Client;

/// Connections answered at once; a verb that waits for a device holds one. Beyond it a caller waits for its turn.
const MAX_OPEN: usize = 64;
/// How long the accept loop rests after a fault, such as no file being free for a moment.
const REST: Duration = Duration::from_millis(100);
/// Longest path of a Unix socket: `sun_path` without its final zero.
const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

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
    accepting: Option<JoinHandle<()>>,
}

struct Inner {
    path: PathBuf,
    listener: UnixListener,
    handler: Arc<dyn Handler>,
    stopping: AtomicBool,
    open: Mutex<Open>,
}

/// Connections that are being answered, by number.
#[derive(Default)]
struct Open {
    last: u64,
    streams: HashMap<u64, UnixStream>,
    threads: Vec<JoinHandle<()>>,
}

impl Control {
    /// Listens on `path` with mode 0600. A file that nobody answers on, left by a crash, is replaced.
    ///
    /// # Errors
    /// `AddrInUse` when another server answers there; otherwise when the path cannot be bound.
    pub fn start(path: &Path, handler: Arc<dyn Handler>) -> io::Result<Control> {
        let listener = bind(path)?;
        let stopping = AtomicBool::new(false);
        let inner = Arc::new(Inner { path: path.to_owned(), listener, handler, stopping, open: Mutex::default() });
        let accepting = Arc::clone(&inner);
        let thread = Builder::new().name("cordon-control".into()).spawn(move || accepting.accept())?;
        Ok(Control { inner, accepting: Some(thread) })
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
        // Wakes the accept: a socket that is shut down accepts nothing more. Where that does not wake it, a last caller does.
        let _ = rustix::net::shutdown(&self.inner.listener, rustix::net::Shutdown::Both);
        let _ = UnixStream::connect(&self.inner.path);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
        let threads = {
            let mut open = self.inner.open();
            // Who has not said what it wants will not be answered any more; who has, will.
            open.streams.values().for_each(|stream| drop(stream.shutdown(std::net::Shutdown::Read)));
            std::mem::take(&mut open.threads)
        };
        for thread in threads {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.inner.path);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.end();
    }
}

impl Inner {
    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>) {
        loop {
            let accepted = self.listener.accept();
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            let answering = accepted.and_then(|(stream, _)| self.answer(stream));
            if let Err(error) = answering {
                tracing::warn!(%error, "the control socket could not take a connection");
                std::thread::sleep(REST);
            }
        }
    }

    fn answer(self: &Arc<Self>, stream: UnixStream) -> io::Result<()> {
        while self.open().streams.len() >= MAX_OPEN && !self.stopping.load(Ordering::SeqCst) {
            std::thread::sleep(REST);
        }
        let copy = stream.try_clone()?;
        let mut open = self.open();
        open.threads.retain(|thread| !thread.is_finished());
        open.last += 1;
        let (number, inner) = (open.last, Arc::clone(self));
        open.streams.insert(number, copy);
        let thread = Builder::new().name("cordon-control".into()).spawn(move || {
            // The caller may have gone; that is its own affair.
            let _ = server::serve(&*inner.handler, &stream);
            inner.open().streams.remove(&number);
        });
        match thread {
            Ok(thread) => open.threads.push(thread),
            Err(error) => {
                open.streams.remove(&number);
                return Err(error);
            }
        }
        Ok(())
    }
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
    use super::super::message::{BodyLimit, Head, Remote, Request, Response};
    use super::*;
    use std::io::{Read, Write};

    struct Echo;

    impl Handler for Echo {
        fn body_limit(&self, head: &Head<'_>) -> BodyLimit {
            if head.path == "/tolerant" { BodyLimit::tolerant(10, 100) } else { BodyLimit::at_most(10) }
        }

        fn handle(&self, request: Request) -> Response {
            assert_ne!(request.path, "/panic");
            let Remote::Local { uid } = request.remote else { panic!("not local") };
            let (bytes, oversized) = (&request.body.bytes, request.body.oversized);
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
    fn goes_on_after_an_accept_that_fails() {
        let (_dir, control, client) = start();
        control.inner.listener.set_nonblocking(true).unwrap();
        std::thread::sleep(2 * REST);
        control.inner.listener.set_nonblocking(false).unwrap();
        for _ in 0..3 {
            assert_eq!(client.request("GET", "/", &[], b"").unwrap().0, 201);
        }
    }

    #[test]
    fn nobody_says_of_themselves_who_they_are_and_a_stop_waits_for_no_idler() {
        let (_dir, control, client) = start();
        let uid = rustix::process::getuid().as_raw();
        let claimed = [("Cordon-Uid", "4711"), ("X-Cordon-Local-User", "somebody-else")];
        assert!(said(client.request("GET", "/", &claimed, b"").unwrap()).1.contains(&format!("Some({uid})")));
        let idle = UnixStream::connect(control.path()).unwrap();
        let mut raw = UnixStream::connect(control.path()).unwrap();
        for chunked in ["3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "99999999\r\nhel"] {
            let mut raw = UnixStream::connect(control.path()).unwrap();
            write!(raw, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}").unwrap();
            let mut answer = String::new();
            raw.read_to_string(&mut answer).unwrap();
            let wanted = if chunked.starts_with('3') { " 5 false" } else { "too large\n" };
            assert!(answer.ends_with(wanted), "{answer}");
        }
        raw.write_all(b"nonsense\r\n").unwrap();
        let mut answer = String::new();
        raw.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let begun = std::time::Instant::now();
        control.stop();
        assert!(begun.elapsed() < Duration::from_secs(5));
        drop(idle);
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
