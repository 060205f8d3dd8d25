//! The commands that the documentation shows for a cluster.

use anyhow::{Context, Result, ensure};
use streamgate_tests::page::{Kind, Page};
use streamgate_tests::transcript::{commands, fits};

use super::stage::Stage;

#[test]
fn the_commands_of_kubernetes_print_what_it_says() -> Result<()> {
    let stage = Stage::with_proxies(1)?;
    stage.program("devices")?;
    let blocks = Page::read("docs/kubernetes.md")?.blocks()?;
    let mut count = 0;
    for block in blocks.iter().filter(|block| block.kind == Kind::ClusterConsole) {
        for (command, output) in commands(&block.text).with_context(|| block.place.clone())? {
            let arguments: Vec<&str> = command.split(' ').collect();
            ensure!(arguments[0] == "kubectl", "{}: `{command}` is none of kubectl", block.place);
            let arguments = [&arguments[1..], &["-n", &stage.tenant]].concat();
            let printed = stage.gateway.cluster.kubectl(&arguments, None)?.succeeded(&command)?.text();
            let lines =
                |text: &str| text.trim_matches('\n').lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
            let (expected, printed) = (lines(&output), lines(&printed));
            let (expected, printed): (Vec<&str>, Vec<&str>) =
                (expected.iter().map(String::as_str).collect(), printed.iter().map(String::as_str).collect());
            ensure!(fits(&expected, &printed), "{}: `{command}` prints\n{}", block.place, printed.join("\n"));
            count += 1;
        }
    }
    ensure!(count > 0, "no commands");
    Ok(())
}
