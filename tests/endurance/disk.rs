//! A disk that loses power: what a program asked of it, as `recorder.c` wrote it down, and what may be left of that at any point.
//!
//! The rule is what file systems promise and no more. What was written to a file is there when a sync of that file ended before the cut;
//! what came after the sync began may be there in any part, also a write torn between two sectors. Names (made, renamed, removed) are
//! there when a sync of their directory ended; of the later ones, any number from the first on. Outside of a write nothing changes.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// One thing that was asked, or an answer that is about to leave.
#[derive(Debug)]
pub struct Record {
    pub kind: char,
    /// µs since 1970.
    pub micros: u64,
    inode: u64,
    at: u64,
    pub bytes: Vec<u8>,
}

impl Record {
    /// For the report of a cut that lost something.
    pub fn in_words(&self) -> String {
        let Record { kind, inode, at, bytes, .. } = self;
        let name = match kind {
            'O' | 'd' | 'M' | 'U' | 'R' | 'L' => String::from_utf8_lossy(bytes).replace('\0', " → "),
            _ => format!("{} bytes", bytes.len()),
        };
        format!("  {kind} {inode} at {at}: {name}")
    }
}

/// Everything in the log, in its order.
pub fn read_log(path: &Path) -> Vec<Record> {
    let log = std::fs::read(path).unwrap();
    let (mut records, mut rest) = (Vec::new(), log.as_slice());
    while rest.len() >= 40 {
        let word = |n: usize| u64::from_ne_bytes(rest[8 * n..8 * n + 8].try_into().unwrap());
        let size = usize::try_from(word(4)).unwrap();
        // A program that is killed may leave half a record behind: that never came about.
        let Some(bytes) = rest.get(40..40 + size) else { break };
        let kind = char::from(u8::try_from(word(0)).unwrap());
        records.push(Record { kind, micros: word(1), inode: word(2), at: word(3), bytes: bytes.to_vec() });
        rest = &rest[40 + size..];
    }
    records
}

/// Where chance comes from, so that a run can be played again.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Less than `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }
}

enum Change {
    Write(u64, Vec<u8>),
    Cut(u64),
}

#[derive(Default)]
struct File {
    is_directory: bool,
    /// What is on the disk for certain.
    synced: Vec<u8>,
    /// What came after, with its place in the log.
    since: Vec<(usize, Change)>,
    /// Syncs under way: their number, and where they began.
    syncing: HashMap<u64, usize>,
}

/// A change of names: each gets a file or loses the one it had.
struct Naming {
    place: usize,
    /// The directory whose sync makes it certain.
    directory: PathBuf,
    names: Vec<(PathBuf, Option<usize>)>,
}

/// The disk after a part of the log.
pub struct Disk {
    root: PathBuf,
    files: Vec<File>,
    inodes: HashMap<u64, usize>,
    names: BTreeMap<PathBuf, usize>,
    certain: BTreeMap<PathBuf, usize>,
    since: Vec<Naming>,
    place: usize,
}

impl Disk {
    /// `root` is empty, and is there whatever happens.
    pub fn new(root: &Path) -> Self {
        let files = vec![File { is_directory: true, ..File::default() }];
        let names = BTreeMap::from([(root.to_owned(), 0)]);
        let certain = names.clone();
        Self { root: root.to_owned(), files, inodes: HashMap::new(), names, certain, since: Vec::new(), place: 0 }
    }

