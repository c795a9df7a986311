//! What the doctor looks at, one function for each subject.

use super::Finding;
use crate::base::limits::MIN_FREE_SPACE;
use crate::base::push::{PushMagic, PushTarget, PushToken, Topic};
use crate::base::time::{DAY, HOUR};
use crate::pki::server_trust::is_good_for;
use crate::pki::x509::Certificate;
use crate::protocol::push;
use crate::service::ports::{Push, PushResult, Surroundings};
use crate::service::{Context, Error, backing_up, expiry, school, serving, trust};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const MB: u64 = 1024 * 1024;
type Found = Result<Vec<Finding>, Error>;
type World<'w> = Option<&'w dyn Surroundings>;

/// Host of an `https://…` address, without brackets, and its port.
pub(in crate::service) fn host_and_port(url: &str) -> Option<(String, u16)> {
    let rest = url.strip_prefix("https://")?.split('/').next()?;
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.strip_prefix(':')))?,
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    Some((host.to_owned(), port.map_or(Some(443), |port| port.parse().ok())?))
}

pub(super) fn database(cx: &Context, _: World<'_>) -> Found {
    let phase = "database";
    Ok(vec![match cx.store.quick_check()? {
        None => Finding::good(phase, "The database holds together."),
        Some(why) => Finding::bad(
            phase,
            format!("The database is damaged: {why}."),
            "Stop the server, keep the file, and restore the newest backup: cordon restore backup/FILE --replace",
        ),
    }])
}

pub(super) fn disk(cx: &Context, _: World<'_>) -> Found {
    let phase = "disk";
    let (free, size) = (cx.store.free_space()?, cx.store.copy_size()?);
    let words = format!("{} MB are free, the database has {} MB.", free / MB, size.div_ceil(MB));
    let mut found = vec![if free < MIN_FREE_SPACE {
        Finding::bad(phase, words, "Make room: the server refuses new work until there is some.")
    } else if free < 3 * size + MIN_FREE_SPACE {
        Finding::warning(phase, words, "Make room soon: backups need as much as the database each.")
    } else {
        Finding::good(phase, words)
    }];
    let last = backing_up::find_last(cx)?;
    found.push(match (backing_up::find_worry(cx), last) {
        (Some(why), _) => {
            Finding::bad("backup", format!("The last backup failed: {why}"), "Make room, then: cordon backup")
        }
        (None, Some(at)) => Finding::good("backup", format!("The newest backup is of {at}.")),
        (None, None) => Finding::warning(
            "backup",
            "There is no backup yet.",
            "The server makes one by itself within minutes; now: cordon backup",
        ),
    });
    Ok(found)
}

pub(super) fn clock(cx: &Context, world: World<'_>) -> Found {
    let (phase, now) = ("clock", cx.now());
    if let Some(seen) = cx.clock_is_behind() {
        let words = format!(
            "The clock says {now}, but this server has already seen {seen}. Devices are served, nothing is issued, expired or deleted."
        );
        return Ok(vec![Finding::bad(
            phase,
            words,
            "Set the clock, and let the system keep it (timedatectl set-ntp true).",
        )]);
    }
    Ok(vec![match world.and_then(Surroundings::clock_is_kept) {
        Some(false) => Finding::warning(
            phase,
            format!("The clock says {now}, and nothing on this machine compares it with others."),
            "Switch time synchronisation on: timedatectl set-ntp true. Certificates need the right day.",
        ),
        Some(true) => Finding::good(phase, format!("The clock says {now} and is kept by the system.")),
        None => Finding::good(phase, format!("The clock says {now}, and is not behind what was seen before.")),
    }])
}

pub(super) fn permissions(cx: &Context, _: World<'_>) -> Found {
    let phase = "permissions";
    let database = cx.store.path();
    let folder = database.parent().unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for path in [folder, database, &cx.machine_key_path] {
        let meta = match std::fs::metadata(path) {
            Ok(meta) => meta,
            Err(error) => {
                let words = format!("{} cannot be looked at: {error}.", path.display());
                found.push(Finding::bad(phase, words, "Put it back, or restore the school with the recovery code."));
                continue;
            }
        };
        // A credential of systemd belongs to root and is read-only.
        let open = meta.permissions().mode() & if path == folder { 0o002 } else { 0o077 };
        if open != 0 && meta.uid() != 0 {
            let words = format!(
                "Others on this machine can get at {} (mode {:o}).",
                path.display(),
                meta.permissions().mode() & 0o777
            );
            let mode = if meta.is_dir() { "700" } else { "600" };
            found.push(Finding::bad(phase, words, format!("chmod {mode} {}", path.display())));
        }
    }
    if found.is_empty() {
        found.push(Finding::good(phase, "Database and machine key are for the server's user only."));
    }
    Ok(found)
}

