//! Root works on a service's files: what it made there is handed to the service's user, or the server could not open its own school.

//!
//! The directory belongs to that user, who may change it while root walks through it. So nothing is done by path: every entry is opened from
//! its directory's descriptor without following links, looked at, and given away through the same descriptor.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Dir, FileType, Gid, Mode, OFlags, Stat, Uid, fchown, fstat, open, openat};
use std::ffi::CStr;
use std::path::Path;

/// The data directory, the folders in it and what lies in those; nothing deeper is ever made there.
const DEPTH: u32 = 2;
/// A named pipe must not hold us up.
const LOOK: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Gives what root owns below `directory` to the owner of `directory`. Does nothing for anybody else, and nothing in a directory of
/// root's own. What cannot be given is logged: the work itself is done.
pub fn hand_over(directory: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let Ok(opened) = open(directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) else {
        return;
    };
    let Ok(owner) = fstat(&opened) else { return };
    if owner.st_uid != 0 {
        give(opened.as_fd(), &owner, DEPTH);
    }
}

fn give(directory: BorrowedFd<'_>, owner: &Stat, depth: u32) {
    let Ok(entries) = Dir::read_from(directory) else { return };
    for entry in entries.flatten() {
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        // Links, sockets and what is gone again are nobody's concern.
        let Ok(file) = openat(directory, entry.file_name(), LOOK, Mode::empty()) else { continue };
        give_one(&file, entry.file_name(), owner, depth);
    }
}

fn give_one(file: &OwnedFd, name: &CStr, owner: &Stat, depth: u32) {
    let Ok(found) = fstat(file) else { return };
    let kind = FileType::from_raw_mode(found.st_mode);
    // A file with a second name may be one of root's from elsewhere.
    let ours = kind == FileType::Directory || (kind == FileType::RegularFile && found.st_nlink == 1);
    if ours && found.st_uid == 0 {
        let (user, group) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
        if let Err(error) = fchown(file, Some(user), Some(group)) {
            tracing::warn!(name = %name.to_string_lossy(), %error, "this file could not be given to the service's user");
        }
    }
    if kind == FileType::Directory && depth > 1 {
        give(file.as_fd(), owner, depth - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, chown};

    #[test]
    fn what_root_made_goes_to_the_owner_of_the_directory() {
        if !rustix::process::geteuid().is_root() {
            return; // only root can give files away
        }
        let folder = tempfile::tempdir().unwrap();
        let (ours, elsewhere) = (folder.path().join("school"), folder.path().join("elsewhere"));
        std::fs::create_dir_all(ours.join("backup")).unwrap();
        std::fs::write(&elsewhere, "root's").unwrap();
        for name in ["cordon.db", "backup/one.db"] {
            std::fs::write(ours.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink(&elsewhere, ours.join("link")).unwrap();
        std::fs::hard_link(&elsewhere, ours.join("second-name")).unwrap();
        hand_over(&ours);
        let owner = |path: &Path| std::fs::symlink_metadata(path).unwrap().uid();
        assert_eq!(owner(&ours.join("cordon.db")), 0, "root's own directory stays root's");
        chown(&ours, Some(12_345), Some(12_345)).unwrap();
        hand_over(&ours);
        for name in ["cordon.db", "backup", "backup/one.db"] {
            assert_eq!(owner(&ours.join(name)), 12_345, "{name}");
        }
        assert_eq!((owner(&elsewhere), owner(&ours.join("link"))), (0, 0), "nothing through a link, nor the link");
        assert_eq!(owner(&ours.join("second-name")), 0, "nor what has another name elsewhere");
    }
}
