@testable import ResultCache

/// What writers of the tests know of the rows that they touch.
struct PinnedColumns: PinnedRows {
    var columns: [String: [Int]] = [:]

    static let anyRow = PinnedColumns()

    func values(of column: String) -> [Int]? { columns[column] }
}

extension WindowRegistry {
    /// A window over rows of one relation of the database `d`.
    func open(
        _ relation: String, _ pins: [String: [Int]] = [:], catalogVersion: UInt64 = 0
    ) -> RegisteredWindow? {
        open(
            WriteCoverage.relations([(relation: relation, pins: PinnedColumns(columns: pins))]),
            database: "d", catalogVersion: catalogVersion)
    }

    /// A window over everything, with or without the catalog.
    func openEverything(andCatalog: Bool = false, catalogVersion: UInt64 = 0) -> RegisteredWindow? {
        open(
            andCatalog
                ? WriteCoverage<PinnedColumns>.everythingAndCatalog : .everything,
            database: "d", catalogVersion: catalogVersion)
    }

    func keyed(by columns: String..., of relation: String = "r") -> KeyedColumns? {
        keyed(by: columns, relation: relation, database: "d")
    }
}
