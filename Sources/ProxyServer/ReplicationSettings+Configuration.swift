import Crypto
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

    private static func key(
        _ replication: ProxyConfiguration.Replication, _ environment: [String: String]
    ) throws(StartError) -> SymmetricKey? {
        try KeySource(
            section: "replication", file: replication.keyFile,
            variable: replication.keyEnvironment
        )?.read(environment: environment) { SnapshotKey.bytes(of: $0).map { SymmetricKey(data: $0) } }
    }

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
