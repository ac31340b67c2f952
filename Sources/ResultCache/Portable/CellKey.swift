/// A value that rows are keyed by (see `KeyedColumns.cell`).
package protocol CellKey: Hashable, Sendable {
    /// Appends bytes that are the same in every process and differ from those of every other value
    /// of the column, whatever follows them.
    func write(to bytes: inout [UInt8])
}

extension Int: CellKey {
    package func write(to bytes: inout [UInt8]) {
        Swift.withUnsafeBytes(of: Int64(self).bigEndian) { bytes.append(contentsOf: $0) }
    }
}

extension [UInt8] {
    /// Appends the text's bytes after their number.
    mutating func append(counting text: String) {
        var text = text
        text.withUTF8 { utf8 in
            Swift.withUnsafeBytes(of: UInt32(utf8.count).bigEndian) { append(contentsOf: $0) }
            append(contentsOf: utf8)
        }
    }
}
