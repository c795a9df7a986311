//! Files that the person names: read with a bound, written whole or not at all, for the owner's eyes only.

use super::failure::Failure;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// Reads a file, or standard input for `-`.
///
/// # Errors
/// When it cannot be read or is longer than `limit` bytes.
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::file("read", path, &error);
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(std::io::stdin()) } else { Box::new(File::open(path).map_err(failed)?) };
    let mut bytes = Vec::new();
    source.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        return Err(Failure::new("file", format!("{} is too large: more than {limit} bytes", path.display())));
    }
    Ok(bytes)
}

/// Reads a text file.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_text(path: &Path, limit: usize) -> Result<String, Failure> {
    let not_text =
        |_| Failure::new("file", format!("{} is not a text file (PEM begins with -----BEGIN)", path.display()));
    String::from_utf8(read(path, limit)?).map_err(not_text)
}

/// Longest file of authorities, bytes.
const MAX_AUTHORITIES: usize = 64 * 1024;

/// Reads the authorities that a server's certificate may come from, PEM.
///
/// # Errors
/// As [`read_text`].
pub fn read_authorities(path: &Path) -> Result<String, Failure> {
    read_text(path, MAX_AUTHORITIES)
}

/// Writes a file with mode 0600. What was there before is replaced in one step, or kept when writing fails.
///
/// # Errors
/// When the directory cannot be written to.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::file("write", path, &error);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Temporary files are 0600 from birth; renaming keeps that.
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// A file that grows and takes its name only when it is whole; never one that is there.
pub struct NewFile<'a> {
    path: &'a Path,
    file: tempfile::NamedTempFile,
}

impl<'a> NewFile<'a> {
    /// # Errors
    /// When the directory cannot be written to, or the file is there already.
    pub fn begin(path: &'a Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::file("write", path, &error);
        if path.exists() {
            return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Self { path, file: tempfile::NamedTempFile::new_in(directory).map_err(failed)? })
    }

    /// # Errors
    /// When the disk does not take it.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| Failure::file("write", self.path, &error))
    }

    /// # Errors
    /// When the disk does not take it, or somebody made the file meanwhile.
    pub fn finish(self) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::file("write", self.path, &error);
        self.file.as_file().sync_all().map_err(failed)?;
        self.file.persist_noclobber(self.path).map(drop).map_err(|error| failed(error.error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn written_for_the_owner_only_and_read_with_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mobileconfig");
        std::fs::write(&path, b"old").unwrap();
        write_private(&path, b"secret").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path, 6).unwrap(), b"secret");
        assert!(read(&path, 5).unwrap_err().detail.contains("too large"));
        assert!(read(&dir.path().join("none"), 5).unwrap_err().detail.starts_with("cannot read"));
        assert!(write_private(&dir.path().join("none/x"), b"").is_err());
        std::fs::write(&path, [0xff]).unwrap();
        assert!(read_text(&path, 5).is_err());
    }
}
