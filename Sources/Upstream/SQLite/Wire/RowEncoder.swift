import CSQLite
import NIOCore
import PostgresWire

/// Writes the current row of a statement as a DataRow message, each value converted from what
/// SQLite stores to the type that was announced for its column.
///
/// A value that cannot be shown in the announced type is an error (22003, 22007), never another
/// value.
struct RowEncoder {
    let columns: [ResultColumn]
    /// 0 text, 1 binary; as many as columns.
    let formats: [Int16]

    init(columns: [ResultColumn], formats: [Int16]) throws {
        self.columns = columns
        switch formats.count {
        case 0: self.formats = Array(repeating: 0, count: columns.count)
        case 1: self.formats = Array(repeating: formats[0], count: columns.count)
        case columns.count: self.formats = formats
        default:
            throw PostgresError(
                .protocolViolation,
                "bind message has \(formats.count) result formats but query has \(columns.count) columns"
            )
        }
    }

    var descriptions: [FieldDescription] {
        zip(columns, formats).map { $0.description(format: $1) }
    }

    /// On failure `buffer` ends where it ended before.
    func write(_ statement: CompiledStatement, to buffer: inout ByteBuffer) throws {
        try writeRow(to: &buffer) { index, buffer in
            try write(statement.handle, Int32(index), to: &buffer)
        }
    }

    /// A row of texts, of SHOW or the emulated catalog.
    func write(_ row: [String?], to buffer: inout ByteBuffer) throws {
        try writeRow(to: &buffer) { index, buffer in
            guard index < row.count, let text = row[index] else { return false }
            try write(text, columns[index].type, formats[index], to: &buffer)
            return true
        }
    }

    /// `body` writes a value and returns true, or returns false for NULL.
    private func writeRow(
        to buffer: inout ByteBuffer, _ body: (Int, inout ByteBuffer) throws -> Bool
    ) throws {
        let start = buffer.writerIndex
        do {
            buffer.writeInteger(BackendTag.dataRow)
            buffer.writeInteger(Int32(0))
            buffer.writeInteger(UInt16(columns.count))
            for index in columns.indices {
                let lengthIndex = buffer.writerIndex
                buffer.writeInteger(Int32(-1))
                guard try body(index, &buffer) else { continue }
                let length = buffer.writerIndex - lengthIndex - 4
                buffer.setInteger(Int32(clamping: length), at: lengthIndex)
            }
            let length = buffer.writerIndex - start - 1
            guard length <= 1 << 30 else {
                throw PostgresError(.programLimitExceeded, "a row is larger than 1 GB")
            }
            buffer.setInteger(Int32(length), at: start + 1)
        } catch {
            buffer.moveWriterIndex(to: start)
            throw error
        }
    }

    // MARK: One value

    private func write(
        _ row: OpaquePointer, _ index: Int32, to buffer: inout ByteBuffer
    ) throws -> Bool {
        let storage = sqlite3_column_type(row, index)
        if storage == SQLITE_NULL { return false }
        let column = columns[Int(index)]
        let isBinary = formats[Int(index)] == 1
        switch column.type {
        case .int8, .int4, .int2:
            try writeInteger(
                integer(row, index, storage, column), column, isBinary, to: &buffer)
        case .float8, .float4:
            try writeFloat(double(row, index, storage, column), column, isBinary, to: &buffer)
        case .bool:
            let value = try boolean(row, index, storage, column)
            if isBinary {
                buffer.writeInteger(UInt8(value ? 1 : 0))
            } else {
                buffer.writeInteger(UInt8(ascii: value ? "t" : "f"))
            }
        case .bytea:
            try writeBytes(row, index, storage, column, isBinary, to: &buffer)
        case .text, .varchar, .bpchar, .name, .json:
            try writeText(row, index, storage, column, to: &buffer)
        default:
            let text = try text(row, index, storage, column)
            try write(text, column.type, isBinary ? 1 : 0, to: &buffer)
        }
        return true
    }

    private func write(
        _ text: String, _ type: PostgresType, _ format: Int16, to buffer: inout ByteBuffer
    ) throws {
        if format == 1 {
            buffer.writeImmutableBuffer(try ValueCoding.binary(fromText: text, type: type))
        } else {
            buffer.writeString(text)
        }
    }

    private func misfit(_ column: ResultColumn) -> PostgresError {
        PostgresError(
            "22003", "a value of column \"\(column.name)\" does not fit type \(column.type.name)",
            hint: "SQLite stores any value in any column: CAST the column to text to see it.")
    }

