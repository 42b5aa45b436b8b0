//! What was given for each option, and where: in the configuration file, in the environment, on the command line. Of these
//! the later wins.
//!
//! The file has the form of systemd's `EnvironmentFile=`: a line is `NAME=value`, with the names of the environment, or a
//! comment that begins with `#` or `;`. Quotes may go around a whole value. What other readers of such files could take
//! otherwise is refused, so that one file means the same to all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::options::{self, ConfigOption, OPTIONS, Reads};
use super::{ConfigError, ConfigWarning};
use crate::base::encoding::sha256;
use crate::base::{capped, limits};

/// The environment of a process.
pub type Environment = BTreeMap<String, String>;

/// The value of one option.
pub(super) struct Given {
    pub(super) option: &'static ConfigOption,
    pub(super) value: String,
    source: Source,
}

enum Source {
    /// The file and the line.
    File(PathBuf, usize),
    Variable,
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path, line) => write!(f, "{}:{line}", path.display()),
            Source::Variable => f.write_str("the environment"),
            Source::Flag => f.write_str("the command line"),
        }
    }
}

/// What was given for each option, for a comparison with what is given later. Digests, since secrets are among it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<&'static str, [u8; 32]>);

impl Given {
    pub(super) fn flag(option: &'static ConfigOption, value: String) -> Given {
        Given { option, value, source: Source::Flag }
    }

    /// Hands the value to the draft.
    ///
    /// # Errors
    /// [`ConfigError`]: what is wrong with it, and where it stands.
    pub(super) fn apply(&self, draft: &mut Draft) -> Result<(), ConfigError> {
        let option = self.option;
        (option.apply)(draft, self.value.clone()).map_err(|why| {
            let name = match &self.source {
                Source::File(..) | Source::Variable => option.env,
                Source::Flag => option.flag.unwrap_or(option.env),
            };
            let error = match self.wrong_entry() {
                Some(entry) => ConfigError::BadEntry(name, entry.to_owned(), why),
                None => ConfigError::BadValue(name, why),
            };
            match &self.source {
                Source::File(path, line) => in_line(path, *line, error.to_string()),
                Source::Variable | Source::Flag => error,
            }
        })
    }

    /// The first entry of a comma list that is wrong by itself.
    fn wrong_entry(&self) -> Option<&str> {
        let wrong = |entry: &&str| (self.option.apply)(&mut Draft::default(), (*entry).to_owned()).is_err();
        self.value.split(',').map(str::trim).filter(|_| self.option.is_list()).find(wrong)
    }
}

impl Snapshot {
    pub(super) fn of(given: &[Given]) -> Snapshot {
        Snapshot(given.iter().map(|each| (each.option.env, sha256(each.value.as_bytes()))).collect())
    }

    /// The options that are given otherwise in `other`.
    pub fn differences(&self, other: &Snapshot) -> Vec<&'static str> {
        let names = OPTIONS.iter().map(|option| option.env);
        names.filter(|name| self.0.get(name) != other.0.get(name)).collect()
    }
}

/// Everything that was given, each option once, in the order in which it is to be applied; and what of it an operator may
/// not have meant.
///
/// # Errors
/// [`ConfigError`]: what is wrong with the file.
pub(super) fn all(
    flags: Vec<Given>,
    env: &Environment,
    reads: Reads,
) -> Result<(Vec<Given>, Vec<ConfigWarning>), Vec<ConfigError>> {
    let variables = OPTIONS.iter().filter_map(|option| {
        let value = env.get(option.env).filter(|value| !value.is_empty())?;
        Some(Given { option, value: value.clone(), source: Source::Variable })
    });
    let named: Vec<Given> = variables.chain(flags).collect();
    let path = named.iter().rev().find(|each| each.option.env == options::CONFIG).map(|each| &each.value);
    let mut given = match path {
        Some(path) => from_file(Path::new(path))?,
        None => Vec::new(),
    };
    let mut warnings = unknown_variables(env);
    for each in named {
        if let Some(place) = given.iter().position(|earlier| earlier.option.env == each.option.env) {
            let hidden = given.remove(place).source.to_string();
            warnings.push(ConfigWarning::Shadowed(each.option.env, hidden, each.source.to_string()));
        }
        given.push(each);
    }
    given.retain(|each| each.option.is_of(reads));
    Ok((given, warnings))
}

