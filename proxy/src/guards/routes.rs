//! The route of a client among 10,000.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::json;
use streamgate_crds::problem::{Kind, ObjectRef};

use super::{count, route, spec};
use crate::config::snapshot::{TlsService, label};
use crate::route::table::RouteTable;
use crate::route::{Client, ClientTls};

const ROUTES: usize = 10_000;

/// Routes with this under `match`.
fn table(matches: impl Fn(usize) -> serde_json::Value) -> RouteTable {
    let of = |number| {
        let text = json!({"match": matches(number), "upstream": {"nodes": [{"host": "192.0.2.1", "port": 1883}]}});
        route(format!("route-{number}"), text, Vec::new())
    };
    RouteTable::new((0..ROUTES).map(of).collect())
}

/// Every tenth route's client is looked up.
fn numbers() -> Vec<usize> {
    (0..ROUTES).step_by(10).collect()
}

#[test]
fn match_by_name() {
    let name = |number: usize| format!("device-{number:04}.acme.example");
    let table = table(|number| json!({"snis": [name(number)]}));
    let object = ObjectRef { kind: Kind::TlsSni, namespace: "acme".to_owned(), name: "names".to_owned() };
    let spec = spec(json!({"snis": ["*.acme.example"], "certificates": [{"secretName": "tls"}]}));
    let service = TlsService { label: label(&object), object, spec, server: None };
    let numbers = numbers();
    let names: Vec<String> = numbers.iter().map(|&number| name(number)).collect();
    let clients: Vec<Client<'_>> = names
        .iter()
        .map(|name| ClientTls { sni: Some(name), service: &service })
        .map(|tls| Client { listener: "mqtts", source: [192, 0, 2, 7].into(), tls: Some(tls) })
        .collect();
    assert_found(&table, &clients, &numbers);
    count(&clients, |client| table.find(client).is_some());
}

#[test]
fn match_by_source() {
    let network = |number: usize| (number / 250, number % 250);
    let table = table(|number| {
        let (high, low) = network(number);
        json!({"sourceRanges": [format!("10.{high}.{low}.0/24")]})
    });
    let numbers = numbers();
    let source = |&number: &usize| -> IpAddr {
        let (high, low) = network(number);
        format!("10.{high}.{low}.7").parse().expect("an address")
    };
    let clients: Vec<Client<'_>> =
        numbers.iter().map(|number| Client { listener: "plain", source: source(number), tls: None }).collect();
    assert_found(&table, &clients, &numbers);
    count(&clients, |client| table.find(client).is_some());
}

fn assert_found(table: &RouteTable, clients: &[Client<'_>], numbers: &[usize]) {
    for (client, &number) in clients.iter().zip(numbers) {
        let found = table.find(client).map(Arc::as_ptr);
        assert_eq!(found, Some(Arc::as_ptr(&table.routes()[number])));
    }
}
