import Foundation
import NIOCore
import NIOSSL
import PostgresWire

/// What a connection string says about TLS, with libpq's meaning.
///
/// https://www.postgresql.org/docs/15/libpq-ssl.html
package struct LinkEncryption: Sendable {
    package enum Mode: String, Hashable, Sendable {
        case disable, allow, prefer, require
        case verifyCA = "verify-ca"
        case verifyFull = "verify-full"
    }

    enum Roots: Hashable, Sendable {
        /// The server's certificate is not verified.
        case none
        case file(String)
        /// What the operating system trusts.
        case system
    }

    package var mode: Mode
    var roots: Roots = .none
    var certificate: String?
    var key: String?
    var keyPassword: Secret?
    var minimumVersion: TLSVersion = .tlsv12
    var maximumVersion: TLSVersion?
    /// Whether the host's name is told to the server in clear (SNI).
    var sendsServerName = true

    /// What settings that name no mode get: no TLS, as there is nothing that says which.
    package static let disabled = LinkEncryption(mode: .disable)

    private init(mode: Mode) {
        self.mode = mode
    }

    init(_ options: ConnectionOptions) throws(PostgresError) {
        let system = options["sslrootcert"] == "system"
        let text = options["sslmode"] ?? "prefer"
        guard var mode = Mode(rawValue: text) else {
            throw PostgreSQLUpstreamSettings.invalid("sslmode is none that libpq knows")
        }
        if system, mode == .prefer, !options.namesSSLMode { mode = .verifyFull }
        guard !system || mode == .verifyFull else {
            throw PostgreSQLUpstreamSettings.invalid(
                "sslrootcert=system is for sslmode=verify-full alone")
        }
        self.init(mode: mode)
        guard mode != .disable else { return }
        minimumVersion = try Self.version(options, "ssl_min_protocol_version") ?? .tlsv12
        maximumVersion = try Self.version(options, "ssl_max_protocol_version")
        if let maximumVersion, Self.rank(maximumVersion) < Self.rank(minimumVersion) {
            throw PostgreSQLUpstreamSettings.invalid(
                "ssl_max_protocol_version is below ssl_min_protocol_version")
        }
        switch options["sslsni"] ?? "1" {
        case "1": sendsServerName = true
        case "0": sendsServerName = false
        default: throw PostgreSQLUpstreamSettings.invalid("sslsni is neither 0 nor 1")
        }
        if mode == .verifyFull, !sendsServerName {
            throw PostgreSQLUpstreamSettings.invalid(
                "sslsni=0 is not supported with sslmode=verify-full")
        }
        try readRoots(options, system: system)
        try readCertificate(options)
    }

    private mutating func readRoots(
        _ options: ConnectionOptions, system: Bool
    ) throws(PostgresError) {
        if system {
            roots = .system
        } else if let path = options["sslrootcert"] ?? Self.inHome("root.crt", options),
            FileManager.default.fileExists(atPath: path)
        {
            // As libpq: a file that is there makes every mode verify the chain.
            roots = .file(path)
        } else if mode == .verifyCA || mode == .verifyFull {
            throw PostgreSQLUpstreamSettings.invalid(
                "the root certificate file (sslrootcert) does not exist, and sslmode asks for it")
        }
        let revoked = options["sslcrl"] ?? options["sslcrldir"]
        let revokedByDefault = Self.inHome("root.crl", options).map {
            FileManager.default.fileExists(atPath: $0)
        }
        if revoked != nil || (roots != .none && revokedByDefault == true) {
            throw PostgreSQLUpstreamSettings.invalid(
                "certificate revocation lists (sslcrl, sslcrldir, root.crl) are not supported")
        }
    }

    private mutating func readCertificate(_ options: ConnectionOptions) throws(PostgresError) {
        let files = FileManager.default
        let named = options["sslcert"]
        guard let path = named ?? Self.inHome("postgresql.crt", options) else { return }
        guard files.fileExists(atPath: path) else {
            if named == nil { return }
            throw PostgreSQLUpstreamSettings.invalid("the file of sslcert does not exist")
        }
        guard let keyPath = options["sslkey"] ?? Self.inHome("postgresql.key", options),
            files.fileExists(atPath: keyPath)
        else {
            throw PostgreSQLUpstreamSettings.invalid(
                "there is a client certificate, and the file of its key (sslkey) does not exist")
        }
        guard KeyFile.isPrivate(keyPath) else {
            throw PostgreSQLUpstreamSettings.invalid(
                "the file of sslkey can be read by others: chmod 0600 it, or 0640 if root owns it")
        }
        certificate = path
        key = keyPath
        keyPassword = options["sslpassword"].map { Secret($0) }
    }

    /// Reads the files. Throws `F0000`.
    func makeContext() throws(PostgresError) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = minimumVersion
        configuration.maximumTLSVersion = maximumVersion
        configuration.shutdownTimeout = .seconds(1)
        configuration.certificateVerification =
            roots == .none
            ? .none : mode == .verifyFull ? .fullVerification : .noHostnameVerification
        let failed = "sslrootcert cannot be used"
        switch roots {
        case .none, .system: configuration.trustRoots = .default
        case .file(let path):
            let certificates = try Self.reading(failed) { try NIOSSLCertificate.fromPEMFile(path) }
            configuration.trustRoots = .certificates(certificates)
        }
        if let certificate, let key {
            let chain = try Self.reading("sslcert cannot be used") {
                try NIOSSLCertificate.fromPEMFile(certificate)
            }
            let password = keyPassword.map { Array($0.value.utf8) } ?? []
            let privateKey = try Self.reading("sslkey cannot be used") {
                try NIOSSLPrivateKey(file: key, format: .pem) { $0(password) }
            }
            configuration.certificateChain = chain.map { .certificate($0) }
            configuration.privateKey = .privateKey(privateKey)
        }
        return try Self.reading("sslcert and sslkey do not belong together") { [configuration] in
            try NIOSSLContext(configuration: configuration)
        }
    }

    private static func reading<Value>(
        _ problem: String, _ body: () throws -> Value
    ) throws(PostgresError) -> Value {
        do {
            return try body()
        } catch {
            let reason = TLSFailure.reason(error).map { ": \($0)" } ?? ""
            throw PostgreSQLUpstreamSettings.invalid(problem + reason)
        }
    }

    private static func version(
        _ options: ConnectionOptions, _ keyword: String
    ) throws(PostgresError) -> TLSVersion? {
        switch options[keyword]?.lowercased() {
        case nil: return nil
        case "tlsv1": return .tlsv1
        case "tlsv1.1": return .tlsv11
        case "tlsv1.2": return .tlsv12
        case "tlsv1.3": return .tlsv13
        default: throw PostgreSQLUpstreamSettings.invalid("\(keyword) is no version of TLS")
        }
    }

    private static func rank(_ version: TLSVersion) -> Int {
        switch version {
        case .tlsv1: 0
        case .tlsv11: 1
        case .tlsv12: 2
        case .tlsv13: 3
        }
    }

    private static func inHome(_ name: String, _ options: ConnectionOptions) -> String? {
        options.environment("HOME").map { "\($0)/.postgresql/\(name)" }
    }
}