    private func integer(
        _ row: OpaquePointer, _ index: Int32, _ storage: Int32, _ column: ResultColumn
    ) throws -> Int64 {
        switch storage {
        case SQLITE_INTEGER: return sqlite3_column_int64(row, index)
        case SQLITE_FLOAT:
            guard let value = Int64(exactly: sqlite3_column_double(row, index)) else {
                throw misfit(column)
            }
            return value
        case SQLITE_TEXT:
            guard let value = Int64(try Self.string(row, index)) else { throw misfit(column) }
            return value
        default: throw misfit(column)
        }
    }

    private func writeInteger(
        _ value: Int64, _ column: ResultColumn, _ isBinary: Bool, to buffer: inout ByteBuffer
    ) throws {
        switch column.type {
        case .int4:
            guard let value = Int32(exactly: value) else { throw misfit(column) }
            if isBinary { buffer.writeInteger(value) }
        case .int2:
            guard let value = Int16(exactly: value) else { throw misfit(column) }
            if isBinary { buffer.writeInteger(value) }
        default:
            if isBinary { buffer.writeInteger(value) }
        }
        if !isBinary { buffer.writeString(String(value)) }
    }

    private func double(
        _ row: OpaquePointer, _ index: Int32, _ storage: Int32, _ column: ResultColumn
    ) throws -> Double {
        switch storage {
        case SQLITE_INTEGER, SQLITE_FLOAT: return sqlite3_column_double(row, index)
        case SQLITE_TEXT:
            guard let value = Double(try Self.string(row, index)) else { throw misfit(column) }
            return value
        default: throw misfit(column)
        }
    }

    private func writeFloat(
        _ value: Double, _ column: ResultColumn, _ isBinary: Bool, to buffer: inout ByteBuffer
    ) throws {
        if column.type == .float4 {
            let narrow = Float(value)
            guard narrow.isFinite || !value.isFinite else { throw misfit(column) }
            if isBinary {
                buffer.writeInteger(narrow.bitPattern)
            } else {
                buffer.writeString(FloatText.float4(narrow))
            }
        } else if isBinary {
            buffer.writeInteger(value.bitPattern)
        } else {
            buffer.writeString(FloatText.float8(value))
        }
    }

    private func boolean(
        _ row: OpaquePointer, _ index: Int32, _ storage: Int32, _ column: ResultColumn
    ) throws -> Bool {
        switch storage {
        case SQLITE_INTEGER: return sqlite3_column_int64(row, index) != 0
        case SQLITE_FLOAT: return sqlite3_column_double(row, index) != 0
        case SQLITE_TEXT:
            switch try Self.string(row, index).lowercased() {
            case "t", "true", "1", "yes", "on", "y": return true
            case "f", "false", "0", "no", "off", "n": return false
            default: throw misfit(column)
            }
        default: throw misfit(column)
        }
    }

    private func writeBytes(
        _ row: OpaquePointer, _ index: Int32, _ storage: Int32, _ column: ResultColumn,
        _ isBinary: Bool, to buffer: inout ByteBuffer
    ) throws {
        guard storage == SQLITE_BLOB || storage == SQLITE_TEXT else { throw misfit(column) }
        let bytes = Self.bytes(row, index)
        if isBinary {
            buffer.writeBytes(bytes)
        } else {
            buffer.writeString(Self.hex(bytes))
        }
    }

    private func writeText(
        _ row: OpaquePointer, _ index: Int32, _ storage: Int32, _ column: ResultColumn,
        to buffer: inout ByteBuffer
    ) throws {
        switch storage {
        case SQLITE_INTEGER: buffer.writeString(String(sqlite3_column_int64(row, index)))
        case SQLITE_FLOAT:
            buffer.writeString(FloatText.float8(sqlite3_column_double(row, index)))
        case SQLITE_BLOB: buffer.writeString(Self.hex(Self.bytes(row, index)))
        default:
            let bytes = Self.textBytes(row, index)
            guard Self.isPlainASCII(bytes) || Self.isValidText(bytes) else {
                throw PostgresError(
                    "22021",
                    "a value of column \"\(column.name)\" is not valid UTF-8 text")
            }
            buffer.writeBytes(bytes)
        }
    }

