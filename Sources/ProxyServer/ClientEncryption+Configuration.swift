import NIOCore
import NIOSSL
import ProxyConfiguration
import Session
import Upstream

extension ClientEncryption.Offer {
    /// Reads the certificates that `[tls]` names; nil with `mode = "off"`.
    ///
    /// Throws `StartError`, about the key to look at, for a file that cannot be used.
    init?(_ tls: ProxyConfiguration.TLS) throws(StartError) {
        guard tls.mode != .off, let certificatePath = tls.certificate, let keyPath = tls.key else {
            return nil
        }
        let chain = try Self.certificates(certificatePath, key: "tls.certificate")
        let key = try Self.privateKey(keyPath)
        guard let certificate = chain.first, Self.belong(key, certificate) else {
            throw StartError(
                key: "tls.key", problem: "\"\(keyPath)\" is not the key of tls.certificate",
                allowed: "allowed: the private key of the first certificate in that file")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = tls.minimumVersion == .tls13 ? .tlsv13 : .tlsv12
        configuration.applicationProtocols = [ClientEncryption.applicationProtocol]
        // How long a client may take to say goodbye in turn.
        configuration.shutdownTimeout = .seconds(1)
        if let path = tls.clientCA {
            let roots = try Self.certificates(path, key: "tls.client_ca")
            configuration.trustRoots = .certificates(roots)
            configuration.certificateVerification = .optionalVerification
            configuration.sendCANameList = true
        }
        do {
            self.init(
                context: try NIOSSLContext(configuration: configuration), certificate: certificate,
                isRequired: tls.mode == .require)
        } catch {
            throw StartError(
                key: "tls.certificate",
                problem: "cannot be used: \(TLSFailure.reason(error) ?? "not for TLS")")
        }
    }

    private static func certificates(
        _ path: String, key: String
    ) throws(StartError) -> [NIOSSLCertificate] {
        let found: [NIOSSLCertificate]
        do {
            found = try NIOSSLCertificate.fromPEMFile(path)
        } catch {
            throw unusable(path, key: key, "not a certificate in PEM format")
        }
        guard !found.isEmpty else { throw unusable(path, key: key, "holds no certificate") }
        return found
    }

    private static func privateKey(_ path: String) throws(StartError) -> NIOSSLPrivateKey {
        let key: NIOSSLPrivateKey
        do {
            // One that is encrypted has no passphrase here, rather than a prompt.
            key = try NIOSSLPrivateKey(file: path, format: .pem) { $0([UInt8]()) }
        } catch {
            throw unusable(path, key: "tls.key", "not a private key in PEM format")
        }
        guard KeyFile.isPrivate(path) else {
            throw StartError(
                key: "tls.key", problem: "\"\(path)\" can be read by others",
                allowed: "allowed: chmod 0600, or 0640 where root owns it")
        }
        return key
    }

    private static func belong(_ key: NIOSSLPrivateKey, _ certificate: NIOSSLCertificate) -> Bool {
        var probe = TLSConfiguration.makeServerConfiguration(
            certificateChain: [.certificate(certificate)], privateKey: .privateKey(key))
        probe.certificateVerification = .none
        return (try? NIOSSLContext(configuration: probe)) != nil
    }

    private static func unusable(
        _ path: String, key: String, _ otherwise: String
    ) -> StartError {
        let problem =
            switch KeyFile.access(path) {
            case .readable: otherwise
            case .missing: "no such file"
            case .unreadable: "cannot be read"
            }
        return StartError(
            key: key, problem: "\"\(path)\": \(problem)",
            allowed: "allowed: a PEM file that the proxy can read")
    }
}
