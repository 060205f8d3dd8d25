//! Stage 2: TLS by the name that the client asks for.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::end::End;
use super::record::Record;
use super::{Ended, Tls, refuse};
use crate::tls::session::{self, Failure, TlsSession};
use crate::worker::Worker;

/// A client after its handshake.
pub(super) struct Handshaken {
    pub(super) session: TlsSession,
    pub(super) tls: Tls,
}

/// Completes the handshake: the `ClientHello` within `limit`, the rest of it within the same again.
pub(super) async fn accept(
    worker: &Worker,
    stream: TcpStream,
    limit: Duration,
    record: &mut Record,
) -> Result<Handshaken, Ended> {
    let hello = match timeout(limit, session::read_hello(stream)).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(failure)) => return Err(fail(failure).await),
        Err(_) => return Err(Ended::new(End::ClientHelloTimeout, format!("no whole ClientHello within {limit:?}"))),
    };
    let sni = hello.server_name();
    record.tls().sni = sni.as_deref().map(Box::from);
    let service = worker.shared.snapshot.load().names.find(sni.as_deref()).cloned();
    let found = service.as_ref().and_then(|service| Some((service, service.server.clone()?)));
    let Some((service, server)) = found else {
        let reason = match (&service, &sni) {
            (Some(service), _) => {
                format!("TlsSni {} has no certificate that can be used (see status.json)", service.label)
            }
            (None, Some(name)) => format!("no TlsSni serves the name {name:?}"),
            (None, None) => "the client asks for no name, and no TlsSni serves \"*\"".to_owned(),
        };
        return Err(fail(hello.refuse_name(reason).await).await);
    };
    record.tls().tls_sni = Some(Arc::clone(&service.label));
    match timeout(limit, hello.accept(&server)).await {
        Ok(Ok((session, peer))) => {
            record.handshaken(&peer);
            Ok(Handshaken { session, tls: Tls { sni, service: Arc::clone(service), peer } })
        }
        Ok(Err(failure)) => Err(fail(failure).await),
        Err(_) => Err(Ended::new(End::HandshakeTimeout, format!("no end of the handshake within {limit:?}"))),
    }
}

/// Lets the client read its alert.
async fn fail(Failure { end, reason, stream }: Failure) -> Ended {
    if let Some(stream) = stream {
        refuse::refuse(stream, None).await;
    }
    Ended::new(end, reason)
}
