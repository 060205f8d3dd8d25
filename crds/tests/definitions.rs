//! What is committed is what the types give.

#[path = "../examples/definitions.rs"]
#[allow(dead_code, reason = "its main")]
mod definitions;

#[test]
fn the_committed_definitions_are_those_of_the_types() {
    let files = definitions::files().unwrap();
    // Each for crds/ and for the chart.
    assert_eq!(files.len(), 4);
    for (file, text) in files {
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == text, "{} is not what the types give: run make crds", file.display());
    }
}
