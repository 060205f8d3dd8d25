//! `allowedSubjects`.

use super::{Leaf, NAME, Outcome, Result, Site, TLS, assert_refused, device_of, show, started};

const SUBJECTS: &str = ", allowedSubjects: [\"CN=sensor-*,O=Acme\", \"OU=Gateways,O=Acme*\"]";

#[test]
fn a_subject_that_fits_a_pattern_in_every_attribute_is_let_in() -> Result<()> {
    let (site, devices, proxy) = started(SUBJECTS)?;
    for leaf in [
        Leaf::device("sensor-1").organization("Acme"),
        Leaf::device("sensor-").organization("Acme"),
        // Attributes that no pattern names don't matter.
        Leaf::device("sensor-1").organization("Acme").organizational_unit("Cellar"),
        Leaf::device("anything").organization("Acme Corporation").organizational_unit("Gateways"),
    ] {
        for tls in TLS {
            let outcome = show(&site, &proxy, tls, Some(&devices.issue(&leaf)?))?;
            assert_eq!(outcome, Outcome::Served, "{leaf:?} over {tls:?}");
        }
    }
    Ok(())
}

#[test]
fn a_subject_that_misses_any_attribute_of_each_pattern_is_refused() -> Result<()> {
    let (site, devices, proxy) = started(SUBJECTS)?;
    for leaf in [
        Leaf::device("sensor-1"),
        Leaf::device("sensor-1").organization("Globex"),
        Leaf::device("sensor-1").organization("ACME"),
        Leaf::device("Sensor-1").organization("Acme"),
        Leaf::device("a-sensor-1").organization("Acme"),
        Leaf::device("gateway").organization("Globex").organizational_unit("Gateways"),
        // What another pattern's attribute would say is no help.
        Leaf::device("sensor-1").organization("Acme Corporation"),
        Leaf::device("sensor-1,O=Acme"),
    ] {
        for tls in TLS {
            let outcome = show(&site, &proxy, tls, Some(&devices.issue(&leaf)?))?;
            assert_eq!(outcome, Outcome::Alert(49), "{leaf:?} over {tls:?}");
        }
    }
    Ok(())
}

#[test]
fn a_subject_that_is_not_allowed_is_refused_with_access_denied() -> Result<()> {
    let (site, devices, proxy) = started(SUBJECTS)?;
    let device = device_of(&devices, "meter-1", "Acme")?;
    assert_refused(&site, &proxy, Some(&device), [49; 2], "SubjectNotAllowed")
}

#[test]
fn an_allowed_subject_of_an_unknown_authority_is_refused_for_that() -> Result<()> {
    let (site, _, proxy) = started(SUBJECTS)?;
    let stranger = super::CertificateAuthority::new("Stranger CA")?;
    let device = device_of(&stranger, "sensor-1", "Acme")?;
    assert_refused(&site, &proxy, Some(&device), [48; 2], "UnknownCa")
}

#[test]
fn subjects_count_for_shown_certificates_where_the_mode_is_optional() -> Result<()> {
    let (site, devices, proxy) = started(&format!(", mode: Optional{SUBJECTS}"))?;
    assert_eq!(show(&site, &proxy, TLS[1], None)?, Outcome::Served);
    let other = device_of(&devices, "meter-1", "Acme")?;
    assert_eq!(show(&site, &proxy, TLS[1], Some(&other))?, Outcome::Alert(49));
    Ok(())
}

#[test]
fn subjects_of_one_tls_sni_are_not_those_of_another() -> Result<()> {
    let site = Site::new()?;
    let devices = super::CertificateAuthority::new("Device CA")?;
    site.trust("acme", "device-ca", &[&devices])?;
    for (name, sni, subject) in [("meters", "meters.example", "CN=meter-*"), ("devices", NAME, "CN=sensor-*")] {
        let client_auth = format!("clientAuth: {{ca: {{configMapName: device-ca}}, allowedSubjects: [\"{subject}\"]}}");
        site.serve("acme", name, &[sni], &client_auth)?;
    }
    let proxy = site.start()?;
    assert_eq!(show(&site, &proxy, TLS[1], Some(&devices.device("sensor-1")?))?, Outcome::Served);
    assert_eq!(show(&site, &proxy, TLS[1], Some(&devices.device("meter-1")?))?, Outcome::Alert(49));
    Ok(())
}
