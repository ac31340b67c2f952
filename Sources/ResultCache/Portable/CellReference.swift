/// Which cell of a table is meant, as a number that another process can be told: cells with names
/// count in the order in which they were made, those of keyed values by their place.
///
/// Means something together with the table's names (`CellTable.names(from:)`) and its `hashKey`.
package struct CellReference: Hashable, Sendable {
    package let rawValue: UInt32

    private static let keyFlag: UInt32 = 1 << 31

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    static func named(_ ordinal: Int) -> CellReference {
        CellReference(rawValue: UInt32(ordinal))
    }

    static func key(_ place: Int) -> CellReference {
        CellReference(rawValue: UInt32(place) | keyFlag)
    }

    /// Its number among the cells with names; nil for that of a key.
    package var ordinal: Int? { rawValue & Self.keyFlag == 0 ? Int(rawValue) : nil }

    /// Its place among the cells of keyed values; nil for one with a name.
    package var place: Int? {
        rawValue & Self.keyFlag == 0 ? nil : Int(rawValue & ~Self.keyFlag)
    }
}
