/// A constant as the text says it, before the type of the column beside it is known.
package enum KeyLiteral: Hashable, Sendable {
    case integer(Int64)
    /// Quoted, so of no type yet.
    case string(String)
    case boolean(Bool)
    case null
    /// `$n`, counted from 0.
    case parameter(Int)
    /// Cast to a type that was written without a modifier.
    indirect case cast(KeyLiteral, TypeUse)
}

/// A column as a condition names it.
package struct ColumnName: Hashable, Sendable {
    package let qualifier: String?
    package let name: String
}

/// One FROM clause, or the target of a write and what is joined to it, with what its conditions
/// say of columns.
///
/// Sources are numbered as they are written, so that the two sides of a join are ranges of them.
package struct KeyScope: Hashable, Sendable {
    package struct Source: Hashable, Sendable {
        /// nil for what is no table, and for a table whose columns have other names here.
        package var relation: RelationName?
        /// What qualifies its columns; nil if it has no name, or one that is not known.
        package var name: String?
    }

    package enum Comparison: Hashable, Sendable {
        /// The column equals one of them, and is not NULL.
        case anyOf(ColumnName, [KeyLiteral])
        /// The column equals an element of the array parameter (counted from 0), which may be
        /// cast to an array of a type.
        case anyElement(ColumnName, parameter: Int, cast: TypeUse?)
        case equal(ColumnName, ColumnName)
        /// JOIN … USING, between these sources and those.
        case merged(String, Range<Int>, Range<Int>)
    }

    /// A comparison that is a top-level conjunct of WHERE or ON.
    package struct Condition: Hashable, Sendable {
        package var comparison: Comparison
        /// The sources whose columns it may name.
        package var visible: Range<Int>
        /// The sources whose rows do nothing unless the condition holds: both sides of an inner
        /// join, the nullable side of an outer one, all for WHERE.
        package var filtered: Range<Int>
    }

    package var sources: [Source] = []
    package var conditions: [Condition] = []
    /// USING or NATURAL: an unqualified name may be of several columns at once.
    package var mergesColumns = false
    package var hasOuterJoin = false

    package init() {}
}

/// What a write's text says of the rows that it touches, before and after.
package enum WrittenRows: Hashable, Sendable {
    case any
    /// UPDATE and DELETE: rows of the scope's first source. `assigned` are the columns of SET,
    /// with nil for what is no constant.
    case matched(KeyScope, assigned: [String: KeyLiteral?])
    /// INSERT … VALUES: for each of `columns` (nil: the table's, in their order) all that is
    /// inserted in it; nil for what is not only constants.
    case inserted(columns: [String]?, values: [Set<KeyLiteral>?], conflict: ConflictUpdate?)
}

/// ON CONFLICT (…) DO UPDATE SET …
package struct ConflictUpdate: Hashable, Sendable {
    package enum Assignment: Hashable, Sendable {
        case literal(KeyLiteral)
        /// `EXCLUDED` and the column that it is assigned to.
        case proposed
        case unknown
    }

    /// The plain columns of the conflict target.
    package var target: Set<String>
    package var assigned: [String: Assignment]
}