    /// The next record of the log.
    pub fn apply(&mut self, record: &Record) {
        self.place += 1;
        let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()));
        let two = || {
            let middle = record.bytes.iter().position(|b| *b == 0).unwrap();
            (path(&record.bytes[..middle]), path(&record.bytes[middle + 1..]))
        };
        match record.kind {
            'O' => self.open(path(&record.bytes), record.inode, record.at != 0),
            'd' => {
                if let Some(file) = self.names.get(&path(&record.bytes)) {
                    self.inodes.insert(record.inode, *file);
                }
            }
            'M' => {
                let file = self.add(true);
                self.name(vec![(path(&record.bytes), Some(file))]);
            }
            'U' => self.name(vec![(path(&record.bytes), None)]),
            'R' => {
                let (from, to) = two();
                // What the recorder does not follow (a socket) has no name here.
                if let Some(file) = self.names.get(&from).copied() {
                    self.name(vec![(from, None), (to, Some(file))]);
                }
            }
            'L' => {
                let (from, to) = two();
                if let Some(file) = self.names.get(&from).copied() {
                    self.name(vec![(to, Some(file))]);
                }
            }
            'W' => self.change(record.inode, Change::Write(record.at, record.bytes.clone())),
            'T' => self.change(record.inode, Change::Cut(record.at)),
            'b' => {
                let file = self.inodes[&record.inode];
                self.files[file].syncing.insert(record.at, self.place);
            }
            's' => self.synced(record.inode, record.at),
            _ => {}
        }
    }

    fn add(&mut self, is_directory: bool) -> usize {
        self.files.push(File { is_directory, ..File::default() });
        self.files.len() - 1
    }

    fn open(&mut self, path: PathBuf, inode: u64, emptied: bool) {
        let file = match self.names.get(&path) {
            Some(file) => *file,
            None => {
                let file = self.add(false);
                self.name(vec![(path, Some(file))]);
                file
            }
        };
        self.inodes.insert(inode, file);
        if emptied {
            self.change(inode, Change::Cut(0));
        }
    }

    fn name(&mut self, names: Vec<(PathBuf, Option<usize>)>) {
        apply_names(&mut self.names, &names);
        let directory = names.last().and_then(|(path, _)| path.parent()).unwrap().to_owned();
        self.since.push(Naming { place: self.place, directory, names });
    }

    fn change(&mut self, inode: u64, change: Change) {
        let file = self.inodes[&inode];
        self.files[file].since.push((self.place, change));
    }

    fn synced(&mut self, inode: u64, number: u64) {
        let file = self.inodes[&inode];
        let Some(began) = self.files[file].syncing.remove(&number) else { return };
        let of = &mut self.files[file];
        let later = of.since.iter().position(|(place, _)| *place > began).unwrap_or(of.since.len());
        for (_, change) in of.since.drain(..later) {
            make(&mut of.synced, &change, |_| true);
        }
        if of.is_directory {
            let here: Vec<PathBuf> =
                self.names.iter().filter(|(_, f)| **f == file).map(|(path, _)| path.clone()).collect();
            let (done, left) = std::mem::take(&mut self.since)
                .into_iter()
                .partition(|naming: &Naming| naming.place < began && here.contains(&naming.directory));
            self.since = left;
            done.iter().for_each(|naming| apply_names(&mut self.certain, &naming.names));
        }
    }

    /// Writes what may be left, if the power goes now, to `target`.
    pub fn survive(&self, dice: &mut Dice, target: &Path) {
        let mut names = self.certain.clone();
        // How many of the later changes of names each directory has.
        let mut kept: HashMap<&Path, usize> = HashMap::new();
        let mood = dice.below(4);
        for directory in self.since.iter().map(|naming| naming.directory.as_path()) {
            if !kept.contains_key(directory) {
                let all = self.since.iter().filter(|naming| naming.directory == directory).count();
                let share = match mood {
                    0 => 0,
                    1 => all,
                    _ => dice.below(all + 1),
                };
                kept.insert(directory, share);
            }
        }
        for naming in &self.since {
            let left = kept.get_mut(naming.directory.as_path()).unwrap();
            if *left > 0 {
                *left -= 1;
                apply_names(&mut names, &naming.names);
            }
        }
        let mood = dice.below(5);
        for (path, file) in &names {
            let inside = path.strip_prefix(&self.root).unwrap();
            let there = target.join(inside);
            // Without its directory a name is nowhere.
            if !there.parent().is_some_and(Path::is_dir) && inside != Path::new("") {
                continue;
            }
            let file = &self.files[*file];
            if file.is_directory {
                std::fs::create_dir_all(&there).unwrap();
            } else if !inside.to_string_lossy().ends_with("-shm") {
                // SQLite's shared index is memory; it is made anew.
                std::fs::write(&there, leftover(file, mood, dice)).unwrap();
            }
        }
    }

    /// Every file as the program itself sees it.
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let whole = |file: &File| {
            let mut bytes = file.synced.clone();
            file.since.iter().for_each(|(_, change)| make(&mut bytes, change, |_| true));
            bytes
        };
        let files = self.names.iter().filter(|(_, file)| !self.files[**file].is_directory);
        files.map(|(path, file)| (path.clone(), whole(&self.files[*file]))).collect()
    }
}

fn apply_names(map: &mut BTreeMap<PathBuf, usize>, names: &[(PathBuf, Option<usize>)]) {
    for (path, file) in names {
        match file {
            Some(file) => map.insert(path.clone(), *file),
            None => map.remove(path),
        };
    }
}

