//! Who is at the other end of the control socket: the user of the process, as the system says. What a caller says of itself is never
//! asked for; two people who share a user are one person here.

use std::os::unix::net::UnixStream;

/// The user id of the process that connected. `None` when the system does not tell.
#[cfg(target_os = "linux")]
pub fn peer_uid(stream: &UnixStream) -> Option<u32> {
    rustix::net::sockopt::socket_peercred(stream).ok().map(|peer| peer.uid.as_raw())
}

/// Where the system has no such answer: the socket's mode admits nobody but the server's own user (and root), so everybody is that one.
#[cfg(not(target_os = "linux"))]
pub fn peer_uid(_stream: &UnixStream) -> Option<u32> {
    Some(rustix::process::geteuid().as_raw())
}

/// The name of a user id in `/etc/passwd`, else `uid-NUMBER`.
pub fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = name_of(&passwd, uid).map(|name| name.chars().filter(char::is_ascii_graphic).take(64).collect());
    name.filter(|name: &String| !name.is_empty()).unwrap_or_else(|| format!("uid-{uid}"))
}

fn name_of(passwd: &str, uid: u32) -> Option<String> {
    let fields = |line: &str| -> Option<(String, u32)> {
        let mut parts = line.split(':');
        let name = parts.next()?.to_owned();
        Some((name, parts.nth(1)?.parse().ok()?))
    };
    passwd.lines().filter_map(fields).find(|(_, id)| *id == uid).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_have_names() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!((name_of(passwd, 1000).as_deref(), name_of(passwd, 7)), (Some("ada"), None));
        assert_eq!(user_name(4_000_000_000), "uid-4000000000");
    }

    #[test]
    fn the_system_says_who_connected() {
        let (one, other) = UnixStream::pair().unwrap();
        let own = rustix::process::geteuid().as_raw();
        assert_eq!((peer_uid(&one), peer_uid(&other)), (Some(own), Some(own)));
    }
}
