import NIOCore

/// One column of a RowDescription.
package struct FieldDescription: Hashable, Sendable {
    package var name: String
    /// 0 where the column is not one of a table.
    package var tableOID: UInt32
    package var columnNumber: Int16
    package var typeOID: UInt32
    /// Bytes; negative for types of variable width.
    package var typeSize: Int16
    package var typeModifier: Int32
    /// 0 text, 1 binary.
    package var format: Int16

    package init(
        name: String, tableOID: UInt32 = 0, columnNumber: Int16 = 0, typeOID: UInt32,
        typeSize: Int16, typeModifier: Int32 = -1, format: Int16 = 0
    ) {
        self.name = name
        self.tableOID = tableOID
        self.columnNumber = columnNumber
        self.typeOID = typeOID
        self.typeSize = typeSize
        self.typeModifier = typeModifier
        self.format = format
    }

    package init(name: String, type: PostgresType, format: Int16 = 0) {
        self.init(name: name, typeOID: type.oid, typeSize: type.size, format: format)
    }

    /// The columns of a RowDescription message. Throws `protocolViolation`.
    package static func list(
        decodingRowDescription body: ByteBuffer
    ) throws(PostgresError) -> [FieldDescription] {
        var body = body
        // An empty name and its terminator, and 18 bytes of integers.
        let count = try body.readCount(elementSize: 19)
        var fields: [FieldDescription] = []
        fields.reserveCapacity(count)
        for _ in 0..<count {
            fields.append(
                FieldDescription(
                    name: try body.readText(), tableOID: try body.readField(),
                    columnNumber: try body.readField(), typeOID: try body.readField(),
                    typeSize: try body.readField(), typeModifier: try body.readField(),
                    format: try body.readField()))
        }
        try body.requireEnd()
        return fields
    }
}