pub(super) fn names(cx: &Context, world: World<'_>) -> Found {
    let phase = "names";
    let mut found = Vec::new();
    let hostname = school::find(cx)?.hostname.unwrap_or_default();
    if let Some(told) = world.and_then(Surroundings::configured_hostname)
        && told != hostname
    {
        found.push(Finding::warning(
            phase,
            format!("The configuration says hostname = {told}; the school goes by {hostname}, as devices know it."),
            format!("Correct the configuration to {hostname}, or take the key out; it only counts at the first start."),
        ));
    }
    let urls = cx.urls();
    let mut seen: Vec<String> = Vec::new();
    for url in [&urls.people, &urls.devices] {
        let Some((host, _)) = host_and_port(url).filter(|(host, _)| !seen.contains(host)) else { continue };
        seen.push(host.clone());
        let Some(world) = world else {
            found.push(Finding::skipped(phase, format!("{host} was not looked up.")));
            continue;
        };
        found.push(match world.resolve(&host) {
            Ok(addresses) if addresses.is_empty() => no_address(&host, "there is no such name"),
            Ok(addresses) => {
                let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                let words = format!("{host} is {}.", list.join(", "));
                let loopback = addresses.iter().all(|address| address.is_loopback());
                if loopback && (host != "localhost" || cx.store.read(|db| db.count_enrollments())?.1 > 0) {
                    Finding::warning(
                        phase,
                        format!("{words} Only this machine itself can reach that."),
                        "Give the name the address that devices in the school see.",
                    )
                } else {
                    Finding::good(phase, words)
                }
            }
            Err(why) => no_address(&host, &why),
        });
    }
    Ok(found)
}

fn no_address(host: &str, why: &str) -> Finding {
    Finding::bad(
        "names",
        format!("Nobody can find {host}: {why}."),
        format!("Make an entry for {host} in the school's DNS that points to this machine."),
    )
}

pub(super) fn ports(_: &Context, world: World<'_>) -> Found {
    let phase = "ports";
    let Some(world) = world else { return Ok(vec![Finding::skipped(phase, "The ports are not known here.")]) };
    let mut found = Vec::new();
    for listener in world.listeners() {
        let key = listener.key;
        found.push(match (listener.bound, world.try_listen(&listener.wanted)) {
            (Some(at), _) => Finding::good(phase, format!("{key} listens on {at}.")),
            (None, Ok(())) => Finding::bad(
                phase,
                format!("Nothing listens on {} ({key}): the server does not run.", listener.wanted),
                "Start it: systemctl start cordon, or cordon serve",
            ),
            (None, Err(why)) => Finding::bad(
                phase,
                format!("{} ({key}) cannot be listened on: {why}.", listener.wanted),
                format!("Another program may have it (ss -ltnp shows which), or this user may not: end that program, or choose another port with {key}."),
            ),
        });
    }
    Ok(found)
}

/// The chain at both doors, as a device that holds a profile of this school sees it.
pub(super) fn tls(cx: &Context, world: World<'_>) -> Found {
    let phase = "tls";
    let mut found = Vec::new();
    if let Some(fault) = serving::find_fault(cx)? {
        found.push(Finding::bad(
            phase,
            fault,
            "Correct the files or the settings under tls; they are tried again by themselves.",
        ));
    }
    let Some(world) = world else {
        return Ok(vec![Finding::skipped(phase, "No server runs whose certificate could be seen.")]);
    };
    let trust = trust::current(cx)?;
    let anchors: Vec<Vec<u8>> = trust.anchors.iter().map(|anchor| anchor.der().to_vec()).collect();
    let urls = cx.urls();
    for listener in world.listeners() {
        let url = match listener.key {
            "listen.people" => &urls.people,
            "listen.devices" => &urls.devices,
            _ => continue,
        };
        let (Some(bound), Some((host, _))) = (listener.bound, host_and_port(url)) else { continue };
        found.push(match world.see_tls(bound, &host, &anchors, trust.publicly_trusted, cx.now()) {
            Err(why) => Finding::bad(
                phase,
                format!("A device would not trust {} for {host}: {why}.", listener.key),
                "Look at cordon tls: the certificate must be for this name, valid today, and end in a root that devices have.",
            ),
            Ok(chain) => match chain.first().and_then(|der| Certificate::parse(der).ok()) {
                Some(leaf) if is_good_for(&leaf, &host) => {
                    Finding::good(phase, format!("{} shows a certificate for {host} that devices trust, until {}.", listener.key, leaf.not_after()))
                }
                _ => Finding::bad(phase, format!("The certificate at {} is not for {host}.", listener.key), "cordon tls renew"),
            },
        });
    }
    if found.is_empty() {
        found.push(Finding::skipped(
            phase,
            "No TLS listener runs here: devices come through the proxy, whose certificate only a device sees.",
        ));
    }
    Ok(found)
}

