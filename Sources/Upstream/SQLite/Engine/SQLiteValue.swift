import NIOCore

/// A value as SQLite stores it. https://www.sqlite.org/datatype3.html
enum SQLiteValue: Hashable, Sendable {
    case null
    case integer(Int64)
    case real(Double)
    case text(String)
    case blob(ByteBuffer)
}
