//! A device with a session of one proxy comes back to another one with the same ticket keys, after something has changed.

use std::time::{Duration, SystemTime};

use super::shared_keys::set;
use super::{CertificateAuthority, Credentials, Device, Leaf, NAME, Result, Site, TLS, is_served, site_with, wait};
use crate::resumption::reload::assert_refused;

/// With these subjects allowed.
fn client_auth(subjects: &str) -> String {
    format!(
        "clientAuth: {{ca: {{configMapName: device-ca}}, crl: {{configMapName: device-crl}}, \
         allowedSubjects: [{subjects}]}}"
    )
}

/// A site, its authority of devices, and for each version of TLS a device that has a session of a proxy that is gone.
struct Known {
    site: Site,
    authority: CertificateAuthority,
    credentials: Credentials,
    devices: Vec<Device>,
}

impl Known {
    fn start() -> Result<Self> {
        Self::start_with(&Leaf::device("sensor-1"))
    }

    fn start_with(leaf: &Leaf) -> Result<Self> {
        let (site, authority) = site_with(&client_auth("CN=sensor-1, CN=sensor-2"))?;
        let credentials = authority.issue(leaf)?;
        set(&site, [Some(b'1'), Some(b'2'), None])?;
        let known = Self { site, authority, credentials, devices: Vec::new() };
        known.revoke(&[])?;
        let proxy = known.site.start()?;
        let mut devices = Vec::new();
        for tls in TLS {
            let device = Device::new(&known.site, tls, Some(&known.credentials))?;
            device.connect(&proxy, NAME)?;
            devices.push(device);
        }
        Ok(Self { devices, ..known })
    }

    /// Issues the list of revoked certificates.
    fn revoke(&self, serials: &[u64]) -> Result<()> {
        let list = self.authority.revocation_list(serials, SystemTime::now() + Duration::from_hours(24))?;
        self.site.config.config_map("acme", "device-crl", &[("ca.crl", list.as_bytes())])?;
        Ok(())
    }

    /// At another proxy all are refused, with this alert.
    fn are_refused(&self, alert: u8) -> Result<()> {
        assert_refused(&self.devices, &self.site.start()?, [alert; 2])
    }

    /// At another proxy all are served, with or without a full handshake.
    fn are_served(&self, is_resumed: bool) -> Result<()> {
        let proxy = self.site.start()?;
        for device in &self.devices {
            let session = device.come_back(&proxy, NAME)?;
            assert!(is_served(&session) && session.reused == is_resumed, "{:?}: {session:?}", device.tls);
        }
        Ok(())
    }
}

#[test]
fn where_nothing_has_changed_its_session_goes_on() -> Result<()> {
    Known::start()?.are_served(true)
}

#[test]
fn a_revoked_certificate_lets_it_in_no_more() -> Result<()> {
    let known = Known::start()?;
    known.revoke(&[known.credentials.serial()])?;
    known.are_refused(44)
}

#[test]
fn a_certificate_that_is_past_its_end_lets_it_in_no_more() -> Result<()> {
    let end = SystemTime::now() + Duration::from_secs(6);
    let known = Known::start_with(&Leaf::device("sensor-1").until(end))?;
    // Certificates count in whole seconds.
    let over = end + Duration::from_secs(1);
    wait::until("the end of the certificate", wait::SOON, || (SystemTime::now() > over).then_some(()))?;
    known.are_refused(45)
}

#[test]
fn an_authority_that_is_gone_lets_it_in_no_more() -> Result<()> {
    let known = Known::start()?;
    known.site.trust("acme", "device-ca", &[&CertificateAuthority::new("Other CA")?])?;
    known.are_refused(48)
}

#[test]
fn a_subject_that_is_allowed_no_more_does_not_let_it_in() -> Result<()> {
    let known = Known::start()?;
    known.site.tls_sni("acme", "devices", &[NAME], &client_auth("CN=sensor-2"))?;
    known.are_refused(49)
}

#[test]
fn a_list_issued_anew_costs_no_session() -> Result<()> {
    let known = Known::start()?;
    known.revoke(&[])?;
    known.are_served(true)
}

#[test]
fn a_further_authority_costs_no_session() -> Result<()> {
    let known = Known::start()?;
    known.site.trust("acme", "device-ca", &[&known.authority, &CertificateAuthority::new("Other CA")?])?;
    known.are_served(true)
}

#[test]
fn after_one_rotation_of_the_keys_its_session_goes_on() -> Result<()> {
    let known = Known::start()?;
    set(&known.site, [Some(b'2'), Some(b'3'), Some(b'1')])?;
    known.are_served(true)
}

#[test]
fn after_two_rotations_of_the_keys_it_is_served_by_a_full_handshake() -> Result<()> {
    let known = Known::start()?;
    set(&known.site, [Some(b'3'), Some(b'4'), Some(b'2')])?;
    known.are_served(false)
}
