import Crypto
import Synchronization

/// Columns of one relation family by whose values some cached read is keyed, and their cells.
///
/// Made by `WindowRegistry.keyed`, and then kept for as long as the registry lives.
package final class KeyedColumns: Sendable {
    /// In the order in which a tuple's values come.
    package let columns: [String]
    /// What writes move whose rows' values in `columns` are not known.
    package let wide: VersionCell
    /// The hash so far of the database, the relation and the columns.
    private let prefix: Hasher
    /// The same, as bytes that are the same in every process.
    private let portablePrefix: [UInt8]
    private let cells: CellTable
    private let ready = Atomic(false)

    init(database: String, relation: String, columns: [String], wide: VersionCell, cells: CellTable)
    {
        self.columns = columns
        self.wide = wide
        self.cells = cells
        var prefix = Hasher()
        prefix.combine(database)
        prefix.combine(relation)
        prefix.combine(columns)
        self.prefix = prefix
        var bytes: [UInt8] = []
        bytes.append(counting: database)
        bytes.append(counting: relation)
        for column in columns { bytes.append(counting: column) }
        portablePrefix = bytes
    }

    /// Whether each window that is open on the relation has opened the cells of these columns, so
    /// that a read may depend on them in place of `all`. Once true it stays so.
    package var isReady: Bool { ready.load(ordering: .sequentiallyConsistent) }

    func becomeReady() { ready.store(true, ordering: .sequentiallyConsistent) }

    /// The cell of the rows in which the columns have the values of `tuple`, one for each column.
    /// Values that are equal in SQL must be equal as `Hashable`, and of the same type for every
    /// reader and writer of the column.
    ///
    /// Its place is a hash with a secret of this process, or of those that mirror each other, so
    /// that no client can make keys share a cell on purpose.
    package func cell(of tuple: some Collection<some CellKey>) -> VersionCell {
        precondition(tuple.count == columns.count, "a key needs a value for each of its columns")
        if let key = cells.hashKey {
            var bytes = portablePrefix
            for value in tuple { value.write(to: &bytes) }
            let code = HMAC<SHA256>.authenticationCode(for: bytes, using: key)
            let place = code.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
            return cells.keyCell(hash: Int(truncatingIfNeeded: place))
        }
        var hasher = prefix
        for value in tuple { hasher.combine(value) }
        return cells.keyCell(hash: hasher.finalize())
    }
}