/// Variables that resemble an option. Other programs have such, as MCP clients do, or Kubernetes for a service called
/// `mcp-config`: no reason not to start. What resembles no option is theirs and not worth a word.
fn unknown_variables(env: &Environment) -> Vec<ConfigWarning> {
    let known = |name: &str| OPTIONS.iter().any(|option| option.env == name);
    let unknown = env.keys().filter(|name| name.starts_with("MCP_") && !known(name));
    let misspelt = |name: &&String| {
        let option = nearest(name);
        name.starts_with(option) || distance(name, option) <= limits::MISSPELT_LETTERS
    };
    unknown.filter(misspelt).map(|name| ConfigWarning::Unknown(name.clone(), nearest(name))).collect()
}

fn from_file(path: &Path) -> Result<Vec<Given>, Vec<ConfigError>> {
    let failed = |why: String| vec![ConfigError::File(path.to_owned(), why)];
    // Before it is opened: of a pipe, that would wait for a writer.
    if !path.metadata().map_err(|error| failed(error.to_string()))?.is_file() {
        return Err(failed("it is not a regular file".to_owned()));
    }
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let mode = file.metadata().map_err(|error| failed(error.to_string()))?.permissions().mode();
    let text = capped::read_text_from(file, limits::CONFIG_FILE_BYTES);
    let text = text.map_err(|error| failed(error.to_string()))?;
    // Of a file that is being written SIGHUP would find a part, or nothing, and a deny list that is missing denies nobody.
    if !text.ends_with('\n') {
        let why = "its last line does not end with a newline, as if it were still being written: write it elsewhere, and mv it \
                   into place";
        return Err(failed(why.to_owned()));
    }
    let given = parse(path, &text)?;
    if mode & 0o007 != 0 && given.iter().any(|each| each.option.flag.is_none()) {
        let why = "every user of this machine can read the secret in it: chmod 640 it, or put the secret into a file of \
                   its own that GITHUB_CLIENT_SECRET_FILE names";
        return Err(failed(why.to_owned()));
    }
    Ok(given)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Given>, Vec<ConfigError>> {
    let (mut given, mut errors): (Vec<Given>, Vec<ConfigError>) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        match entry(line) {
            Ok((option, _)) if given.iter().any(|each| each.option.env == option.env) => {
                errors.push(in_line(path, number, format!("{} is given twice", option.env)));
            }
            Ok((_, "")) => {}
            Ok((option, value)) => {
                let source = Source::File(path.to_owned(), number);
                given.push(Given { option, value: value.to_owned(), source });
            }
            Err(why) => errors.push(in_line(path, number, why)),
        }
    }
    if errors.is_empty() { Ok(given) } else { Err(errors) }
}

/// The option and the value of a line, or what is wrong with it.
fn entry(line: &str) -> Result<(&'static ConfigOption, &str), String> {
    let (name, value) = line.split_once('=').ok_or("write NAME=value")?;
    let name = name.trim_end();
    let known = OPTIONS.iter().find(|option| option.env == name && name != options::CONFIG);
    let option =
        known.ok_or_else(|| format!("there is no option {name:?}; the nearest is {}", nearest(name)))?;
    let value = unquoted(value.trim_start()).ok_or_else(|| {
        format!("{name}: quotes go around the whole value or not at all, and there is no backslash in it")
    })?;
    Ok((option, value))
}

fn in_line(path: &Path, line: usize, why: String) -> ConfigError {
    ConfigError::File(format!("{}:{line}", path.display()).into(), why)
}

