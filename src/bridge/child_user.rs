//! The users that programs run as: one, or one for each person out of a range. The assignment of a range's numbers is kept in a
//! directory of links, each created atomically, so that no number is assigned to two persons.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::launch::{RunAs, directory_of, make_directory, make_root};
use crate::base::{Subject, UserId};

/// The name of the directory below the parent of all home directories. No server has this name.
pub(super) const DIRECTORY: &str = ".users";
/// The user id for programs that serve everybody. Ids at GitHub are above zero.
const EVERYBODY: Subject = Subject::User(UserId(0));

/// The capability to signal processes of other users, in a mask (capabilities(7), `linux/capability.h`).
const CAP_KILL: u64 = 1 << 5;

/// The user of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChildUser {
    One(RunAs),
    /// A number of this range for each person and service token.
    PerPerson(RangeInclusive<u32>),
}

impl ChildUser {
    /// Reads the name or the number of a user, or a range of numbers.
    pub(crate) fn parse(text: &str) -> Result<ChildUser, String> {
        let range =
            text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
        match range {
            Some((first, last)) if 0 < first && first <= last => {
                are_free(&(first..=last)).map(|()| ChildUser::PerPerson(first..=last))
            }
            Some(_) => {
                Err(format!("{text:?} is no range: write the lowest number first, like 200000-265535"))
            }
            None => find_user(text).map(ChildUser::One),
        }
    }

    /// The user for a person, or for everybody. `root` is the directory above all home directories.
    pub(super) fn of(&self, person: Option<Subject>, root: &Path) -> io::Result<RunAs> {
        match self {
            ChildUser::One(user) => Ok(*user),
            ChildUser::PerPerson(range) => {
                let id = number(person.unwrap_or(EVERYBODY), range, root)?;
                Ok(RunAs { id, group: id })
            }
        }
    }

    /// Whether this process can kill processes of the user. Otherwise the programs would outlive it.
    pub(super) fn can_be_ended(&self) -> bool {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        self.can_be_ended_by(&status)
    }

    /// Whether a process with this `/proc/PID/status` can end them: it is of that user, or may signal other users' processes.
    fn can_be_ended_by(&self, status: &str) -> bool {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let capabilities = field("CapEff:").and_then(|mask| u64::from_str_radix(mask, 16).ok());
        let is_same = |user: &RunAs| {
            field("Uid:").and_then(|ids| ids.split_whitespace().next()?.parse().ok()) == Some(user.id)
        };
        capabilities.is_some_and(|mask| mask & CAP_KILL != 0)
            || matches!(self, ChildUser::One(user) if is_same(user))
    }

    /// The outermost directory above `root` that the user cannot traverse, judging by its mode. `root` itself is created
    /// traversable for everybody.
    pub(super) fn obstacle<'a>(&self, root: &'a Path) -> Option<&'a Path> {
        let is_closed = |path: &&Path| fs::metadata(path).is_ok_and(|directory| !self.can_pass(&directory));
        root.ancestors().skip(1).filter(is_closed).last()
    }

    fn can_pass(&self, directory: &fs::Metadata) -> bool {
        let needed = match self {
            ChildUser::One(RunAs { id: 0, .. }) => return true,
            ChildUser::One(user) if user.id == directory.uid() => 0o100,
            ChildUser::One(user) if user.group == directory.gid() => 0o010,
            ChildUser::One(_) | ChildUser::PerPerson(_) => 0o001,
        };
        directory.mode() & needed != 0
    }
}

/// The number of a person in a range: the one assigned earlier, else the first free one.
fn number(person: Subject, range: &RangeInclusive<u32>, root: &Path) -> io::Result<u32> {
    make_root(root)?;
    let directory = root.join(DIRECTORY);
    make_directory(&directory, 0o700)?;
    let theirs = directory.join(format!("{}-{}-of-{}", range.start(), range.end(), directory_of(person)));
    for _ in 0..2 {
        match fs::read_link(&theirs) {
            Ok(number) => {
                let number = number.to_str().and_then(|number| number.parse().ok());
                let number = number.filter(|number| range.contains(number));
                return number.ok_or_else(|| io::Error::other(format!("{} is damaged", theirs.display())));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let number = claim(person, range, &directory)?;
        match symlink(number.to_string(), &theirs) {
            // A concurrent start for the same person was first.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(directory.join(number.to_string()))?;
            }
            made => made?,
        }
        // Synced before a file can belong to the number: after a crash it must not be assigned again.
        File::open(&directory)?.sync_all()?;
    }
    Err(io::Error::other("the number of its user changes all the time"))
}

/// Takes the first free number.
fn claim(person: Subject, range: &RangeInclusive<u32>, directory: &Path) -> io::Result<u32> {
    for number in range.clone() {
        match symlink(directory_of(person), directory.join(number.to_string())) {
            Ok(()) => return Ok(number),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("no number is left in the range of users"))
}

/// A user by name or number.
fn find_user(name: &str) -> Result<RunAs, String> {
    let number: Option<u32> = name.parse().ok();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (login, _, id, group) =
            (fields.next()?, fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (login == name || number == Some(id)).then_some(RunAs { id, group })
    });
    match (found, number) {
        (Some(found), _) => Ok(found),
        (None, Some(id)) => are_free(&(id..=id)).map(|()| RunAs { id, group: id }),
        (None, None) => Err(format!("there is no user {name:?} in /etc/passwd")),
    }
}

/// Checks that no user and no group has one of these numbers: programs would run with their rights.
fn are_free(numbers: &RangeInclusive<u32>) -> Result<(), String> {
    for (file, what) in [("/etc/passwd", "user"), ("/etc/group", "group")] {
        let entries = fs::read_to_string(file).unwrap_or_default();
        if let Some((name, number)) = entry_among(&entries, numbers) {
            let which = "write the name of a user, or numbers that nobody has";
            return Err(format!("{number} is the number of the {what} {name:?} in {file}: {which}"));
        }
    }
    Ok(())
}

/// The first entry of `/etc/passwd` or `/etc/group` with one of these numbers.
fn entry_among<'a>(entries: &'a str, numbers: &RangeInclusive<u32>) -> Option<(&'a str, u32)> {
    entries.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        numbers.contains(&number).then_some((name, number))
    })
}

#[cfg(test)]
mod tests;
