/// A column's value in canonical form: two values of one type are equal in SQL exactly if these are.
///
/// Only types for which that can be said have one (design §4: "byte equality of a canonical form").
package enum KeyValue: Hashable, Sendable {
    /// smallint, integer and bigint alike: they are compared with each other by value.
    case integer(Int64)
    case boolean(Bool)
    /// Days since 2000-01-01.
    case date(Int32)
    /// The 16 bytes.
    case uuid([UInt8])
    /// text, or varchar, with a deterministic collation: its bytes in UTF-8.
    case text([UInt8])
}

/// The type of a column that can be keyed by.
package enum KeyType: Hashable, Sendable {
    /// `width` is the size of its binary form: 2, 4 or 8 bytes.
    case integer(width: Int)
    case boolean
    case date
    case uuid
    case text
}
