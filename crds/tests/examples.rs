//! Every manifest of `examples/` reads without a problem and takes effect.

use std::path::{Path, PathBuf};

use streamgate_crds::manifest::{self, Manifest};
use streamgate_crds::yaml::Document;
use streamgate_crds::{Objects, Policy, StreamRoute, TlsSni, admit};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// The manifests of a folder, each with its path.
fn texts(folder: &str) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(examples().join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), std::fs::read_to_string(file).unwrap())).collect()
}

/// Reads a manifest, which names its namespace and name itself.
fn read<T: Manifest>(file: &Path, yaml: &str) -> T {
    let document = Document::parse(yaml).unwrap_or_else(|problem| panic!("{}: {problem}", file.display()));
    let metadata = |field| document.text(field).unwrap_or_else(|| panic!("{}: no {field}", file.display()));
    let (namespace, name) = (metadata("metadata.namespace"), metadata("metadata.name"));
    manifest::read(&file.display().to_string(), namespace, name, yaml).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

fn read_all<T: Manifest>(folder: &str) -> Vec<(PathBuf, T)> {
    texts(folder).into_iter().map(|(file, yaml)| (file.clone(), read(&file, &yaml))).collect()
}

/// A `TlsSni` that serves all that a route names, and lets it attach.
fn partner(route: &StreamRoute) -> TlsSni {
    let yaml =
        "{apiVersion: streamgate.dev/v1alpha1, kind: TlsSni, spec: {snis: [\"*\"], certificates: [{secretName: tls}]}}";
    let namespace = route.metadata.namespace.as_deref().unwrap();
    manifest::read("partner", namespace, "partner", yaml).unwrap()
}

#[test]
fn each_route_takes_effect_beside_a_tls_sni_of_its_namespace() {
    let routes = read_all::<StreamRoute>("routes");
    assert!(routes.len() >= 16, "{} examples", routes.len());
    for (file, route) in routes {
        let objects = Objects { tls_snis: vec![partner(&route)], stream_routes: vec![route] };
        let admitted = admit(&Policy::default(), objects.clone());
        assert_eq!(admitted.objects, objects, "{}: {:?}", file.display(), admitted.refusals);
    }
}

#[test]
fn each_tls_sni_takes_effect_by_itself() {
    let tls_snis = read_all::<TlsSni>("tlssnis");
    assert!(tls_snis.len() >= 9, "{} examples", tls_snis.len());
    for (file, tls_sni) in tls_snis {
        let objects = Objects { tls_snis: vec![tls_sni], stream_routes: vec![] };
        let admitted = admit(&Policy::default(), objects.clone());
        assert_eq!(admitted.objects, objects, "{}: {:?}", file.display(), admitted.refusals);
    }
}

#[test]
fn the_standalone_directory_takes_effect_as_a_whole() {
    let tls_snis = read_all::<TlsSni>("standalone/config/tlssnis");
    let stream_routes = read_all::<StreamRoute>("standalone/config/streamroutes");
    let objects = Objects {
        tls_snis: tls_snis.into_iter().map(|(_, tls_sni)| tls_sni).collect(),
        stream_routes: stream_routes.into_iter().map(|(_, route)| route).collect(),
    };
    assert!(!objects.tls_snis.is_empty() && !objects.stream_routes.is_empty());
    let admitted = admit(&Policy::default(), objects.clone());
    assert_eq!(admitted.objects, objects, "{:?}", admitted.refusals);
}

#[test]
fn a_file_of_a_configuration_directory_is_named_after_its_object() {
    let tls_snis = read_all::<TlsSni>("standalone/config/tlssnis");
    let stream_routes = read_all::<StreamRoute>("standalone/config/streamroutes");
    let tls_snis = tls_snis.iter().map(|(file, tls_sni)| (file, tls_sni.reference()));
    let objects = tls_snis.chain(stream_routes.iter().map(|(file, route)| (file, route.reference())));
    for (file, object) in objects {
        let name = format!("{}.{}.yaml", object.namespace, object.name);
        assert_eq!(file.file_name().unwrap().to_str(), Some(name.as_str()));
    }
}

#[test]
fn an_example_by_itself_is_named_after_its_file() {
    let routes = read_all::<StreamRoute>("routes");
    let tls_snis = read_all::<TlsSni>("tlssnis");
    let names = routes.iter().map(|(file, route)| (file, &route.metadata.name));
    for (file, name) in names.chain(tls_snis.iter().map(|(file, tls_sni)| (file, &tls_sni.metadata.name))) {
        assert_eq!(file.file_stem().unwrap().to_str(), name.as_deref());
    }
}
