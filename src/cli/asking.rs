//! Words that nobody should see typed, and files that hold one: passwords, codes. Asked for on the terminal, without echo.

use super::failure::Failure;
use super::files;
use crate::base::secret::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A password or code in a file, bytes.
const MAX: usize = 4096;

/// The first line of `file`, `-` for standard input; without a file it is asked for.
///
/// # Errors
/// When nobody is there to ask: names the `option` that gives a file.
pub fn secret(file: Option<&Path>, question: &str, option: &str) -> Result<Secret<String>, Failure> {
    match file {
        Some(path) if path != Path::new("-") || !io::stdin().is_terminal() => first_line(path),
        _ => typed(question, option),
    }
}

/// As [`secret`] for a new password, which is typed twice.
///
/// # Errors
/// As [`secret`], and when the two differ.
pub fn new_password(file: Option<&Path>, name: &str, option: &str) -> Result<Secret<String>, Failure> {
    let first = secret(file, &format!("New password for {name}: "), option)?;
    if file.is_none() && typed("The same again: ", option)? != first {
        return Err(Failure::new("passwords-differ", "the two passwords are not the same; nothing was changed"));
    }
    Ok(first)
}

fn first_line(path: &Path) -> Result<Secret<String>, Failure> {
    let text = Secret::new(files::read_text(path, MAX)?);
    let line = text.expose().lines().next().unwrap_or_default().trim_end_matches('\r');
    if line.is_empty() {
        return Err(Failure::new("file", format!("{} holds nothing in its first line", path.display())));
    }
    Ok(Secret::new(line.to_owned()))
}

fn typed(question: &str, option: &str) -> Result<Secret<String>, Failure> {
    let (stdin, mut err) = (io::stdin(), io::stderr());
    if !stdin.is_terminal() {
        return Err(Failure::usage(format!("there is no terminal to ask on; give {option}")));
    }
    let failed = |error: io::Error| Failure::new("terminal", format!("cannot ask on this terminal: {error}"));
    let _ = write!(err, "{question}").and_then(|()| err.flush());
    let quiet = Quiet::start().map_err(failed)?;
    let mut line = String::new();
    let read = stdin.lock().take(MAX as u64).read_line(&mut line);
    drop(quiet);
    let _ = writeln!(err);
    let line = Secret::new(line);
    read.map_err(failed)?;
    Ok(Secret::new(line.expose().trim_end_matches(['\n', '\r']).to_owned()))
}

/// The terminal without echo, until dropped.
struct Quiet(Termios);

impl Quiet {
    fn start() -> io::Result<Quiet> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Quiet(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to set back.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// A file for a secret that is about to be made: there before the secret is, so that it has somewhere to go.
pub struct SecretFile<'a> {
    path: &'a Path,
    file: std::fs::File,
}

impl<'a> SecretFile<'a> {
    /// Makes the empty file, mode 0600.
    ///
    /// # Errors
    /// When there is a file already: it may hold another secret that somebody needs.
    pub fn create(path: &'a Path) -> Result<SecretFile<'a>, Failure> {
        let made = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path);
        match made {
            Ok(file) => Ok(SecretFile { path, file }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::new(
                "file",
                format!("{} exists already and is not overwritten; choose another name", path.display()),
            )),
            Err(error) => Err(Failure::file("create", path, &error)),
        }
    }

    /// # Errors
    /// When the disk does not take it.
    pub fn write(mut self, secret: &str) -> Result<(), Failure> {
        let written = writeln!(self.file, "{secret}").and_then(|()| self.file.sync_all());
        written.map_err(|error| Failure::file("write", self.path, &error))
    }

    /// It came to nothing: takes the empty file away.
    pub fn abandon(self) {
        let _ = std::fs::remove_file(self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_first_line_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        for (text, wanted) in
            [("tin roof\n", "tin roof"), ("tin roof\r\nmore", "tin roof"), (" spaces stay ", " spaces stay ")]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(new_password(Some(&path), "ada", "--password-file").unwrap().expose(), wanted);
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(secret(Some(&path), "?", "--x").is_err());
    }

    #[test]
    fn a_file_for_a_secret_is_new_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("code");
        SecretFile::create(&path).unwrap().write("abcd").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "abcd\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(SecretFile::create(&path).is_err_and(|e| e.detail.contains("not overwritten")));
        std::fs::remove_file(&path).unwrap();
        SecretFile::create(&path).unwrap().abandon();
        assert!(!path.exists());
    }
}
