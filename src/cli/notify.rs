//! What systemd is told over its socket (`sd_notify`): ready, alive, stopping. Nothing where no socket is named. Used by `serve`.

use std::env;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// The way to the service manager, if there is one.
pub struct Manager {
    socket: Option<(UnixDatagram, std::os::unix::net::SocketAddr)>,
    /// How often it wants to hear that we are alive; half of what it waits for.
    pub every: Option<Duration>,
}

impl Manager {
    /// From `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub fn of_this_process() -> Manager {
        let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        // The watchdog may be another process's: a shell's around us, say.
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        Manager::at(env::var("NOTIFY_SOCKET").ok().as_deref(), number("WATCHDOG_USEC").filter(|_| ours))
    }

    fn at(name: Option<&str>, watchdog_micros: Option<u64>) -> Manager {
        let socket = name.and_then(address).and_then(|to| Some((UnixDatagram::unbound().ok()?, to)));
        let every = watchdog_micros.filter(|_| socket.is_some()).map(|micros| Duration::from_micros(micros / 2));
        Manager { socket, every }
    }

    /// Says `READY=1`, `WATCHDOG=1`, `STOPPING=1` or `STATUS=…`.
    pub fn tell(&self, words: &str) {
        if let Some((socket, to)) = &self.socket
            && let Err(error) = socket.send_to_addr(words.as_bytes(), to)
        {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    }
}

/// A path, or on Linux a name in the abstract namespace (`@…`).
fn address(name: &str) -> Option<std::os::unix::net::SocketAddr> {
    match name.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            std::os::unix::net::SocketAddr::from_abstract_name(name).ok()
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => None,
        None => std::os::unix::net::SocketAddr::from_pathname(name).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_hears_it_and_none_is_no_fault() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let ours = Manager::at(path.to_str(), Some(60_000_000));
        assert_eq!(ours.every, Some(Duration::from_secs(30)));
        ours.tell("READY=1");
        let mut heard = [0; 64];
        let length = manager.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"READY=1");
        let nobody = Manager::at(None, Some(1));
        nobody.tell("READY=1");
        assert_eq!(nobody.every, None);
    }
}