/// The value without the quotes around it; `None` if there are others in it.
fn unquoted(text: &str) -> Option<&str> {
    let within = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    let value = within('"').or_else(|| within('\'')).unwrap_or(text);
    (!value.contains(['"', '\'', '\\'])).then_some(value)
}

/// The option whose name `name` begins with, or else differs least from.
fn nearest(name: &str) -> &'static str {
    let names = OPTIONS.iter().map(|option| option.env);
    let rank = |option: &&str| (!name.starts_with(option), distance(name, option));
    names.min_by_key(rank).unwrap_or_default()
}

/// How many letters must be put in, taken out or changed to make `to` of `from` (Levenshtein).
pub(super) fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.bytes().enumerate() {
        let mut diagonal = index;
        let mut left = index.saturating_add(1);
        for (place, other) in row.iter_mut().zip(std::iter::once(None).chain(to.bytes().map(Some))) {
            let Some(other) = other else {
                *place = left;
                continue;
            };
            let changed = diagonal.saturating_add(usize::from(letter != other));
            diagonal = *place;
            left = changed.min(left.saturating_add(1)).min(place.saturating_add(1));
            *place = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_with_the_fewest_changes() {
        for (one, other, expected) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("flaw", "lawn", 2)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
        assert_eq!(nearest("MCP_ALOW"), "MCP_ALLOW");
        assert_eq!(nearest("MCP_MAX_STREAM"), "MCP_MAX_STREAMS");
        assert_eq!(nearest("GITHUB_SECRET_FILE"), "GITHUB_CLIENT_SECRET_FILE");
    }

    /// The values of `text`, or what is wrong with it.
    fn read(text: &str) -> Result<Vec<(&'static str, String)>, String> {
        let given = parse(Path::new("/etc/mcp.conf"), text)
            .map_err(|errors| errors.iter().map(|error| format!("{error}\n")).collect::<String>())?;
        Ok(given.into_iter().map(|each| (each.option.env, each.value)).collect())
    }

    #[test]
    fn a_file_has_a_name_and_a_value_a_line() {
        let text = "# who\n; what\n\nMCP_ALLOW=user:octocat,org:github\n  MCP_LISTEN = [::1]:1 \nMCP_STATE_DIR=\"/a b\"\n\
                    GITHUB_URL='https://a.example/#x'\r\nMCP_CLIENTS=\n";
        let expected = [
            ("MCP_ALLOW", "user:octocat,org:github"),
            ("MCP_LISTEN", "[::1]:1"),
            ("MCP_STATE_DIR", "/a b"),
            ("GITHUB_URL", "https://a.example/#x"),
        ];
        assert_eq!(read(text).unwrap(), expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn what_could_be_read_otherwise_is_refused_with_its_line() {
        for (text, expected) in [
            (
                "MCP_ALLOW=any\nMCP_ALOW=any",
                "/etc/mcp.conf:2: there is no option \"MCP_ALOW\"; the nearest is MCP_ALLOW",
            ),
            ("export MCP_ALLOW=any", "/etc/mcp.conf:1: there is no option \"export MCP_ALLOW\""),
            ("MCP_CONFIG=/other", "/etc/mcp.conf:1: there is no option \"MCP_CONFIG\""),
            ("mcp_allow=any", ":1: there is no option"),
            ("MCP_ALLOW any", ":1: write NAME=value"),
            ("\n\nMCP_ALLOW=any\nMCP_ALLOW=any", ":4: MCP_ALLOW is given twice"),
            ("MCP_ALLOW=\"any", ":1: MCP_ALLOW: quotes go around the whole value"),
            ("MCP_ALLOW=\"user:a\",\"user:b\"", ":1: MCP_ALLOW: quotes"),
            ("MCP_ALLOW=user:a,\\\nMCP_LISTEN=[::]:1", ":1: MCP_ALLOW: quotes"),
            ("MCP_ALOW=any\nMCP_ALLOW", "nearest is MCP_ALLOW\n/etc/mcp.conf:2: write NAME=value\n"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
