//! The machine key: the file that opens this machine's copy of the database without the recovery code. Written so that it is
//! on disk before the database's first commit; in a package it lives outside the folder that people copy.

use super::StoreError;
use crate::base::secret::Secret;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The key in `path`, or `None` when there is no such file.
///
/// # Errors
/// When the file cannot be read or does not hold 32 bytes in hex.
pub fn find_machine_key(path: &Path) -> Result<Option<Secret<[u8; 32]>>, StoreError> {
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => file.take(1024).read_to_string(&mut text)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let mut key = [0_u8; 32];
    hex::decode_to_slice(text.trim(), &mut key)
        .map_err(|_| StoreError::Corrupt("the machine key file does not hold 64 hex digits"))?;
    Ok(Some(Secret::new(key)))
}

/// Writes a new key: temporary file, fsync, rename, fsync of the directory.
pub fn create_machine_key(path: &Path, key: &Secret<[u8; 32]>) -> Result<(), StoreError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    super::create_folder(directory)?;
    let temporary = path.with_extension("key.new");
    // A temporary from an interrupted first start is stale: nothing was sealed with it.
    let _ = std::fs::remove_file(&temporary);
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(Secret::new(hex::encode(key.expose())).expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()?;
    Ok(())
}

/// Where the next machine key waits while the database turns to it.
pub fn next_machine_key(path: &Path) -> PathBuf {
    path.with_extension("key.next")
}

/// The database opens with the next key: it becomes the machine key. With `taken` off it never did, and goes.
pub fn settle_machine_key(path: &Path, taken: bool) -> Result<(), StoreError> {
    let next = next_machine_key(path);
    if taken {
        std::fs::rename(&next, path)?;
    } else {
        match std::fs::remove_file(&next) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn written_once_read_back_and_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine.key");
        assert!(find_machine_key(&path).unwrap().is_none());
        create_machine_key(&path, &Secret::new([9; 32])).unwrap();
        assert_eq!(find_machine_key(&path).unwrap().unwrap().expose(), &[9; 32]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "short").unwrap();
        assert!(find_machine_key(&path).is_err());
    }
}
