//! Writes include/ustcp.h, or compares it with what the sources say.

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: generate_header [--check] FILE";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["--check", file] => check(file),
        [file] if !file.starts_with('-') => write(file),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn write(file: &str) -> Result<(), String> {
    std::fs::write(file, header()?).map_err(|error| format!("{file}: {error}"))
}

fn check(file: &str) -> Result<(), String> {
    let committed = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let generated = header()?;
    if committed == generated {
        return Ok(());
    }
    let same = committed
        .lines()
        .zip(generated.lines())
        .take_while(|(old, new)| old == new)
        .count();
    Err(format!(
        "{file} is not what the sources say from line {} on: run `make header`",
        same + 1
    ))
}

fn header() -> Result<String, String> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(package.join("cbindgen.toml"))?;
    // One version, that of the workspace.
    config.after_includes = config.after_includes.map(|text| with_version(&text));
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(package.join("src/lib.rs"))
        .generate()
        .map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text).map_err(|error| error.to_string())?;
    // A heading of rustdoc; C comments have none.
    Ok(text.replace(" * # Safety\n", " * Safety:\n"))
}

fn with_version(text: &str) -> String {
    text.replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@MAJOR@", env!("CARGO_PKG_VERSION_MAJOR"))
        .replace("@MINOR@", env!("CARGO_PKG_VERSION_MINOR"))
        .replace("@PATCH@", env!("CARGO_PKG_VERSION_PATCH"))
}
