import CSQLite

/// A value on its way into or out of the catalog database. Arrays travel as JSON text.
enum CatalogValue: Hashable, Sendable {
    case null
    case integer(Int64)
    case real(Double)
    case text(String)

    init(_ text: String?) { self = text.map(CatalogValue.text) ?? .null }
    init(_ oid: UInt32) { self = .integer(Int64(oid)) }
    init(_ flag: Bool) { self = .integer(flag ? 1 : 0) }

    init(_ value: OpaquePointer?) {
        switch sqlite3_value_type(value) {
        case SQLITE_INTEGER: self = .integer(sqlite3_value_int64(value))
        case SQLITE_FLOAT: self = .real(sqlite3_value_double(value))
        case SQLITE_NULL: self = .null
        default:
            guard let bytes = sqlite3_value_text(value) else {
                self = .null
                return
            }
            let count = Int(sqlite3_value_bytes(value))
            self = .text(
                String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self))
        }
    }

    var isNull: Bool { self == .null }

    var string: String? {
        switch self {
        case .null: nil
        case .integer(let number): String(number)
        case .real(let number): String(number)
        case .text(let text): text
        }
    }

    var number: Int64? {
        switch self {
        case .integer(let number): number
        case .real(let number): Int64(exactly: number.rounded(.towardZero))
        case .text(let text): Int64(text)
        case .null: nil
        }
    }

    var oid: UInt32? { number.flatMap { UInt32(exactly: $0) } }

    func result(in context: OpaquePointer?) {
        switch self {
        case .null: sqlite3_result_null(context)
        case .integer(let number): sqlite3_result_int64(context, number)
        case .real(let number): sqlite3_result_double(context, number)
        case .text(let text):
            let bytes = ContiguousArray(text.utf8CString)
            bytes.withUnsafeBufferPointer {
                sqlite3_result_text(
                    context, $0.baseAddress, Int32(clamping: $0.count - 1),
                    CatalogStatement.transient)
            }
        }
    }
}