/// What a file may hold: all of the later changes, none, the first so many with the last one torn, or any, sector by sector.
fn leftover(file: &File, mood: usize, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = file.synced.clone();
    let first = match mood {
        0 => 0,
        1 => file.since.len(),
        _ => dice.below(file.since.len() + 1),
    };
    for (n, (_, change)) in file.since.iter().enumerate() {
        match mood {
            0 => {}
            1 => make(&mut bytes, change, |_| true),
            2 | 3 if n < first => make(&mut bytes, change, |_| true),
            2 | 3 if n == first => {
                let torn = dice.below(64);
                make(&mut bytes, change, |sector| sector < torn);
            }
            2 | 3 => {}
            _ => {
                let share = dice.below(3);
                make(&mut bytes, change, |_| dice.below(3) <= share);
            }
        }
    }
    bytes
}

/// Does a change to `bytes`, of a write only those sectors (counted from its first) that `takes` says.
fn make(bytes: &mut Vec<u8>, change: &Change, mut takes: impl FnMut(usize) -> bool) {
    match change {
        Change::Cut(length) => {
            if takes(0) {
                bytes.resize(usize::try_from(*length).unwrap(), 0);
            }
        }
        Change::Write(at, new) => {
            let mut from = usize::try_from(*at).unwrap();
            let (mut rest, mut sector) = (new.as_slice(), 0);
            while !rest.is_empty() {
                let size = (SECTOR - from % SECTOR).min(rest.len());
                if takes(sector) {
                    if bytes.len() < from + size {
                        bytes.resize(from + size, 0);
                    }
                    bytes[from..from + size].copy_from_slice(&rest[..size]);
                }
                (from, sector, rest) = (from + size, sector + 1, &rest[size..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: char, inode: u64, at: u64, bytes: &[u8]) -> Record {
        Record { kind, micros: 0, inode, at, bytes: bytes.to_vec() }
    }

    fn outcomes(records: &[Record]) -> std::collections::BTreeSet<Option<Vec<u8>>> {
        let mut disk = Disk::new(Path::new("/r"));
        records.iter().for_each(|record| disk.apply(record));
        (0..200)
            .map(|seed| {
                let target = tempfile::tempdir().unwrap();
                disk.survive(&mut Dice::new(seed), target.path());
                std::fs::read(target.path().join("f")).ok()
            })
            .collect()
    }

    #[test]
    fn only_what_was_synced_is_certain() {
        let mut log = vec![record('d', 1, 0, b"/r"), record('O', 2, 0, b"/r/f"), record('W', 2, 0, b"old")];
        let any = outcomes(&log);
        assert!(any.contains(&None) && any.contains(&Some(b"old".to_vec())) && any.contains(&Some(Vec::new())));
        // The file is synced, its name is not.
        log.extend([record('b', 2, 7, b""), record('W', 2, 0, b"new"), record('s', 2, 7, b"")]);
        let any = outcomes(&log);
        assert_eq!(any, [None, Some(b"old".to_vec()), Some(b"new".to_vec())].into());
        log.extend([record('b', 1, 8, b""), record('s', 1, 8, b"")]);
        assert_eq!(outcomes(&log), [Some(b"old".to_vec()), Some(b"new".to_vec())].into());
        log.extend([record('b', 2, 9, b""), record('s', 2, 9, b"")]);
        assert_eq!(outcomes(&log), [Some(b"new".to_vec())].into());
        log.extend([record('O', 3, 0, b"/r/g"), record('W', 3, 0, b"g"), record('R', 0, 0, b"/r/g\0/r/f")]);
        let any = outcomes(&log);
        assert!(any.contains(&Some(b"new".to_vec())) && any.contains(&Some(Vec::new())), "{any:?}");
    }

    #[test]
    fn a_write_may_be_torn_between_sectors_and_only_there() {
        let log = [
            record('d', 1, 0, b"/r"),
            record('O', 2, 0, b"/r/f"),
            record('W', 2, 0, &[1; 2 * SECTOR]),
            record('b', 2, 1, b""),
            record('s', 2, 1, b""),
            record('b', 1, 2, b""),
            record('s', 1, 2, b""),
            record('W', 2, 0, &[2; 2 * SECTOR]),
        ];
        let any = outcomes(&log);
        let sectors = |a: u8, b: u8| Some([[a; SECTOR], [b; SECTOR]].concat());
        assert_eq!(any, [sectors(1, 1), sectors(2, 1), sectors(1, 2), sectors(2, 2)].into());
    }
}
