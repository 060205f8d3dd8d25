//! The commands of a page, run one after the other in one shell and one folder, and what they print beside what the page
//! says they print.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Component, Path};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use streamgate_tests::transcript::{commands, fits};
use streamgate_tests::{process, proxy, workspace};

use crate::examples::ports;
use streamgate_tests::page::{Block, Kind, Page};

/// Ports that the pages name; each is another, free one in the run.
const PORTS: [u16; 9] = [8883, 8884, 1883, 9901, 9902, 21883, 21884, 9100, 1980];
/// How long a page's commands may take.
const LIMIT: Duration = Duration::from_mins(1);
/// What the shell writes after each command.
const MARK: &str = "\u{1e}";

/// Runs the files and commands of a page.
///
/// # Errors
/// A command of an `sh` block fails, or one of a `console` block prints something else.
pub(super) fn run(page: &Page) -> Result<()> {
    let ports = Ports::choose()?;
    let mut script = Script::default();
    for block in page.blocks()? {
        script.add(&block)?;
    }
    if script.expected.is_empty() {
        return Ok(());
    }
    let folder = tempfile::Builder::new().prefix("streamgate-docs-").tempdir()?;
    let file = folder.path().join(".script");
    fs::write(&file, ports.in_run(&script.text))?;
    let work = folder.path().join("work");
    fs::create_dir(&work)?;
    // What the pages call examples/ is at hand, as in the repository.
    copy(&workspace().join("examples"), &work.join("examples"))?;

    let binaries = proxy::binary()?.parent().map(Path::to_owned).context("a binary is in a folder")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &LIMIT.as_secs().to_string(), "bash"]).arg(&file).current_dir(&work);
    command.env("PATH", format!("{}:{path}:/usr/sbin:/usr/local/sbin", binaries.display())).env_remove("RUST_LOG");
    let output = process::run(command, LIMIT + Duration::from_secs(10))?;

    let text = ports.in_page(&output.text());
    let printed: Vec<&str> = text.split(MARK).collect();
    for (index, step) in script.expected.iter().enumerate() {
        let printed = printed.get(index).filter(|_| index + 1 < printed.len());
        let printed = printed.with_context(|| {
            format!("{}: `{}` failed, or did not end\n{text}\n{}", step.place, step.command, output.stderr)
        })?;
        if let Some(expected) = &step.output {
            let printed: Vec<&str> = printed.trim_matches('\n').lines().map(str::trim_end).collect();
            let expected: Vec<&str> = expected.trim_matches('\n').lines().map(str::trim_end).collect();
            ensure!(
                fits(&expected, &printed),
                "{}: `{}` prints\n{}\n--- and not\n{}",
                step.place,
                step.command,
                printed.join("\n"),
                expected.join("\n")
            );
        }
    }
    Ok(())
}

/// The shell's script, and what is expected of it.
#[derive(Default)]
struct Script {
    text: String,
    expected: Vec<Step>,
}

/// What one command, or one block of them, is to print.
struct Step {
    place: String,
    command: String,
    /// `None`: anything.
    output: Option<String>,
}

impl Script {
    fn add(&mut self, block: &Block) -> Result<()> {
        if self.text.is_empty() {
            // What runs in the background ends with the script.
            self.text.push_str("trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\nexec 2>&1 </dev/null\n");
        }
        match &block.kind {
            Kind::File(path) => {
                let path = Path::new(path);
                ensure!(
                    path.components().all(|part| matches!(part, Component::Normal(_))),
                    "{}: the path",
                    block.place
                );
                let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
                let folder = folder.display();
                let end = "THE_END_OF_THE_FILE";
                let file = path.display();
                write!(self.text, "mkdir -p {folder}\ncat >{file} <<'{end}'\n{}{end}\n", block.text)?;
            }
            Kind::Shell => {
                write!(self.text, "set -e\n{}\nset +e\nprintf '{MARK}'\n", block.text)?;
                self.expected.push(Step { place: block.place.clone(), command: block.text.clone(), output: None });
            }
            Kind::Console => {
                for (command, output) in commands(&block.text).with_context(|| block.place.clone())? {
                    write!(self.text, "{command}\nstatus=$?\nprintf '{MARK}'\n(exit $status)\n")?;
                    self.expected.push(Step { place: block.place.clone(), command, output: Some(output) });
                }
            }
            Kind::Manifests
            | Kind::Route
            | Kind::TlsSni
            | Kind::Values
            | Kind::Picture
            | Kind::ClusterConsole
            | Kind::ClusterShell
            | Kind::KindShell
            | Kind::Manual => {}
        }
        Ok(())
    }
}

/// Free ports in place of those that the pages name, so that pages run beside one another.
struct Ports(BTreeMap<String, String>);

impl Ports {
    fn choose() -> Result<Self> {
        let free = PORTS.iter().map(|_| Ok(ports::free()?.to_string())).collect::<Result<Vec<_>>>()?;
        Ok(Self(PORTS.iter().map(u16::to_string).zip(free).collect()))
    }

    fn in_run(&self, text: &str) -> String {
        replace_numbers(text, |number| self.0.get(number).map(String::as_str))
    }

    fn in_page(&self, text: &str) -> String {
        let back: BTreeMap<_, _> = self.0.iter().map(|(named, free)| (free.as_str(), named.as_str())).collect();
        replace_numbers(text, |number| back.get(number).copied())
    }
}

/// The text with some of its numbers replaced, each as a whole.
fn replace_numbers<'a>(text: &str, replacement: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let end = number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len());
        let (number, after) = number.split_at(end);
        replaced.extend([before, replacement(number).unwrap_or(number)]);
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[test]
fn a_command_that_prints_something_else_fails() -> Result<()> {
    let page = |output: &str| Page::of("page", &format!("```console\n$ echo one; echo two\n{output}\n```"));
    run(&page("one\ntwo"))?;
    run(&page("…\nt…o"))?;
    for wrong in ["one", "one\ntwo\nthree", "two\none", "one\nt…x", ""] {
        ensure!(run(&page(wrong)).is_err(), "{wrong} passes");
    }
    Ok(())
}

#[test]
fn a_command_that_fails_fails_the_page() -> Result<()> {
    run(&Page::of("page", "```sh\ntrue\ntest -d examples\n```"))?;
    ensure!(run(&Page::of("page", "```sh\nfalse\ntrue\n```")).is_err());
    Ok(())
}

#[test]
fn a_code_is_that_of_the_command_before() -> Result<()> {
    run(&Page::of("page", "```console\n$ (exit 3)\n$ echo $?\n3\n```"))
}

#[test]
fn a_file_is_there_for_the_commands_after_it() -> Result<()> {
    run(&Page::of("page", "```yaml file=a/b.yaml\nc: 1883\n```\n```console\n$ cat a/b.yaml\nc: 1883\n```"))
}

#[test]
fn a_block_of_an_unknown_kind_fails() {
    assert!(Page::of("page", "```bash\ntrue\n```").blocks().is_err());
}
