import Foundation

/// Keywords and values for `PQconnectdbParams` and its kin.
struct ConnectionParameters: Sendable {
    private var pairs: [(keyword: String, value: String)]

    /// The first `dbname` is expanded by libpq as a connection string; what follows overrides it.
    init(conninfo: String) {
        pairs = [("dbname", conninfo)]
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