    /// The text form of a value of the remaining types, as PostgreSQL prints it.
    private func text(
        _ row: OpaquePointer, _ index: Int32, _ storage: Int32, _ column: ResultColumn
    ) throws -> String {
        switch column.type {
        case .numeric: return try numeric(row, index, storage, column)
        case .date, .time, .timestamp, .timestamptz, .timetz, .interval:
            guard storage == SQLITE_TEXT else { throw misdate(column) }
            return try time(Self.string(row, index), column)
        case .uuid:
            if storage == SQLITE_BLOB {
                var bytes = ByteBuffer()
                bytes.writeBytes(Self.bytes(row, index))
                guard bytes.readableBytes == 16 else { throw misfit(column) }
                return try ValueCoding.text(fromBinary: bytes, type: .uuid)
            }
            guard let text = try? ParameterDecoder.canonical(Self.string(row, index), .uuid) else {
                throw misfit(column)
            }
            return text
        default:
            switch storage {
            case SQLITE_FLOAT: return FloatText.float8(sqlite3_column_double(row, index))
            case SQLITE_BLOB: return Self.hex(Self.bytes(row, index))
            default: return try Self.string(row, index)
            }
        }
    }

    private func misdate(_ column: ResultColumn) -> PostgresError {
        PostgresError(
            "22007", "a value of column \"\(column.name)\" is not a valid \(column.type.name)",
            hint: "Store dates and times as ISO 8601 text.")
    }

    private func time(_ text: String, _ column: ResultColumn) throws -> String {
        func converted(_ text: String) -> String? {
            guard let binary = try? ValueCoding.binary(fromText: text, type: column.type) else {
                return nil
            }
            return try? ValueCoding.text(fromBinary: binary, type: column.type)
        }
        if let result = converted(text) { return result }
        // A date that was stored with a time of day.
        if column.type == .date, text.utf8.count > 10,
            let result = converted(String(text.prefix(10)))
        {
            return result
        }
        throw misdate(column)
    }

    private func numeric(
        _ row: OpaquePointer, _ index: Int32, _ storage: Int32, _ column: ResultColumn
    ) throws -> String {
        var text: String
        switch storage {
        case SQLITE_INTEGER: text = String(sqlite3_column_int64(row, index))
        case SQLITE_FLOAT:
            let value = sqlite3_column_double(row, index)
            text = value.isFinite ? FloatText.plain(value) : FloatText.float8(value)
        case SQLITE_TEXT:
            guard
                let binary = try? ValueCoding.binary(
                    fromText: Self.string(row, index), type: .numeric),
                let canonical = try? ValueCoding.text(fromBinary: binary, type: .numeric)
            else { throw misfit(column) }
            text = canonical
        default: throw misfit(column)
        }
        // numeric(p, s) shows all of its s digits; SQLite keeps only the number.
        if let scale = column.scale, scale > 0, text.last?.isNumber == true {
            let fraction = text.firstIndex(of: ".").map {
                text.distance(from: $0, to: text.endIndex) - 1
            }
            if fraction == nil { text += "." }
            text += String(repeating: "0", count: max(0, scale - (fraction ?? 0)))
        }
        return text
    }

    // MARK: Bytes

    private static func bytes(_ row: OpaquePointer, _ index: Int32) -> UnsafeRawBufferPointer {
        let base = sqlite3_column_blob(row, index)
        return UnsafeRawBufferPointer(start: base, count: Int(sqlite3_column_bytes(row, index)))
    }

    private static func textBytes(
        _ row: OpaquePointer, _ index: Int32
    ) -> UnsafeRawBufferPointer {
        let base = sqlite3_column_text(row, index)
        return UnsafeRawBufferPointer(start: base, count: Int(sqlite3_column_bytes(row, index)))
    }

    private static func string(_ row: OpaquePointer, _ index: Int32) throws -> String {
        guard let text = String(validating: textBytes(row, index), as: UTF8.self) else {
            throw PostgresError("22021", "a value is not valid UTF-8 text")
        }
        return text
    }

    /// Text that needs no closer look; a NUL byte does.
    private static func isPlainASCII(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.allSatisfy { $0 &- 1 < 0x7f }
    }

    private static func isValidText(_ bytes: UnsafeRawBufferPointer) -> Bool {
        !bytes.contains(0) && String(validating: bytes, as: UTF8.self) != nil
    }

    /// bytea's text form.
    static func hex(_ bytes: some Collection<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(unsafeUninitializedCapacity: 2 + bytes.count * 2) { target in
            target[0] = UInt8(ascii: "\\")
            target[1] = UInt8(ascii: "x")
            var position = 2
            for byte in bytes {
                target[position] = digits[Int(byte >> 4)]
                target[position + 1] = digits[Int(byte & 15)]
                position += 2
            }
            return position
        }
    }
}