pub(super) fn certificates(cx: &Context, _: World<'_>) -> Found {
    let (phase, now) = ("certificates", cx.now());
    let mut found = Vec::new();
    for entry in expiry::entries(cx)?.into_iter().filter(|entry| entry.kind != "token") {
        let days = entry.days_left(now);
        let left = entry.not_after.since(now);
        if left <= 0 {
            found.push(Finding::bad(phase, format!("{} ended at {}.", entry.title(), entry.not_after), entry.what));
        } else if entry.renewal == expiry::Renewal::Person && left < 30 * DAY {
            found.push(Finding::warning(phase, format!("{} ends in {days} days.", entry.title()), entry.what));
        }
    }
    if found.is_empty() {
        found.push(Finding::good(phase, "Nothing has ended, and nothing that needs a person ends within 30 days."));
    }
    Ok(found)
}

/// Settings that work but that somebody should know of.
pub(super) fn settings(cx: &Context, world: World<'_>) -> Found {
    let mut found = Vec::new();
    if trust::devices_sign(cx)? {
        found.push(Finding::warning(
            "signing",
            "Devices sign each message (Mdm-Signature), because a proxy takes their TLS certificate away: some 2 KB more with every message.",
            "If the proxy can hand the certificate on (Client-Cert or X-SSL-Client-Cert), set proxy.forwards_certificate = true; new enrolments then do without.",
        ));
    }
    if world.is_some_and(Surroundings::has_stand_ins) {
        found.push(Finding::warning(
            "stand-ins",
            "apple.device_ca_file is set: devices that Apple never built can enrol here.",
            "Take the key out of the configuration unless this is a rehearsal.",
        ));
    }
    if let Some(world) = world
        && world.listeners().iter().any(|listener| listener.key == "listen.proxied")
    {
        let outside = world.trusted_proxies().into_iter().filter(|address| !address.is_loopback()).count();
        found.push(if outside == 0 {
            Finding::good("proxy", "Forwarded certificates are believed from this machine only.")
        } else {
            Finding::warning(
                "proxy",
                format!("Forwarded certificates are believed from {outside} other machines (proxy.trusted)."),
                "Whoever controls one of them can speak for every device. Keep the list short, and the way there private.",
            )
        });
    }
    Ok(found)
}

/// A push with a token that no device has: Apple must know the certificate and refuse the token.
pub(super) fn push(cx: &Context, world: World<'_>) -> Found {
    let phase = "push";
    let Some(row) = cx.store.read(|db| db.find_current_push_certificate())? else {
        return Ok(vec![Finding::bad(
            phase,
            "There is no push certificate, so no device can be called.",
            "cordon push-cert request, then cordon push-cert import",
        )]);
    };
    let topic = Topic::new(&row.topic).map_err(Error::internal)?;
    let target = PushTarget {
        topic,
        token: PushToken::new(vec![0xC0; 32]).map_err(Error::internal)?,
        magic: PushMagic::new("cordon-doctor").map_err(Error::internal)?,
    };
    let id = uuid::Builder::from_random_bytes(cx.random_bytes()).into_uuid().as_hyphenated().to_string();
    let trial = Push {
        target,
        expiration_secs: push::expiration(cx.now()).min(cx.now().plus(HOUR).secs()),
        priority: 1,
        apns_id: id,
    };
    let Some(result) = world.and_then(|world| world.try_push(trial)) else {
        return Ok(vec![Finding::skipped(phase, "Apple was not asked, because no server runs.")]);
    };
    Ok(vec![match result {
        PushResult::Answered { reason, .. } if matches!(reason.as_deref(), Some("BadDeviceToken" | "Unregistered")) => {
            Finding::good(
                phase,
                "Apple's push service knows the certificate, and refused a token that is nobody's, as it must.",
            )
        }
        PushResult::Answered { status: 200, .. } => Finding::warning(
            phase,
            "The push service took a push for a token that is nobody's: this is not Apple's.",
            "Look at apple.apns_url in the configuration.",
        ),
        PushResult::Answered { status, reason, .. } => Finding::bad(
            phase,
            format!(
                "Apple's push service refuses the certificate {} ({status} {}).",
                row.topic,
                reason.unwrap_or_default()
            ),
            "Renew it at identity.apple.com/pushcert with the account that made it: cordon push-cert request",
        ),
        PushResult::Unreached { why } => Finding::bad(
            phase,
            format!("Apple's push service cannot be reached: {why}."),
            "Let this machine out to api.push.apple.com, port 443 or 2197, without a proxy that opens TLS. Devices need courier.push.apple.com, port 5223 or 443.",
        ),
    }])
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn hosts_of_addresses() {
        let table = [
            ("https://mdm.example", Some(("mdm.example", 443))),
            ("https://mdm.example:8443/x", Some(("mdm.example", 8443))),
            ("https://[::1]:8443", Some(("::1", 8443))),
            ("https://[::1]", Some(("::1", 443))),
            ("http://x", None),
            ("", None),
        ];
        for (url, wanted) in table {
            assert_eq!(host_and_port(url), wanted.map(|(host, port)| (host.to_owned(), port)), "{url}");
        }
    }
}
