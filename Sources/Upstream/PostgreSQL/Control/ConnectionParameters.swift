import CLibPQ
import Foundation

/// Keywords and values for `PQconnectdbParams` and its kin.
struct ConnectionParameters: Sendable {
    /// `sslrootcert=system`: certificates that the operating system trusts.
    private enum SystemTrust {
        static let path = [
            "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/ssl/cert.pem",
        ].first { FileManager.default.fileExists(atPath: $0) }

        static func isAsked(by conninfo: String) -> Bool {
            (try? ConnectionOptions(resolving: conninfo))?["sslrootcert"] == "system"
        }
    }

    private var pairs: [(keyword: String, value: String)]

    /// The first `dbname` is expanded by libpq as a connection string; what follows overrides it.
    init(conninfo: String) {
        pairs = [("dbname", conninfo)]
        if PQlibVersion() < 160_000, SystemTrust.isAsked(by: conninfo), let path = SystemTrust.path
        {
            // libpq knows the word from version 16 on; before, it is the name of a file.
            pairs += [("sslrootcert", path), ("sslmode", "verify-full")]
        }
    }

    mutating func set(_ keyword: String, _ value: String) {
        pairs.append((keyword, value))
    }

    /// Calls `body` with the two NULL-terminated arrays that libpq takes.
    func withPointers<Result>(
        _ body: (
            UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<UnsafePointer<CChar>?>
        ) -> Result
    ) -> Result {
        let keywords: [UnsafeMutablePointer<CChar>?] = pairs.map { strdup($0.keyword) }
        let values: [UnsafeMutablePointer<CChar>?] = pairs.map { strdup($0.value) }
        defer {
            for pointer in keywords + values { free(pointer) }
        }
        let keywordPointers = keywords.map { $0.map { UnsafePointer($0) } } + [nil]
        let valuePointers = values.map { $0.map { UnsafePointer($0) } } + [nil]
        return body(keywordPointers, valuePointers)
    }
}
