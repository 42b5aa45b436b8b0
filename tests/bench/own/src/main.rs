//! Measurements other than of the server itself, in one program.
//!
//! - `own edge PORT TEXT`, `own tiny_http PORT TEXT`: the baselines
//! - `own fill DIRECTORY COUNT`: a grants table with many records
//! - under a name like `many_tools-1000`: a server with this number of tools, with the command line of the server

mod fill;
mod floor;
mod many_tools;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    if let Some(count) = program.rsplit_once("many_tools-").and_then(|(_, count)| count.parse().ok()) {
        return many_tools::run(count);
    }
    match work(&words.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("own: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(words: &[String]) -> Result<(), Box<dyn Error>> {
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["edge", port, text] => floor::edge(port.parse()?, text),
        ["tiny_http", port, text] => floor::tiny_http(port.parse()?, text),
        ["fill", directory, count] => fill::fill(Path::new(directory), count.parse()?),
        _ => Err("edge PORT TEXT, tiny_http PORT TEXT, or fill DIRECTORY COUNT".into()),
    }
}
