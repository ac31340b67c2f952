import Crypto
import Foundation
import NIOSSL
import ProxyConfiguration
import Replication
import Snapshots
import Upstream

extension ReplicationSettings {
    /// Reads the key and the certificates that `[replication]` names.
    ///
    /// Throws `StartError`, about the key to look at, for what cannot be used.
    init(
        _ configuration: ProxyConfiguration, environment: [String: String]
    ) throws(StartError) {
        let replication = configuration.replication
        let (seconds, attoseconds) = replication.lease.components
        var host = ""
        var port: UInt16 = 0
        if case .tcp(let advertisedHost, let advertisedPort)? = replication.advertise {
            host = advertisedHost
            port = UInt16(advertisedPort)
        }
        self.init(
            isSynchronous: replication.mode == .sync,
            lease: UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000),
            key: try Self.key(replication, environment), tls: try Self.contexts(replication),
            maximumEntry: configuration.cache.maximumEntry.bytes, clientHost: host,
            clientPort: port)
    }

    // MARK: The key

    private static func key(
        _ replication: ProxyConfiguration.Replication, _ environment: [String: String]
    ) throws(StartError) -> SymmetricKey? {
        let name: String
        let text: String
        if let path = replication.keyFile {
            name = "replication.key_file"
            guard let data = FileManager.default.contents(atPath: path), data.count <= 4096 else {
                throw StartError(
                    key: name, problem: "\"\(path)\" cannot be read",
                    allowed: "allowed: a file that the proxy can read; \(keyNotation)")
            }
            guard KeyFile.isPrivate(path) else {
                throw StartError(
                    key: name, problem: "\"\(path)\" can be read by others",
                    allowed: "allowed: chmod 0600, or 0640 where root owns it")
            }
            text = String(decoding: data, as: UTF8.self)
        } else if let variable = replication.keyEnvironment {
            name = "replication.key_env"
            guard let value = environment[variable], !value.isEmpty else {
                throw StartError(
                    key: name, problem: "there is no environment variable \"\(variable)\"",
                    allowed: "allowed: one that holds the key; \(keyNotation)")
            }
            text = value
        } else {
            return nil
        }
        guard let bytes = SnapshotKey.bytes(of: text) else {
            throw StartError(key: name, problem: "holds no key", allowed: "allowed: \(keyNotation)")
        }
        return SymmetricKey(data: bytes)
    }

    private static let keyNotation =
        "32 random bytes in hexadecimal or Base64, as `openssl rand -hex 32` makes them"

    // MARK: Certificates

    private static func contexts(
        _ replication: ProxyConfiguration.Replication
    ) throws(StartError) -> (server: NIOSSLContext, client: NIOSSLContext)? {
        guard let certificate = replication.certificate, let key = replication.certificateKey,
            let ca = replication.ca
        else { return nil }
        guard KeyFile.isPrivate(key) else {
            throw StartError(
                key: "replication.certificate_key",
                problem: KeyFile.access(key) == .missing
                    ? "\"\(key)\": no such file" : "\"\(key)\" can be read by others",
                allowed: "allowed: a file of mode 0600, or 0640 where root owns it")
        }
        do {
            let chain = try NIOSSLCertificate.fromPEMFile(certificate)
            let roots = try NIOSSLCertificate.fromPEMFile(ca)
            let privateKey = try NIOSSLPrivateKey(file: key, format: .pem) { $0([UInt8]()) }
            var server = TLSConfiguration.makeServerConfigurationWithMTLS(
                certificateChain: chain.map { .certificate($0) },
                privateKey: .privateKey(privateKey), trustRoots: .certificates(roots))
            // A node is known by who has issued its certificate; its address may change.
            server.certificateVerification = .noHostnameVerification
            server.minimumTLSVersion = .tlsv13
            // A takeover does not wait for a goodbye.
            server.shutdownTimeout = .milliseconds(100)
            var client = TLSConfiguration.makeClientConfiguration()
            client.certificateChain = chain.map { .certificate($0) }
            client.privateKey = .privateKey(privateKey)
            client.trustRoots = .certificates(roots)
            client.certificateVerification = .noHostnameVerification
            client.minimumTLSVersion = .tlsv13
            client.shutdownTimeout = .milliseconds(100)
            return (
                try NIOSSLContext(configuration: server), try NIOSSLContext(configuration: client)
            )
        } catch {
            throw StartError(
                key: "replication.certificate",
                problem: "cannot be used: \(TLSFailure.reason(error) ?? "not PEM files of TLS")",
                allowed:
                    "allowed: PEM files of a certificate, of its key and of those who have issued "
                    + "the nodes' certificates")
        }
    }
}
