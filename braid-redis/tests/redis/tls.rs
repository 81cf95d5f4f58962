//! TLS: by the authority, the name, and the client's own certificate.

use crate::{config, works};
use braid_core::ErrorKind;
use braid_redis::{Redis, RedisConfig, TlsConfig};
use braid_testkit::redis::RedisServer;
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// An authority, and a certificate of its for `redis.test`, as files in a folder.
struct Certificates(PathBuf);

impl Certificates {
    fn create() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let unique = listener.local_addr().expect("it is bound").port();
        let folder =
            std::env::temp_dir().join(format!("braid-redis-tls-{}-{unique}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary folder can be written to");
        let this = Self(folder);
        let name = [
            "-nodes",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ];
        let own = ["req", "-x509", "-days", "2", "-subj", "/CN=authority"];
        this.openssl(&[&own[..], &name, &["-keyout", "ca.key", "-out", "ca.pem"]].concat());
        let request = [
            "req",
            "-subj",
            "/CN=redis.test",
            "-keyout",
            "key.pem",
            "-out",
            "csr.pem",
        ];
        this.openssl(&[&request[..1], &name, &request[1..]].concat());
        fs::write(this.path("ext"), "subjectAltName=DNS:redis.test\n").expect("it is there");
        let sign = "x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem";
        this.openssl(&sign.split(' ').collect::<Vec<_>>());
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn openssl(&self, args: &[&str]) {
        let status = Command::new("openssl")
            .args(args)
            .current_dir(&self.0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("openssl is installed");
        assert!(status.success(), "openssl {args:?}");
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn server(certificates: &Certificates, auth_clients: &str) -> (RedisServer, String) {
    let text = |path: &Path| path.display().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let server = RedisServer::builder()
        .config("tls-port", &port.to_string())
        .config("tls-cert-file", &text(&certificates.path("cert.pem")))
        .config("tls-key-file", &text(&certificates.path("key.pem")))
        .config("tls-ca-cert-file", &text(&certificates.path("ca.pem")))
        .config("tls-auth-clients", auth_clients)
        .start()
        .await;
    (server, format!("rediss://127.0.0.1:{port}"))
}

#[tokio::test]
async fn the_servers_certificate_must_be_trusted_and_have_the_name() {
    let certificates = Certificates::create();
    let (_server, url) = server(&certificates, "no").await;
    let good = RedisConfig {
        tls: TlsConfig {
            ca_file: Some(certificates.path("ca.pem")),
            server_name: Some("redis.test".to_owned()),
            ..TlsConfig::default()
        },
        ..config(url)
    };
    let redis = Redis::connect(&good, "test").await.expect("all is right");
    works(&redis).await;
    redis.dedicated(0).await.expect("it is made alike");

    let other = Certificates::create();
    let mut untrusted = good.clone();
    untrusted.tls.ca_file = Some(other.path("ca.pem"));
    let mut misnamed = good.clone();
    misnamed.tls.server_name = Some("other.test".to_owned());
    let mut nameless = good;
    nameless.tls.server_name = None;
    for wrong in [untrusted, misnamed, nameless] {
        let started = Instant::now();
        let error = Redis::connect(&wrong, "test").await.expect_err("wrong");
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(started.elapsed() < Duration::from_secs(3), "{error}");
    }
}

#[tokio::test]
async fn the_server_may_want_a_certificate_too() {
    let certificates = Certificates::create();
    let (_server, url) = server(&certificates, "yes").await;
    let mut settings = RedisConfig {
        tls: TlsConfig {
            ca_file: Some(certificates.path("ca.pem")),
            server_name: Some("redis.test".to_owned()),
            ..TlsConfig::default()
        },
        ..config(url)
    };
    let error = Redis::connect(&settings, "test").await;
    let error = error.expect_err("it shows none");
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    settings.tls.cert_file = Some(certificates.path("cert.pem"));
    settings.tls.key_file = Some(certificates.path("key.pem"));
    let redis = Redis::connect(&settings, "test")
        .await
        .expect("all is right");
    works(&redis).await;
}
