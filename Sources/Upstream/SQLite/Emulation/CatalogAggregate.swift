import CSQLite
import PostgresWire

/// `array_agg` and `string_agg` with ORDER BY and DISTINCT, which SQLite's own aggregates lack.
///
/// Called as `name(options, value, separator, keys…)`. Options: `d` for DISTINCT, then one of
/// `a` (ascending, nulls last), `A` (nulls first), `z` (descending, nulls first), `Z` (nulls last)
/// per key.
final class CatalogAggregate {
    static let array = "mynah_array_agg"
    static let string = "mynah_string_agg"

    private var options: [Character] = []
    private var separator = ""
    private var rows: [(value: CatalogValue, keys: [CatalogValue])] = []

    static func register(on connection: OpaquePointer) throws(PostgresError) {
        let codes = [
            sqlite3_create_function_v2(
                connection, array, -1, SQLITE_UTF8, nil, nil,
                { CatalogAggregate.step($0, $1, $2) },
                { context in
                    let values = CatalogAggregate.take(context)?.sorted() ?? []
                    guard !values.isEmpty else { return sqlite3_result_null(context) }
                    CatalogValue.text(CatalogArray(values).json).result(in: context)
                }, nil),
            sqlite3_create_function_v2(
                connection, string, -1, SQLITE_UTF8, nil, nil,
                { CatalogAggregate.step($0, $1, $2) },
                { context in
                    let aggregate = CatalogAggregate.take(context)
                    let texts = (aggregate?.sorted() ?? []).compactMap(\.string)
                    guard !texts.isEmpty else { return sqlite3_result_null(context) }
                    let text = texts.joined(separator: aggregate?.separator ?? "")
                    CatalogValue.text(text).result(in: context)
                }, nil),
        ]
        guard codes.allSatisfy({ $0 == SQLITE_OK }) else {
            throw CatalogStatement.error(of: connection)
        }
    }

    /// SQLite keeps one pointer's room per group, zeroed at first.
    private static func slot(
        _ context: OpaquePointer?, allocate: Bool
    ) -> UnsafeMutablePointer<UnsafeMutableRawPointer?>? {
        let size = Int32(MemoryLayout<UnsafeMutableRawPointer?>.size)
        return sqlite3_aggregate_context(context, allocate ? size : 0)?
            .assumingMemoryBound(to: UnsafeMutableRawPointer?.self)
    }

    private static func step(
        _ context: OpaquePointer?, _ count: Int32,
        _ values: UnsafeMutablePointer<OpaquePointer?>?
    ) {
        guard let slot = slot(context, allocate: true), count >= 3 else {
            return sqlite3_result_error_nomem(context)
        }
        let arguments = (0..<Int(count)).map { CatalogValue(values?[$0]) }
        let aggregate: CatalogAggregate
        if let pointer = slot.pointee {
            aggregate = Unmanaged<CatalogAggregate>.fromOpaque(pointer).takeUnretainedValue()
        } else {
            aggregate = CatalogAggregate()
            aggregate.options = Array(arguments[0].string ?? "")
            slot.pointee = Unmanaged.passRetained(aggregate).toOpaque()
        }
        aggregate.separator = arguments[2].string ?? ""
        aggregate.rows.append((arguments[1], Array(arguments[3...])))
    }

    /// Called exactly once per group, also where the query ends early.
    private static func take(_ context: OpaquePointer?) -> CatalogAggregate? {
        guard let slot = slot(context, allocate: false), let pointer = slot.pointee else {
            return nil
        }
        slot.pointee = nil
        return Unmanaged<CatalogAggregate>.fromOpaque(pointer).takeRetainedValue()
    }

    private func sorted() -> [CatalogValue] {
        let isDistinct = options.first == "d"
        let directions = isDistinct ? options.dropFirst() : options[...]
        if directions.isEmpty, !isDistinct { return rows.map(\.value) }
        // Positions break ties, so that equal keys keep the order of arrival.
        let order = rows.indices.sorted { left, right in
            for (key, direction) in directions.enumerated() {
                let (a, b) = (rows[left].keys[key], rows[right].keys[key])
                if let isBefore = Self.isBefore(a, b, direction) { return isBefore }
            }
            if directions.isEmpty,
                let isBefore = Self.isBefore(rows[left].value, rows[right].value, "a")
            {
                return isBefore
            }
            return left < right
        }
        guard isDistinct else { return order.map { rows[$0].value } }
        var seen: Set<CatalogValue> = []
        return order.map { rows[$0].value }.filter { seen.insert($0).inserted }
    }

    /// Nil where neither comes first.
    private static func isBefore(
        _ a: CatalogValue, _ b: CatalogValue, _ direction: Character
    ) -> Bool? {
        if a == b { return nil }
        let nullsFirst = direction == "A" || direction == "z"
        if a.isNull { return nullsFirst }
        if b.isNull { return !nullsFirst }
        let isLess: Bool
        if let x = a.number, let y = b.number {
            if x == y { return nil }
            isLess = x < y
        } else {
            let (x, y) = (a.string ?? "", b.string ?? "")
            isLess = x.utf8.lexicographicallyPrecedes(y.utf8)
        }
        return isLess != (direction == "z" || direction == "Z")
    }
}
