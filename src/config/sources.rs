//! The given value of each option: in the configuration file, in the environment, on the command line. A later place of these
//! wins.
//!
//! The file has the form of systemd's `EnvironmentFile=`: a line is `NAME=value`, with the names of the environment, or a
//! comment that begins with `#` or `;`. Quotes may go around a whole value. What other readers of such files could read
//! differently is refused, so that one file means the same to all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::Config;
use super::options::{self, ConfigOption, OPTIONS};
use crate::base::{StartupError, capped};

/// The environment of a process.
pub type Environment = BTreeMap<String, String>;

/// The value of one option.
pub(super) struct Given {
    pub(super) option: &'static ConfigOption,
    pub(super) value: String,
    /// Where it was given, for messages.
    pub(super) place: String,
    /// The option's name there.
    pub(super) name: String,
}

/// Something that the operator may not have meant, and no reason not to start.
#[derive(Clone, Debug)]
pub struct Warning {
    pub what: String,
    pub fix: String,
    /// The option of which one of two values is not used.
    pub hidden: Option<&'static str>,
}

impl Given {
    /// Writes the value into the configuration.
    pub(super) fn apply(&self, config: &mut Config) -> Result<(), StartupError> {
        (self.option.apply)(config, &self.value).map_err(|why| match self.wrong_entry() {
            Some(entry) => StartupError::unusable(&self.name, format!("{why}; {entry:?} is wrong")),
            None => StartupError::unusable(&self.name, why),
        })
    }

    /// The first entry of a comma list that is wrong by itself.
    fn wrong_entry(&self) -> Option<&str> {
        let wrong = |entry: &&str| (self.option.apply)(&mut Config::default(), entry).is_err();
        self.value.split(',').map(str::trim).filter(|_| self.option.is_list()).find(wrong)
    }
}

/// Everything that was given, each option once, in the order in which it is to be applied; and warnings.
pub(super) fn read(
    flags: Vec<Given>,
    env: &Environment,
) -> Result<(Vec<Given>, Vec<Warning>), Vec<StartupError>> {
    let variables = OPTIONS.iter().filter_map(|option| {
        let value = env.get(option.env).filter(|value| !value.is_empty())?.clone();
        Some(Given { option, value, place: "the environment".to_owned(), name: option.env.to_owned() })
    });
    let named: Vec<Given> = variables.chain(flags).collect();
    let path = named.iter().rev().find(|each| each.option.env == options::CONFIG).map(|each| &each.value);
    let mut given = path.map_or_else(|| Ok(Vec::new()), |path| read_file(Path::new(path)))?;
    let mut warnings: Vec<Warning> = unknown_variables(env).into_iter().collect();
    for each in named {
        let name = each.option.env;
        if let Some(place) = given.iter().position(|earlier| earlier.option.env == name) {
            let unused = given.remove(place).place;
            warnings.push(Warning {
                what: format!("{name} in {unused} is not used: {} has it as well", each.place),
                fix: "remove one of the two".to_owned(),
                hidden: Some(name),
            });
        }
        given.push(each);
    }
    Ok((given, warnings))
}

/// Variables that begin like ours and are none. Other programs have such, as MCP clients do: no reason not to start. Those that
/// Kubernetes sets for a service called `mcp-…` are left out: `…_PORT` is a URL then.
fn unknown_variables(env: &Environment) -> Option<Warning> {
    let of_kubernetes = |name: &str| {
        let service = name.split_once("_SERVICE_").or_else(|| name.split_once("_PORT"));
        let port = service.and_then(|(service, _)| env.get(&format!("{service}_PORT")));
        port.is_some_and(|value| value.contains("://"))
    };
    let unknown = |name: &&str| {
        name.starts_with("MCP_") && !of_kubernetes(name) && OPTIONS.iter().all(|option| option.env != *name)
    };
    let unknown: Vec<&str> = env.keys().map(String::as_str).filter(unknown).collect();
    (!unknown.is_empty()).then(|| Warning {
        what: format!("the environment has variables that are no options: {}", unknown.join(", ")),
        fix: "leave them if they belong to other programs; --help lists the options".to_owned(),
        hidden: None,
    })
}

fn read_file(path: &Path) -> Result<Vec<Given>, Vec<StartupError>> {
    let failed = |why: &dyn fmt::Display| vec![StartupError::unusable(path.display(), why)];
    let unread = |error| failed(&format_args!("{error}; --config or MCP_CONFIG names this file"));
    let text = capped::read(path).and_then(capped::text).map_err(unread)?;
    // Of a file that is being written SIGHUP would find a part, or nothing, and a deny list that is missing denies nobody.
    if !text.ends_with('\n') {
        let why = "its last line does not end with a newline, as if it were still being written: write it elsewhere, and mv it \
                   into place";
        return Err(failed(&why));
    }
    let given = parse(path, &text)?;
    if capped::is_exposed(path, 0o007) && given.iter().any(|each| each.option.is_secret()) {
        let why = "every user of this machine can read the secret in it: chmod 640 it, or put the secret into a file of \
                   its own that GITHUB_CLIENT_SECRET_FILE names";
        return Err(failed(&why));
    }
    Ok(given)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Given>, Vec<StartupError>> {
    let (mut given, mut errors): (Vec<Given>, Vec<StartupError>) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let place = format!("{}:{number}", path.display());
        match entry(line) {
            Ok((option, _)) if given.iter().any(|each| each.option.env == option.env) => {
                errors.push(StartupError::unusable(place, format!("{} is given twice", option.env)));
            }
            Ok((_, "")) => {}
            Ok((option, value)) => {
                let name = format!("{place}: {}", option.env);
                given.push(Given { option, value: value.to_owned(), place, name });
            }
            Err(why) => errors.push(StartupError::unusable(place, why)),
        }
    }
    if errors.is_empty() { Ok(given) } else { Err(errors) }
}

/// The option and the value of a line, or what is wrong with it.
fn entry(line: &str) -> Result<(&'static ConfigOption, &str), String> {
    let (name, value) = line.split_once('=').ok_or("write NAME=value")?;
    let name = name.trim_end();
    let option = OPTIONS.iter().find(|option| option.env == name && name != options::CONFIG);
    let option = option.ok_or_else(|| format!("there is no option {name:?}; --help lists the options"))?;
    let value = unquoted(value.trim_start()).ok_or_else(|| {
        format!("{name}: quotes go around the whole value or not at all, and there is no backslash in it")
    })?;
    Ok((option, value))
}

/// The value without the quotes around it; `None` if there are others in it.
fn unquoted(text: &str) -> Option<&str> {
    let within = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    let value = within('"').or_else(|| within('\'')).unwrap_or(text);
    (!value.contains(['"', '\'', '\\'])).then_some(value)
}

#[cfg(test)]
mod tests;
