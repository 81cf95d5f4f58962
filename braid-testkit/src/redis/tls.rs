//! Certificates of a server with TLS, made anew for each.

use rcgen::{BasicConstraints, CertificateParams, DnType, Error, IsCa, Issuer, KeyPair};
use std::{fs, io, path::Path};

/// The authority's certificate, in the server's folder.
pub(super) const AUTHORITY: &str = "ca.pem";
const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";

/// The lines of a configuration that name the files.
pub(super) fn config() -> String {
    format!(
        "tls-cert-file {CERTIFICATE}\ntls-key-file {KEY}\ntls-ca-cert-file {AUTHORITY}\ntls-auth-clients no"
    )
}

/// Makes the files.
pub(super) fn write_files(folder: &Path) -> io::Result<()> {
    let [authority, certificate, key] = make().expect("the names are good, and so is the key");
    fs::write(folder.join(AUTHORITY), authority)?;
    fs::write(folder.join(CERTIFICATE), certificate)?;
    fs::write(folder.join(KEY), key)
}

/// An authority's certificate, one of its for a server, and the server's key.
fn make() -> Result<[String; 3], Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "braid-testkit");
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);

    let names = ["127.0.0.1", "localhost"].map(str::to_owned);
    let key = KeyPair::generate()?;
    let server = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
    Ok([authority.pem(), server.pem(), key.serialize_pem()])
}
