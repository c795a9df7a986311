//! Root works on a service's files: what it made there is handed to the service's user, or the server could not open its own school.

use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

/// The data directory, the folders in it and what lies in those; nothing deeper is ever made there.
const DEPTH: u32 = 2;

/// Gives what root owns below `directory` to the owner of `directory`. Does nothing for anybody else, and nothing in a directory of
/// root's own. What cannot be given is logged: the work itself is done.
pub fn hand_over(directory: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let Ok(owner) = std::fs::metadata(directory) else { return };
    if owner.uid() != 0 {
        give(directory, owner.uid(), owner.gid(), DEPTH);
    }
}

fn give(directory: &Path, uid: u32, gid: u32, depth: u32) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let Ok(found) = entry.metadata() else { continue };
        let path = entry.path();
        if found.uid() == 0 {
            // Never through a link: the service's user could point one at any file of the machine.
            if let Err(error) = lchown(&path, Some(uid), Some(gid)) {
                tracing::warn!(path = %path.display(), %error, "this file could not be given to the service's user");
            }
        }
        if found.is_dir() && depth > 1 {
            give(&path, uid, gid, depth - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::chown;

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
        hand_over(&ours);
        let owner = |path: &Path| std::fs::symlink_metadata(path).unwrap().uid();
        assert_eq!(owner(&ours.join("cordon.db")), 0, "root's own directory stays root's");
        chown(&ours, Some(12_345), Some(12_345)).unwrap();
        hand_over(&ours);
        for name in ["cordon.db", "backup", "backup/one.db", "link"] {
            assert_eq!(owner(&ours.join(name)), 12_345, "{name}");
        }
        assert_eq!(owner(&elsewhere), 0);
    }
}
