//! TLS, and addresses that other machines reach.

use std::{fs, io::ErrorKind, net::SocketAddr, path::Path};

use annals::server::{Server, ServerConfig};
use reqwest::{Certificate, Client};

use crate::world::{World, config, store, within};

/// Makes a certificate for localhost and its key, and gives the certificate to trust it.
fn certify(directory: &Path) -> Certificate {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.pem();
    fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(directory.join("cert.pem"), &certificate).unwrap();
    Certificate::from_pem(certificate.as_bytes()).unwrap()
}

fn trusting(certificate: Certificate) -> Client {
    Client::builder()
        .tls_certs_only([certificate])
        .build()
        .unwrap()
}

fn secure(directory: &Path) -> ServerConfig {
    config().tls(directory.join("cert.pem"), directory.join("key.pem"))
}

#[tokio::test]
async fn clients_that_trust_the_certificate_are_served_over_http_1_and_2() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = certify(directory.path());
    let world = World::new(secure(directory.path())).await;
    let url = format!("https://localhost:{}/health/ready", world.address.port());
    let two = trusting(certificate.clone()).get(&url).send();
    let answer = within(two).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (204, reqwest::Version::HTTP_2)
    );
    let old = Client::builder().tls_certs_only([certificate]).http1_only();
    let answer = within(old.build().unwrap().get(&url).send()).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (204, reqwest::Version::HTTP_11)
    );
    // Nobody else is, and nobody without TLS.
    assert!(within(Client::new().get(&url).send()).await.is_err());
    assert!(within(world.get("/health/ready").send()).await.is_err());
    world.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let first = certify(directory.path());
    let world = World::new(secure(directory.path())).await;
    let url = format!("https://localhost:{}/health/ready", world.address.port());
    assert!(within(trusting(first).get(&url).send()).await.is_ok());

    let second = certify(directory.path());
    world.reload.now();
    within(async {
        while trusting(second.clone()).get(&url).send().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;

    fs::write(directory.path().join("key.pem"), "not a key").unwrap();
    world.reload.now();
    assert!(within(trusting(second).get(&url).send()).await.is_ok());
    world.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (cert, key) = (
        directory.path().join("cert.pem"),
        directory.path().join("key.pem"),
    );
    let bind = async || Server::bind(&store().await, secure(directory.path())).await;
    assert_eq!(bind().await.unwrap_err().kind(), ErrorKind::NotFound);
    certify(directory.path());
    let good = fs::read(&key).unwrap();
    for (certificate, private) in [
        (&b"nothing"[..], &good[..]),
        (
            &fs::read(&cert).unwrap()[..],
            b"-----BEGIN PRIVATE KEY-----\nhunter2\n",
        ),
    ] {
        fs::write(&cert, certificate).unwrap();
        fs::write(&key, private).unwrap();
        let error = bind().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("cert.pem"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn an_address_that_other_machines_reach_needs_tls_and_access_control_or_a_clear_word() {
    let directory = tempfile::tempdir().unwrap();
    certify(directory.path());
    let access = directory.path().join("access.toml");
    fs::write(&access, "").unwrap();
    for host in ["0.0.0.0:0", "[::]:0"] {
        let open = ServerConfig::new().listen(host.parse::<SocketAddr>().unwrap());
        let tls = open.clone().tls(
            directory.path().join("cert.pem"),
            directory.path().join("key.pem"),
        );
        let allowed = async |config: ServerConfig| match Server::bind(&store().await, config).await
        {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
                false
            }
        };
        assert!(!allowed(open.clone()).await);
        assert!(!allowed(open.clone().access_file(&access)).await);
        assert!(!allowed(open.clone().insecure_open_access()).await);
        assert!(!allowed(open.clone().insecure_plain_http()).await);
        assert!(!allowed(tls.clone()).await);
        assert!(allowed(tls.clone().access_file(&access)).await);
        assert!(allowed(tls.insecure_open_access()).await);
        assert!(allowed(open.clone().insecure_plain_http().access_file(&access)).await);
        assert!(allowed(open.insecure_plain_http().insecure_open_access()).await);
    }
}
